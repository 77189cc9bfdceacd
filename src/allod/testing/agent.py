"""A device out of fakes: every port of the agent in memory, on a real state directory.

`FakeDevice.run` is what the worker does in one run. What the fakes hold stays over runs, kills
and restarts of the machine, as a disk and an init system would; what the agent itself keeps is on
the real disk, below `FakeDevice.state`.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from allod.agent.engine_ports import ConfigurationCheck, Sheet
from allod.agent.ports import Measurement, ProbeResult, RunState, ServiceUnit
from allod.agent.state_dir import StateDir
from allod.domain.desired import ReleaseOrder
from allod.domain.ids import Digest, Purl, file_name, sha256
from allod.domain.release import HealthCheck, Layer, Release
from allod.errors import InvalidInput, Unavailable, Untrusted
from allod.testing.machine import FakeClock, FakeHost, FakeInhibitors, FakeRestarter


@dataclass(slots=True)
class FakeInstaller:
    """A store in memory; its directories exist, so that links to them resolve."""

    root: Path
    trees: dict[tuple[Purl, Digest], Digest] = field(default_factory=dict)  #: content measured

    def stage(
        self, package: Purl, digest: Digest, release: Release, layers: Mapping[Layer, BinaryIO]
    ) -> None:
        """Keep the release's content."""
        content = b"".join(stream.read() for stream in layers.values())
        if content == b"bad payload":
            raise InvalidInput("bad-payload", f"cannot install {release.version}: a bad payload")
        self.directory(package, digest).mkdir(parents=True, exist_ok=True)
        self.trees[package, digest] = sha256(content)

    def staged(self, package: Purl) -> frozenset[Digest]:
        """What is staged."""
        return frozenset(digest for name, digest in self.trees if name == package)

    def directory(self, package: Purl, digest: Digest) -> Path:
        """Where it stands."""
        home = self.root / "store" / file_name(package)
        return home / digest.removeprefix("sha256:") / "tree"

    def measure(self, package: Purl, digest: Digest) -> Measurement:
        """What was staged, unless `damage` was done to it."""
        found = self.trees.get((package, digest), Digest(""))
        ok = found not in {"", "damaged"}
        return Measurement(ok, found, () if ok else ("bin/app",))

    def unstage(self, package: Purl, digest: Digest) -> None:
        """Remove it."""
        self.trees.pop((package, digest), None)

    def damage(self, package: Purl, digest: Digest) -> None:
        """Change a byte behind the agent's back."""
        self.trees[package, digest] = Digest("damaged")


@dataclass(slots=True)
class FakeServices:
    """An init system: it runs what `current` names at the moment of the start."""

    data: FakeSnapshots
    releases: Mapping[Digest, Release]
    name: str = "fake"
    enforces_access: bool = True
    open: tuple[str, ...] = ()
    units: dict[Purl, ServiceUnit] = field(default_factory=dict)
    runs: dict[Purl, tuple[Digest, str]] = field(default_factory=dict)  #: release, configuration
    starts: list[tuple[Purl, Digest]] = field(default_factory=list)
    crashing: set[Digest] = field(default_factory=set)

    def start(self, unit: ServiceUnit) -> None:
        """Run it."""
        package = unit.package
        if package in self.runs and self.units.get(package) == unit:
            return
        self.units[package] = unit
        self._read(package)
        self.starts.append((package, self.runs[package][0]))
        release = self.releases[self.runs[package][0]]
        if release.data is not None:
            before = self.data.data.get(package)
            if before is not None and before[0] not in release.data.reads:
                raise AssertionError(f"{release.version} was started over data it can't read")
            self.data.data[package] = (release.data.schema, release.version)

    def _read(self, package: Purl) -> None:
        unit = self.units[package]
        digest = Digest("sha256:" + unit.directory.resolve().parent.name)
        self.runs[package] = (digest, (unit.configuration / "config").read_text())

    def stop(self, package: Purl) -> None:
        """Do not run it."""
        self.units.pop(package, None)
        self.runs.pop(package, None)

    def reload(self, package: Purl) -> None:
        """It reads its configuration again."""
        self._read(package)

    def state(self, package: Purl) -> RunState:
        """Whether it runs."""
        running = package in self.runs and self.runs[package][0] not in self.crashing
        return RunState(running=running)

    def missing_access(self, package: Purl) -> frozenset[str]:
        """Nothing is ever missing."""
        del package
        return frozenset()

    def user(self, unit: ServiceUnit) -> str:
        """The agent itself."""
        del unit
        return ""

    def unenforced(self, unit: ServiceUnit) -> tuple[str, ...]:
        """What `open` says of everything."""
        del unit
        return self.open


