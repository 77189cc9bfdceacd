"""A device's way to a simulated fleet, and a device that is bound to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from allod.agent.acceptance import Acceptance, accept
from allod.agent.binding import Binder, Connect
from allod.agent.bound import Bound, load_bound
from allod.agent.identity import FileIdentityKey
from allod.agent.ports import Transport
from allod.agent.state_dir import StateDir, open_state
from allod.domain.ids import FleetId
from allod.errors import AllodError, Unavailable
from allod.testing.clock import StoppedClock
from allod.testing.repository import RepositorySimulator
from allod.wire.trust import Location


@dataclass
class SimulatedTransport:
    """`Transport` over a simulator; what is handed in is kept."""

    source: RepositorySimulator
    posted: list[tuple[str, bytes]] = field(default_factory=list)
    down: bool = False  #: nothing can be reached
    answer: AllodError | None = None  #: to everything that is handed in

    def get(self, path: str, *, cap: int) -> bytes | None:
        """What the simulator serves."""
        self._reach()
        found = self.source.get(path, cap)
        if found is not None and len(found) > cap:
            raise Unavailable("too-large", f"cannot take {path}")
        return found

    def stream(self, path: str, *, offset: int = 0) -> AbstractContextManager[Iterator[bytes]]:
        """What the simulator serves, in one piece."""

        @contextmanager
        def streamed() -> Iterator[Iterator[bytes]]:
            found = self.get(path, cap=1 << 30)
            if found is None:
                raise Unavailable("not-found", f"cannot find {path}")
            yield iter([found[offset:]])

        return streamed()

    def post(self, path: str, body: bytes) -> bytes:
        """Keep it."""
        self._reach()
        if self.answer is not None:
            raise self.answer
        self.posted.append((path, body))
        return b""

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("unreachable", "cannot reach the simulated fleet")


@dataclass(slots=True)
class SimulatedDevice:
    """A state directory, a clock, and a way to one simulated fleet after the other."""

    directory: Path
    source: RepositorySimulator
    clock: StoppedClock = field(default_factory=StoppedClock)
    transport: SimulatedTransport = field(init=False)
    facts: dict[str, str] = field(default_factory=lambda: {"device.name": "toaster"})

    def __post_init__(self) -> None:
        """Meet the fleet at its own time."""
        self.transport = SimulatedTransport(self.source)
        self.clock.wall = self.source.now

    @property
    def state(self) -> StateDir:
        """The state directory, opened anew as after a restart."""
        return open_state(self.directory)

    @property
    def bound(self) -> Bound | None:
        """The binding that stands."""
        return load_bound(self.state)

    def binder(self, *, online: bool = True) -> Binder:
        """What binds it."""

        def connect(
            fleet: FleetId, places: Sequence[Location], key: FileIdentityKey | None, epoch: int
        ) -> Transport:
            return self.transport

        way: Connect | None = connect if online else None
        return Binder(self.state, self.clock, self.facts, way)

    def bind(self, invite: bytes, *, online: bool = True) -> Bound:
        """Take an invite."""
        return self.binder(online=online).bind(invite)

    def meet(self, source: RepositorySimulator) -> None:
        """From now on the network leads to `source`."""
        self.source = source
        self.transport = SimulatedTransport(source)

    def accept(self) -> Acceptance:
        """Look at the fleet once."""
        bound = self.bound
        if bound is None:
            raise RuntimeError("the device is not bound")
        return accept(self.transport, self.state, self.clock, bound)
