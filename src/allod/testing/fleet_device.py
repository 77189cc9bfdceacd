"""A device of a simulated fleet: the agent's own acceptance and engine, on a machine that can fail.

Everything that changes on the machine is told to an observer at once, before the agent goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from allod import durable
from allod.agent.acceptance import Acceptance, accept, standing
from allod.agent.acquire import RegistrySource
from allod.agent.bound import Bound, load_bound, save_bound
from allod.agent.engine import Engine, EngineSettings
from allod.agent.engine_context import Outcome
from allod.agent.engine_ports import World
from allod.agent.engine_report import Reporter
from allod.agent.floors_store import FloorsStore
from allod.agent.identity import FileIdentityKey
from allod.agent.reporting import Ledger, deliver_all
from allod.agent.state_dir import StateDir, open_state
from allod.agent.transfer import Blobs
from allod.agent.view import View
from allod.domain.ids import Digest, GroupName, ProviderName, Purl
from allod.domain.release import Release
from allod.errors import Unavailable
from allod.testing.agent import FakeServices, Hardware, make_hardware
from allod.testing.faults import Faults, Frail, frail_disk
from allod.testing.repository import RepositorySimulator
from allod.trust.anchor import Anchor
from allod.trust.floors import Floors
from allod.wire.trust import ProviderDocument

_SPARED: Final = frozenset(
    {"now", "monotonic", "sleep", "boot_id", "name", "enforces_access", "facts", "uptime", "vetted"}
)

#: kind, package, digest -> whoever wants to know what just happened.
Told = Callable[[str, str, str | None], None]


@dataclass(slots=True)
class FleetTransport:
    """A device's way to the fleet: what a server shows it, and what a network loses."""

    source: RepositorySimulator
    shop: Mapping[str, bytes]  #: registry and configuration documents
    swapped: Mapping[str, bytes] = field(default_factory=dict)  #: what is served instead
    down: bool = False
    loses: int = 0  #: the n-th request is lost; 0: none
    posted: list[bytes] = field(default_factory=list)
    asked: int = 0

    def get(self, path: str, *, cap: int) -> bytes | None:
        """What is served."""
        self._reach(path)
        if path.startswith(("v2/", "blobs/")):
            found = self.swapped.get(path, self.shop.get(path))
        else:
            found = self.source.get(path, cap)
        if found is not None and len(found) > cap:
            raise Unavailable("too-large", f"cannot take {path}")
        return found

    def stream(self, path: str, *, offset: int = 0) -> AbstractContextManager[Iterator[bytes]]:
        """The same in one piece."""

        @contextmanager
        def streamed() -> Iterator[Iterator[bytes]]:
            found = self.get(path, cap=1 << 30)
            if found is None:
                raise Unavailable("not-found", f"cannot find {path}")
            yield iter([found[offset:]])

        return streamed()

    def post(self, path: str, body: bytes) -> bytes:
        """Keep it."""
        self._reach(path)
        self.posted.append(body)
        return b""

    def _reach(self, path: str) -> None:
        self.asked += 1
        if self.down or self.asked == self.loses:
            raise Unavailable("unreachable", f"cannot reach the fleet for {path}")