@dataclass(slots=True)
class FakeSnapshots:
    """Data as (schema, who wrote it last), and copies of it."""

    data: dict[Purl, tuple[int, str]] = field(default_factory=dict)
    copies: dict[tuple[Purl, int], tuple[int, str] | None] = field(default_factory=dict)

    def take(self, package: Purl, number: int) -> None:
        """Copy, once."""
        self.copies.setdefault((package, number), self.data.get(package))

    def restore(self, package: Purl, number: int) -> None:
        """Put the copy back."""
        copy = self.copies[package, number]
        if copy is None:
            self.data.pop(package, None)
        else:
            self.data[package] = copy

    def numbers(self, package: Purl) -> frozenset[int]:
        """Copies that are there."""
        return frozenset(number for name, number in self.copies if name == package)

    def prune(self, package: Purl, keep: Iterable[int]) -> None:
        """Remove the others."""
        for number in self.numbers(package) - set(keep):
            del self.copies[package, number]


@dataclass(slots=True)
class FakeSource:
    """The fleet's server, and what the device has of it."""

    remote: dict[Digest, tuple[Release, bytes]] = field(default_factory=dict)
    documents: dict[Digest, bytes] = field(default_factory=dict)
    descriptions: dict[Digest, Release] = field(default_factory=dict)
    payloads: dict[Digest, bytes] = field(default_factory=dict)
    here: dict[Digest, bytes] = field(default_factory=dict)
    online: bool = True
    distrusted: set[Digest] = field(default_factory=set)
    fetched: list[Digest] = field(default_factory=list)
    unmet: set[Digest] = field(default_factory=set)  #: the owner asks for more since
    mends: dict[Digest, dict[Digest, frozenset[tuple[str, str]]]] = field(default_factory=dict)

    def _reach(self) -> None:
        if not self.online:
            raise Unavailable("unreachable", "cannot reach the fleet; the next run tries again")

    def describe(self, package: Purl, order: ReleaseOrder) -> Release:
        """Fetch the description."""
        del package
        self._reach()
        if order.digest in self.distrusted:
            raise Untrusted("auth", "cannot accept the release: its provider did not sign it")
        if order.digest not in self.remote:
            raise Unavailable("not-found", "cannot find the release; push it")
        if order.digest in self.unmet:
            raise Untrusted("no-provenance", "cannot take it: nobody says how it was built")
        self.descriptions[order.digest] = self.remote[order.digest][0]
        return self.descriptions[order.digest]

    def described(self, package: Purl, digest: Digest) -> Release | None:
        """What is kept."""
        del package
        return self.descriptions.get(digest)

    def vetted(self, package: Purl, digest: Digest) -> bool:
        """Unless it is to be looked at again."""
        del package
        return digest not in self.unmet

    def evidence(
        self, package: Purl, order: ReleaseOrder
    ) -> Mapping[Digest, frozenset[tuple[str, str]]]:
        """What verifiers say."""
        del package
        return self.mends.get(order.digest, {})

    def fetch(self, package: Purl, digest: Digest, *, bandwidth: int | None) -> None:
        """Fetch the payload."""
        del package, bandwidth
        self._reach()
        self.fetched.append(digest)
        self.payloads[digest] = self.remote[digest][1]

    def held(self, package: Purl) -> frozenset[Digest]:
        """What is whole."""
        return frozenset(
            digest for digest in self.payloads if self.descriptions[digest].package == package
        )

    @contextlib.contextmanager
    def open(self, package: Purl, digest: Digest) -> Iterator[Mapping[Layer, BinaryIO]]:
        """The payload."""
        del package
        if digest not in self.payloads:
            raise Unavailable("payload-lost", "cannot open the payload: it is gone")
        payload = self.payloads[digest]
        yield {Layer(sha256(payload), len(payload), "fake"): io.BytesIO(payload)}

    def forget(self, package: Purl, digest: Digest) -> None:
        """Remove it."""
        del package
        self.payloads.pop(digest, None)
        self.descriptions.pop(digest, None)

    def progress(self, package: Purl, digest: Digest) -> float | None:
        """All or nothing."""
        del package
        return 1.0 if digest in self.payloads else None

    def document(self, digest: Digest, size: int) -> None:
        """Fetch a configuration document."""
        del size
        self._reach()
        if digest not in self.documents:
            raise Unavailable("not-found", "cannot find the document; publish it again")
        self.here[digest] = self.documents[digest]

    def read_document(self, digest: Digest) -> bytes | None:
        """What is kept."""
        return self.here.get(digest)

    def keep_documents(self, wanted: Iterable[Digest]) -> None:
        """Remove the others."""
        self.here = {digest: self.here[digest] for digest in wanted if digest in self.here}


