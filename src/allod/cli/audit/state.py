"""What an audit keeps for the next one: durable, and of one fleet."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from allod.audit.authority import Roles
from allod.audit.chain import Chain
from allod.audit.findings import Finding
from allod.audit.releases import Releases
from allod.domain.ids import FleetId
from allod.durable import make_directory, remove_file, write_atomic
from allod.errors import InvalidInput

FINDINGS: Final = 1000  #: that are kept
_NAME: Final = "state.json"
_TABLE: Final = "entries.sqlite"


class State(msgspec.Struct, kw_only=True):
    """`state.json` of an audit.

    Attributes:
        at: when it was made.
        since: when what is proved by it begins.
        logs: origin -> `tlog.known.KnownLog`.
        roles: origin -> what counts after it.
        chains: device/epoch -> its chain.
        logged: device/epoch -> digest of the binding that the log has.
        releases: what runs where.
        findings: of all runs.
    """

    type: Literal["allod.audit"] = "allod.audit"
    format: Literal[1] = 1
    fleet: str
    at: str = ""
    since: str = ""
    logs: dict[str, str] = {}
    roles: dict[str, Roles] = {}
    chains: dict[str, Chain] = {}
    logged: dict[str, str] = {}
    releases: Releases = msgspec.field(default_factory=Releases)
    findings: list[Finding] = []


@dataclass(frozen=True, slots=True)
class AuditDirectory:
    """Where the state of a fleet's audit lies."""

    path: Path
    fleet: FleetId

    def load(self) -> State:
        """What the last audit kept; a new state, if there was none.

        Raises:
            InvalidInput: `bad-audit-state`: it is damaged, which is no first run.
        """
        try:
            data = (self.path / _NAME).read_bytes()
        except FileNotFoundError:
            return State(fleet=self.fleet)
        try:
            state = msgspec.json.decode(data, type=State)
        except (msgspec.DecodeError, ValueError) as error:
            raise InvalidInput(
                "bad-audit-state",
                f"cannot go on from the last audit: {self.path / _NAME} is damaged ({error}); "
                "check everything anew with --scratch",
            ) from error
        if state.fleet != self.fleet:
            raise InvalidInput(
                "bad-audit-state", f"cannot use {self.path / _NAME}: it is of another fleet"
            )
        return state

    def save(self, state: State) -> None:
        """Keep the state, durably."""
        make_directory(self.path)
        write_atomic(self.path / _NAME, msgspec.json.encode(state))

    def evidence(self, name: str, data: bytes) -> Path:
        """Keep evidence, durably."""
        make_directory(self.path / "evidence")
        path = self.path / "evidence" / name
        if not path.exists():
            write_atomic(path, data)
        return path

    def table(self) -> EntryTable:
        """Which entries counted."""
        make_directory(self.path)
        return EntryTable(self.path / _TABLE)

    def forget(self) -> None:
        """Begin anew: what was judged is dropped, evidence stays."""
        for name in (_NAME, _TABLE):
            if (self.path / name).exists():
                remove_file(self.path / name)


class EntryTable(Mapping[tuple[str, int], tuple[int, ...]]):
    """Role and version -> indices of the entries that counted for them; on disk, not in memory.

    It is made again from the log at any time, so it needs no more care than a cache.

    Args:
        path: of the file.
        origin: of the log that is asked about.
    """

    def __init__(self, path: Path, origin: str = "") -> None:
        self._path = path
        self._origin = origin
        self._open = sqlite3.connect(path)
        self._open.execute("PRAGMA synchronous = OFF")
        self._open.execute(
            "CREATE TABLE IF NOT EXISTS counted (origin TEXT, role TEXT, version INTEGER,"
            " at INTEGER, PRIMARY KEY (origin, role, version, at)) WITHOUT ROWID"
        )

    def of(self, origin: str) -> EntryTable:
        """The same, about another log."""
        return EntryTable(self._path, origin)

    def add(self, entries: Iterable[tuple[str, int, int]]) -> None:
        """Entries that counted: role, version, index."""
        rows = [(self._origin, *entry) for entry in entries]
        with self._open:
            self._open.executemany("INSERT OR IGNORE INTO counted VALUES (?, ?, ?, ?)", rows)

    def __getitem__(self, place: tuple[str, int]) -> tuple[int, ...]:
        """Indices, in order. Raises KeyError."""
        with closing(
            self._open.execute(
                "SELECT at FROM counted WHERE origin = ? AND role = ? AND version = ? ORDER BY at",
                (self._origin, *place),
            )
        ) as rows:
            found = tuple(at for (at,) in rows)
        if not found:
            raise KeyError(place)
        return found

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Roles and versions."""
        query = "SELECT DISTINCT role, version FROM counted WHERE origin = ?"
        yield from self._open.execute(query, (self._origin,))

    def __len__(self) -> int:
        """How many of them."""
        return sum(1 for _ in self)

    def close(self) -> None:
        """Let go of the file."""
        self._open.close()