class Spy:
    """A port whose calls are told of, once they took effect."""

    def __init__(self, port: object, told: Mapping[str, Callable[..., None]]) -> None:
        self._port = port
        self._told = told

    def __getattr__(self, name: str) -> Any:
        """The port's own attribute; a call that is told of, if it is one of those."""
        found = getattr(self._port, name)
        tell = self._told.get(name)
        if tell is None:
            return found

        def spied(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            tell(*args, **kwargs)
            return result

        return spied


class FleetDevice:
    """One device.

    Args:
        name: for the trace.
        directory: its disk.
        key: its identity.
        anchor: what its invite named.
        floors: likewise.
        groups: likewise.
        transport: its way to the fleet.
        releases: what releases say of themselves, for its init system.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        key: FileIdentityKey,
        anchor: Anchor,
        floors: Floors,
        groups: tuple[str, ...],
        transport: FleetTransport,
        releases: Mapping[Digest, Release],
    ) -> None:
        self.name = name
        self.key = key
        self.transport = transport
        self.state: StateDir = open_state(directory)
        self.hardware: Hardware = make_hardware(self.state)
        self.hardware.services = FakeServices(self.hardware.snapshots, releases)
        self.hardware.probe.services = self.hardware.services
        self.told: Told = lambda kind, package, digest: None
        FloorsStore(self.state).begin(floors)
        bound = Bound(
            fleet=anchor.fleet,
            name="home",
            device=key.device,
            epoch=1,
            invite="invite-1",
            groups=tuple(GroupName(group) for group in groups),
            anchor=anchor,
            locations=(),
            at="2026-11-01T12:00:00Z",
            handed_in=True,
        )
        save_bound(self.state, bound)

    @property
    def floors(self) -> Floors:
        """What it never goes below."""
        return FloorsStore(self.state).load(self.bound.fleet)

    @property
    def bound(self) -> Bound:
        """Whose it is."""
        found = load_bound(self.state)
        if found is None:
            raise AssertionError("the device lost its owner")
        return found

    @property
    def now(self) -> datetime:
        """What its clock says."""
        return self.hardware.clock.now()

    def runs(self) -> dict[str, tuple[str, str]]:
        """What really runs: package -> release and configuration."""
        return {str(package): found for package, found in self.hardware.services.runs.items()}

    def reboot(self) -> None:
        """Restart the machine; its init system starts again what it is to run."""
        self.hardware.clock.boot += 1
        units = dict(self.hardware.services.units)
        self.hardware.services.runs.clear()
        for unit in units.values():
            self.hardware.services.units.pop(unit.package)
            self.hardware.services.start(unit)

    # A run of the worker

    def run(self, faults: Faults | None, looked: Callable[[Acceptance], None]) -> Outcome | None:
        """What the worker does in one run, as in `allod.agent.worker`.

        Args:
            faults: strike somewhere; None: nowhere.
            looked: is told what was accepted, before anything is done about it.

        Raises:
            Killed: it was, by `faults`.
        """
        if faults is None:
            return self._run(None, looked)
        with _struck(faults):
            return self._run(faults, looked)

    def _run(self, faults: Faults | None, looked: Callable[[Acceptance], None]) -> Outcome | None:
        ledger = Ledger(self.state.reports, self.key)
        settings = EngineSettings(background=False)
        before = standing(self.state, self.hardware.clock, self.bound).view
        Engine(self.state, self._world(faults, before), ledger, settings).recover(before)
        found = accept(self.transport, self.state, self.hardware.clock, self.bound)
        looked(found)
        if found.view is None:
            return None
        world = self._world(faults, found.view)
        engine = Engine(self.state, world, ledger, settings)
        outcome = engine.converge(found.view)
        Reporter(world, ledger).report(engine, outcome, found.view)
        deliver_all(ledger, lambda one: self.transport.post("reports", one), acknowledges=True)
        engine.restart(outcome)
        return outcome

    def _world(self, faults: Faults | None, view: View | None) -> World:
        hardware = self.hardware
        providers: Mapping[ProviderName, ProviderDocument] = {} if view is None else view.providers
        source = RegistrySource(
            self.transport,
            Blobs(self.state.root / "blobs", reserve=0),
            self.state.root / "packages",
            fleet=self.bound.fleet,
            providers=providers,
            fitness=hardware.host.fitness,
            clock=hardware.clock,
            house=None if view is None else view.fleet,
        )
        tell = self._tellers()
        ports: dict[str, Any] = {**hardware.ports(), "source": source}
        ports |= {name: Spy(ports[name], calls) for name, calls in tell.items()}
        if faults is not None:
            ports = {name: Frail(port, faults, _SPARED) for name, port in ports.items()}
        return World(**ports)

    def _tellers(self) -> dict[str, dict[str, Callable[..., None]]]:
        services = self.hardware.services

        def started(unit: Any) -> None:
            self.told("runs", unit.package, services.runs[unit.package][0])

        def reread(package: Purl) -> None:
            self.told("runs", package, services.runs[package][0])

        def fetched(package: Purl, digest: Digest, **_: Any) -> None:
            self.told("transferred", package, digest)

        def staged(package: Purl, digest: Digest, *_: Any) -> None:
            self.told("installed", package, digest)

        def unstaged(package: Purl, digest: Digest) -> None:
            self.told("removed", package, digest)

        return {
            "services": {"start": started, "reload": reread},
            "source": {"fetch": fetched},
            "installer": {"stage": staged, "unstage": unstaged},
            "restarter": {"restart": lambda reason: self.told("restarted", "", None)},
        }


@contextmanager
def _struck(faults: Faults) -> Iterator[None]:
    """The disk may refuse, or the power fail, at any durable write meanwhile."""
    real = {name: getattr(durable, name) for name in frail_disk(faults)}
    try:
        for name, stand_in in frail_disk(faults).items():
            setattr(durable, name, stand_in)
        yield
    finally:
        for name, function in real.items():
            setattr(durable, name, function)
