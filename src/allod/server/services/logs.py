"""The fleet's logs on this server: begun when its owner names them, appended to, and read.

A log is the server's if the owner's newest trust statement names it with the server's log key.
It is begun once, with the publication of the statement that names it first; one that is lost, or
that came back from a backup, is not gone on with: it could fork. A successor follows it.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from allod import durable
from allod.domain.ids import FleetId
from allod.errors import Conflict, Unavailable
from allod.server.keys import LogKey
from allod.server.layout import FleetDirectory, ServerDirectory
from allod.server.log.directory import DirectoryLogStorage
from allod.server.log.ports import LogFiles, LogStorage
from allod.server.log.queue import AppendQueue
from allod.server.log.sequencer import Appended, Sequencer
from allod.server.log.sql import SqlLogs, logs_in
from allod.server.ports import Clock
from allod.tlog.note import Kind, NoteSigner, VerifierKey, parse_key
from allod.tlog.tiles import (
    ENTRIES,
    WIDTH,
    Tile,
    encode_bundle,
    split_bundle,
    split_hashes,
)
from allod.wire.log import ActivityEntry, encode_activity
from allod.wire.trust import Log, TrustStatement

_ORIGIN: Final = re.compile(
    r"allod\.dev/log/[0-9a-f]{64}/((?:authority|activity)(?:/[1-9][0-9]{0,5})?)", re.ASCII
)
_log = structlog.get_logger("allod.server.logs")


def place_of(origin: str) -> str:
    """Where a log lies below `log/`: `authority`, or `authority/2` for a successor."""
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise Unavailable("log-missing", f"cannot find the log {origin[:120]}: it has no place")
    return found.group(1)


def directory_storage(fleet: FleetDirectory, place: str) -> DirectoryLogStorage:
    """A log in the fleet's directory."""
    return DirectoryLogStorage(fleet.log(place), fleet.sequencer(place))


def open_logs(layout: ServerDirectory, clock: Clock) -> SqlLogs:
    """The database of a server's logs.

    Only one process serves a directory, and names itself by it: after a crash it has its logs back
    at once.
    """
    holder = f"{socket.gethostname()} {layout.root.resolve()}"
    return SqlLogs(layout.logs_database, holder=holder[-255:], clock=clock)


def newest_log(statement: TrustStatement | None, name: str) -> Log | None:
    """The log of a name that none succeeds."""
    named = [log for log in (statement.logs if statement else ()) if log.name == name]
    past = {log.follows for log in named}
    newest = [log for log in named if log.origin not in past]
    return newest[-1] if newest else None


