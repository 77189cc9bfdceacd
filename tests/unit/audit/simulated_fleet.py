"""A simulated owner's repository and authority log, as an audit reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from allod.audit.activity import Place
from allod.cli.audit.run import Audit, Result
from allod.cli.audit.state import AuditDirectory
from allod.testing.authority import AuthorityLog
from allod.testing.owner import TestOwner
from allod.testing.repository import RepositorySimulator
from allod.trust.floors import Floors
from allod.wire.api import BindingEntry


@dataclass
class SimulatedFleet:
    """A fleet without devices, and somebody who audits it again and again."""

    directory: Path
    log: AuthorityLog = field(default_factory=AuthorityLog)
    owner: TestOwner | None = None
    sim: RepositorySimulator = field(init=False)
    hidden: set[str] = field(default_factory=set)
    age: timedelta = timedelta(minutes=1)
    copy: bool = False
    patience: float = 0.0
    floors: Floors | None = None

    def __post_init__(self) -> None:
        self.sim = RepositorySimulator(self.owner, log=self.log)

    @property
    def name(self) -> str:
        return "the server"

    def file(self, path: str, cap: int) -> bytes | None:
        return None if path in self.hidden else self.sim.files.get(path)

    def bindings(self) -> Iterator[BindingEntry]:
        return iter(())

    def reports(self, place: Place, after: int) -> Iterator[tuple[int, bytes]]:
        return iter(())

    @property
    def place(self) -> AuditDirectory:
        return AuditDirectory(self.directory / "audit", self.sim.fleet)

    def audit(self, *, scratch: bool = False) -> Result:
        """What an audit of what is served finds, since the last one."""
        if scratch:
            self.place.forget()
        now = self.sim.now + self.age
        return Audit(
            self,
            self.sim.fleet,
            self.place,
            self.place.load(),
            self.floors,
            now,
            lambda _: None,
            copy=self.copy,
            patience=self.patience,
        ).run()

    def found(self, *, scratch: bool = False) -> list[tuple[str, str]]:
        """Code and subject of what is new."""
        return [(one.code, one.subject) for one in self.audit(scratch=scratch).findings]

    def codes(self, *, scratch: bool = False) -> list[str]:
        """Codes of what is new."""
        return sorted({code for code, _ in self.found(scratch=scratch)})

    def change(self, name: str) -> None:
        """The owner changes something."""
        self.sim.set_fleet(revoked_invites=[name])

    def junk(self, count: int) -> None:
        """Who holds the log's key appends what counts for nothing."""
        self.log.entries += [b"junk %d" % number for number in range(count)]
        self.sim.publish_log()

    def rewritten(self, entries: list[bytes]) -> None:
        """Who holds the log's key signs another history."""
        self.log.entries = entries
        for path in [path for path in self.sim.files if path.startswith("log/")]:
            del self.sim.files[path]
        self.sim.publish_log()
