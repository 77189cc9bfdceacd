"""Drift: what stands on the device compared with what was put there, and its healing.

What runs is measured in every run while it is small, and everything at start and on a schedule.
What nobody was allowed to change is reported, and put back if the policy says so; what users may
change is reported and stays.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from allod import durable
from allod.agent.engine_observe import running_of
from allod.agent.engine_steps import Bench
from allod.domain.ids import Digest, Purl
from allod.domain.release import Apply
from allod.errors import AllodError
from allod.wire.codec import instant, parse_instant
from allod.wire.report import Measured

SMALL: Final = 64 * 1024 * 1024  #: bytes of what runs that are measured in every run


class PackageMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """What was found at one package."""

    releases: dict[str, Measured] = {}
    configuration: Measured | None = None
    local: tuple[str, ...] = ()


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """What was found last."""

    boot: str = ""
    at: str | None = None  #: when everything was measured last
    packages: dict[str, PackageMeasure] = {}


class Warden:
    """Measures and heals.

    Args:
        bench: what it works on.
        every: seconds between two measurements of everything.
    """

    def __init__(self, bench: Bench, every: float) -> None:
        self._bench = bench
        self._every = every
        self._file = bench.state.reports / "measured.json"
        self.measures = self._load()

    def _load(self) -> Measures:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Measures)
        except (OSError, msgspec.DecodeError):
            return Measures()

    def measure(self, packages: tuple[Purl, ...], now: datetime, boot: str) -> None:
        """Measure what is due; afterwards `measures` says what was found."""
        whole = self._all_due(now, boot)
        found = {}
        for package in packages:
            entry = self._package(package, now, whole=whole)
            if entry is not None:
                found[str(package)] = entry
        fresh = Measures(boot=boot, at=instant(now) if whole else self.measures.at, packages=found)
        if whole or _differs(fresh, self.measures):
            durable.write_atomic(self._file, msgspec.json.encode(fresh))
        self.measures = fresh

    def _all_due(self, now: datetime, boot: str) -> bool:
        if boot != self.measures.boot or self.measures.at is None:
            return True
        age = (now - parse_instant(self.measures.at)).total_seconds()
        return not 0 <= age < self._every

    def _package(self, package: Purl, now: datetime, *, whole: bool) -> PackageMeasure | None:
        bench = self._bench
        running = running_of(bench, package)
        before = self.measures.packages.get(package, PackageMeasure())
        staged = bench.world.installer.staged(package)
        releases = {}
        for digest in sorted(staged):
            runs = running is not None and running.digest == digest
            known = before.releases.get(digest)
            if whole or known is None or not known.ok or (runs and self._small(package, digest)):
                result = bench.world.installer.measure(package, digest)
                known = Measured(
                    ok=result.ok,
                    at=instant(now),
                    digest=result.digest,
                    changed=list(result.changed[:100]),
                )
            releases[str(digest)] = known
        if running is None:
            return PackageMeasure(releases=releases) if releases else None
        if running.digest not in staged:
            releases[running.digest] = Measured(
                ok=False, at=instant(now), digest=running.digest, changed=["."]
            )
        tree = bench.world.installer.directory(package, running.digest)
        if not bench.activations.leads_to(package, running.number, tree):
            found = Measured(ok=False, at=instant(now), digest="", changed=["tree"])
            releases[running.digest] = found
        configuration, local = self._configuration(package, running.number, now)
        return PackageMeasure(releases=releases, configuration=configuration, local=local)

    def _small(self, package: Purl, digest: Digest) -> bool:
        release = self._bench.world.source.described(package, digest)
        return release is not None and release.installed_size <= SMALL

    def _configuration(
        self, package: Purl, number: int, now: datetime
    ) -> tuple[Measured | None, tuple[str, ...]]:
        bench = self._bench
        record = bench.journals.load(package).activation(number)
        if record is None:
            return None, ()
        place = bench.activations.directory(package, number) / "config"
        try:
            check = bench.world.renderer.measure(bench.sheet(package, record), place)
        except AllodError as error:
            return (
                Measured(ok=False, at=instant(now), digest="", changed=[error.message[:200]]),
                (),
            )
        found = Measured(
            ok=check.ok, at=instant(now), digest=check.digest, changed=list(check.changed[:100])
        )
        return found, check.local

    def drifted(self) -> tuple[Purl, ...]:
        """The packages at which something was changed."""
        return tuple(
            Purl(package)
            for package, entry in self.measures.packages.items()
            if not all(found.ok for found in entry.releases.values())
            or (entry.configuration is not None and not entry.configuration.ok)
        )

    def heal(self, package: Purl, now: datetime, *, bandwidth: int | None) -> None:
        """Put back what was changed, and let the service start from it again.

        Raises:
            AllodError, OSError: it can't be healed now.
        """
        entry = self.measures.packages[package]
        running = running_of(self._bench, package)
        touched = False
        for digest, found in entry.releases.items():
            if not found.ok:
                self._restage(package, Digest(digest), bandwidth)
                touched |= running is not None and running.digest == digest
        if running is not None and touched:
            tree = self._bench.world.installer.directory(package, running.digest)
            if not self._bench.activations.leads_to(package, running.number, tree):
                self._bench.activations.lead(package, running.number, tree)
        if running is not None and entry.configuration is not None and not entry.configuration.ok:
            record = self._bench.journals.load(package).activation(running.number)
            if record is not None:
                place = self._bench.activations.directory(package, running.number) / "config"
                sheet = self._bench.sheet(package, record)
                self._bench.world.renderer.render(sheet, place, place)
                touched = True
        if touched:
            self._start_again(package)
        self._note_healed(package, entry, now)

    def _restage(self, package: Purl, digest: Digest, bandwidth: int | None) -> None:
        source = self._bench.world.source
        if digest not in source.held(package):
            source.fetch(package, digest, bandwidth=bandwidth)
        self._bench.restage(package, digest)

    def _start_again(self, package: Purl) -> None:
        running = running_of(self._bench, package)
        if running is None:
            return
        release = self._bench.release(package, running.digest)
        unit = self._bench.unit(package, release)
        if unit is None:
            return
        spec = release.configuration
        if spec is None or spec.apply is not Apply.RELOAD:
            self._bench.world.services.stop(package)
        self._bench.world.services.start(unit)
        if spec is not None and spec.apply is Apply.RELOAD:
            self._bench.world.services.reload(package)

    def _note_healed(self, package: Purl, before: PackageMeasure, now: datetime) -> None:
        after = self._package(package, now, whole=True)
        if after is None:
            return
        releases = {
            digest: _healed(found, before.releases.get(digest))
            for digest, found in after.releases.items()
        }
        configuration = after.configuration
        if configuration is not None:
            configuration = _healed(configuration, before.configuration)
        entry = PackageMeasure(releases=releases, configuration=configuration, local=after.local)
        self.measures = msgspec.structs.replace(
            self.measures, packages={**self.measures.packages, str(package): entry}
        )
        durable.write_atomic(self._file, msgspec.json.encode(self.measures))


def _healed(found: Measured, before: Measured | None) -> Measured:
    was_bad = before is not None and not before.ok
    if not (found.ok and was_bad and before is not None):
        return found
    return msgspec.structs.replace(found, healed=True, changed=before.changed)


def _differs(first: Measures, second: Measures) -> bool:
    def told(measures: Measures) -> object:
        return [
            (
                name,
                [(d, m.ok, m.digest) for d, m in sorted(entry.releases.items())],
                entry.configuration and (entry.configuration.ok, entry.configuration.digest),
                entry.local,
            )
            for name, entry in sorted(measures.packages.items())
        ]

    return told(first) != told(second)