class Logs:
    """All logs of this server. Its methods may be called from several threads.

    Args:
        layout: the server's directory.
        key: of its logs; None: the server has none.
        storages: where the log of a fleet lies, by its place.
        waiting: the key that waits for owners to name it, by successors of their logs.
    """

    def __init__(
        self,
        layout: ServerDirectory,
        key: LogKey | None,
        storages: Callable[[FleetId, str], LogStorage] | None = None,
        waiting: Callable[[], LogKey | None] = lambda: None,
    ) -> None:
        self._layout = layout
        self._key = key
        self._waiting = waiting
        self._keys: dict[str, LogKey] = {}  # origin -> the key that its owner names
        self._storages = storages or (
            lambda fleet, place: directory_storage(layout.fleet(fleet), place)
        )
        self._guard = threading.Lock()
        self._open: dict[str, tuple[Sequencer, AppendQueue]] = {}
        self._activity: dict[str, str] = {}

    def mine(self, statement: TrustStatement | None, name: str) -> Log | None:
        """The log of a name that this server keeps; None: there is none, or another keeps it."""
        log = newest_log(statement, name)
        if log is None:
            return None
        named = parse_key(log.key)
        for waits in (False, True):
            key = self._waiting() if waits else self._key
            if key is not None and named == VerifierKey(log.origin, Kind.ED25519, key.public):
                with self._guard:
                    self._keys[log.origin] = key
                return log
        return None

    def know(self, fleet: FleetId, statement: TrustStatement | None) -> None:
        """Remember which log takes the fleet's activity, and by which keys its logs are kept."""
        self.mine(statement, "authority")
        log = self.mine(statement, "activity")
        with self._guard:
            if log is None:
                self._activity.pop(fleet, None)
            else:
                self._activity[fleet] = log.origin

    def begin(self, fleet: FleetId, origin: str) -> None:
        """Begin a log; one that was begun is finished."""
        sequencer, _ = self._of(fleet, origin)
        try:
            sequencer.create()
        except Conflict as error:
            if error.code != "log-exists":
                raise
            sequencer.checkpoint()

    def append(self, fleet: FleetId, origin: str, entries: Sequence[bytes]) -> Appended:
        """Append; when it returns, the entries are in a checkpoint that is served.

        Raises:
            Unavailable: `log-restored`, `log-missing`, `log-damaged`.
            Conflict: `log-in-use`.
        """
        self._check_restored(fleet, origin)
        return self._of(fleet, origin)[1].append(entries)

    def require(self, fleet: FleetId, origin: str) -> None:
        """Whether a log can be gone on with, before something is decided that goes into it.

        Raises:
            Unavailable: `log-restored`, `log-missing`, `log-damaged`.
            Conflict: `log-in-use`.
        """
        self._check_restored(fleet, origin)
        self._of(fleet, origin)[0].checkpoint()

    def _check_restored(self, fleet: FleetId, origin: str) -> None:
        marker = self._layout.fleet(fleet).sequencer(place_of(origin)) / "restored"
        if marker.exists():
            raise Unavailable(
                "log-restored",
                f"cannot go on with the log {origin}: it was restored from a backup, and readers "
                "may have seen more; let a successor log follow it ('allod trust log succeed')",
            )

    def record(self, fleet: FleetId, *entries: ActivityEntry) -> None:
        """Append to the fleet's activity, if this server logs it. Raises as `append`."""
        origin = self._activity.get(fleet)
        if origin is not None:
            self.append(fleet, origin, [encode_activity(entry) for entry in entries])

    def give_up(self, fleet: FleetId, origin: str) -> None:
        """A reader has seen more of this log than is here: going on with it would fork it."""
        private = self._layout.fleet(fleet).sequencer(place_of(origin))
        durable.make_directory(private)
        durable.write_atomic(private / "restored", b"")
        _log.error("log-behind", fleet=fleet, log=origin)

    def sequencer(self, fleet: FleetId, origin: str) -> Sequencer:
        """The one writer of a log."""
        return self._of(fleet, origin)[0]

    def reader(self, fleet: FleetId, origin: str) -> LogFiles:
        """What readers see of a log, by its origin."""
        return self.files(fleet, place_of(origin))

    def files(self, fleet: FleetId, place: str) -> LogFiles:
        """What readers see of a log."""
        return self._storages(fleet, place)

    def close(self) -> None:
        """Let go of all logs."""
        with self._guard:
            for sequencer, _ in self._open.values():
                sequencer.close()
            self._open.clear()

    def _of(self, fleet: FleetId, origin: str) -> tuple[Sequencer, AppendQueue]:
        with self._guard:
            if origin not in self._open:
                own = self._keys.get(origin, self._key)
                if own is None:
                    raise Unavailable(
                        "no-server-key", "cannot keep a log: this server has no log key"
                    )
                key = VerifierKey(origin, Kind.ED25519, own.public)
                signer = NoteSigner(key, own.sign)
                storage = self._storages(fleet, place_of(origin))
                sequencer = Sequencer(storage, origin, signer)
                self._open[origin] = (sequencer, AppendQueue(sequencer))
            return self._open[origin]


def read_tile(files: LogFiles, tile: Tile) -> bytes | None:
    """A tile that is served; a partial one that became full is cut out of the full one.

    Raises:
        InvalidInput: `bad-tile`: what is stored is damaged.
    """
    data = files.read(tile.path)
    if data is not None or tile == tile.full:
        return data
    whole = files.read(tile.full.path)
    if whole is None:
        return None
    if tile.level == ENTRIES:
        return encode_bundle(split_bundle(whole, WIDTH)[: tile.width])
    return b"".join(split_hashes(whole, WIDTH)[: tile.width])


def mark_restored(layout: ServerDirectory, fleet: FleetId) -> None:
    """Say of every log of a fleet that it came back from a backup."""
    directory = layout.fleet(fleet)
    marked = [head.parent for head in (directory.root / "sequencers").glob("**/head")]
    for name in logs_in(layout.logs_database):
        owner, _, place = name.partition("/")
        if owner == fleet:
            marked.append(directory.sequencer(place))
    for private in marked:
        durable.make_directory(private)
        durable.write_atomic(private / "restored", b"")