@dataclass(slots=True)
class FakeRenderer:
    """Writes the document as it is; one that says 'invalid' is."""

    def check(self, sheet: Sheet) -> None:
        """Whether it could be rendered."""
        if sheet.document is not None and b"invalid" in sheet.document:
            raise InvalidInput("bad-configuration", "cannot use the configuration: it is invalid")

    def render(self, sheet: Sheet, directory: Path, earlier: Path | None) -> None:
        """Write it."""
        del earlier
        self.check(sheet)
        (directory / "config").write_bytes(sheet.document or b"default")

    def measure(self, sheet: Sheet, directory: Path) -> ConfigurationCheck:
        """Compare it."""
        try:
            found = (directory / "config").read_bytes()
        except OSError:
            found = b""
        ok = found == (sheet.document or b"default")
        return ConfigurationCheck(ok, sha256(found), () if ok else ("config",))


@dataclass(slots=True)
class FakeProbe:
    """Healthy, unless the release or its configuration is known to be sick."""

    services: FakeServices
    sick: set[Digest] = field(default_factory=set)
    attempts: int = 0

    def attempt(self, check: HealthCheck, unit: ServiceUnit | None, run: RunState) -> ProbeResult:
        """Look once."""
        del check
        self.attempts += 1
        runs = None if unit is None else self.services.runs.get(unit.package)
        if runs is None or not run.running:
            return ProbeResult(healthy=unit is None, detail="it does not run")
        sick = runs[0] in self.sick or "sick" in runs[1]
        return ProbeResult(healthy=not sick, detail="sick" if sick else "well")


@dataclass(slots=True)
class Hardware:
    """All fakes of one device; it outlives the agent's process."""

    clock: FakeClock
    installer: FakeInstaller
    services: FakeServices
    restarter: FakeRestarter
    probe: FakeProbe
    source: FakeSource
    renderer: FakeRenderer
    snapshots: FakeSnapshots
    inhibitors: FakeInhibitors
    host: FakeHost

    def ports(self) -> dict[str, Any]:
        """By the names of `engine_ports.World`."""
        return {name: getattr(self, name) for name in self.__slots__}


def make_hardware(state: StateDir) -> Hardware:
    """A machine with nothing on it."""
    source, snapshots = FakeSource(), FakeSnapshots()
    services = FakeServices(snapshots, source.descriptions)
    return Hardware(
        clock=FakeClock(),
        installer=FakeInstaller(state.root),
        services=services,
        restarter=FakeRestarter(),
        probe=FakeProbe(services),
        source=source,
        renderer=FakeRenderer(),
        snapshots=snapshots,
        inhibitors=FakeInhibitors(),
        host=FakeHost(),
    )
