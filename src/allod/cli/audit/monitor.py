"""What a monitor knows, durably: an alarm is on the disk before any hook hears of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from allod.audit.alarms import Event, Known, Sight, Source, standing, step
from allod.cli.audit.hooks import bring
from allod.durable import make_directory, write_atomic
from allod.errors import Conflict
from allod.wire.codec import Document, decode, encode, instant

if TYPE_CHECKING:
    from pathlib import Path

    from allod.cli.audit.hooks import Hook, Told
    from allod.domain.ids import FleetId

_CAP: Final = 256 * 1024 * 1024


class Waiting(Document, frozen=True, kw_only=True):
    """An event that some hooks have not taken yet."""

    event: Event
    hooks: list[str]


class WatchFile(Document, frozen=True, kw_only=True):
    """`watch.json`: what was seen and said, and what is still to be brought to hooks."""

    type: Literal["allod.watch"] = "allod.watch"
    format: Literal[1] = 1
    fleet: str
    at: str = ""  #: of the last look
    known: list[Known] = []  # noqa: RUF012 - msgspec copies it
    waiting: list[Waiting] = []  # noqa: RUF012


@dataclass(slots=True)
class Monitor:
    """The durable half of `allod audit watch`.

    Args:
        path: of `watch.json`.
        fleet: whose it is.
        hooks: where events go.
    """

    path: Path
    fleet: FleetId
    hooks: Sequence[Hook] = ()
    _file: WatchFile = field(init=False)

    def __post_init__(self) -> None:
        self._file = self._load()

    def _load(self) -> WatchFile:
        """What was kept. Raises InvalidInput: it is damaged; what was said would be said again."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return WatchFile(fleet=self.fleet)
        return decode(data, WatchFile, cap=_CAP, what=str(self.path))

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Held by the one monitor of a fleet on this machine. Raises Conflict `in-use`."""
        make_directory(self.path.parent)
        lock = self.path.with_suffix(".lock")
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Conflict(
                    "in-use", f"cannot watch: another monitor holds {lock}; stop it first"
                ) from error
            self._file = self._load()
            yield
        finally:
            os.close(fd)

    def take(
        self, seen: Sequence[Sight], looked: frozenset[Source], now: datetime
    ) -> tuple[Event, ...]:
        """Take a look's sights; what is to be said is durable when it returns."""
        known = {one.sight.key: one for one in self._file.known}
        after, events = step(known, seen, looked, fleet=self.fleet, now=now)
        names = [hook.name for hook in self.hooks]
        waiting = [Waiting(event=event, hooks=names) for event in events] if names else []
        self._save(
            at=instant(now), known=list(after.values()), waiting=[*self._file.waiting, *waiting]
        )
        return events

    def deliver(self) -> tuple[str, ...]:
        """Bring what waits to the hooks, oldest first; why some could not be, in words."""
        failed = bring(self._file.waiting, self.hooks, self._taken)
        return tuple(f"the {name} did not take an alarm: {why}" for name, why in failed.items())

    def _taken(self, event: Told, hook: str) -> None:
        left = []
        for one in self._file.waiting:
            if one.event == event:
                hooks = [name for name in one.hooks if name != hook]
                if hooks:
                    left.append(Waiting(event=event, hooks=hooks))
            else:
                left.append(one)
        self._save(waiting=left)

    @property
    def waiting(self) -> int:
        """Events that some hook has not taken."""
        return len(self._file.waiting)

    @property
    def standing(self) -> tuple[Known, ...]:
        """Conditions that were raised and are not over."""
        return standing({one.sight.key: one for one in self._file.known})

    def _save(self, **changes: object) -> None:
        file = msgspec.structs.replace(self._file, **changes)
        make_directory(self.path.parent)
        write_atomic(self.path, encode(file))
        self._file = file
