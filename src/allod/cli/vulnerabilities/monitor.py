"""What was told about flaws, durably: news is on the disk before anybody hears of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from allod.cli.audit.hooks import bring
from allod.cli.vulnerabilities.news import FlawEvent, Known, step
from allod.durable import make_directory, write_atomic
from allod.wire.codec import Document, decode, encode, instant

if TYPE_CHECKING:
    from pathlib import Path

    from allod.cli.audit.hooks import Hook, Told
    from allod.cli.vulnerabilities.found import Looked
    from allod.domain.ids import FleetId

WAITING: Final = 10_000  #: events that are kept for a hook that never comes
_CAP: Final = 512 * 1024 * 1024


class Waiting(Document, frozen=True, kw_only=True):
    """News that some hooks have not taken yet."""

    event: FlawEvent
    hooks: list[str]


class NewsFile(Document, frozen=True, kw_only=True):
    """`news.json`: what was told, and what is still to be brought to hooks."""

    type: Literal["allod.flaws"] = "allod.flaws"
    format: Literal[1] = 1
    fleet: str
    at: str = ""  #: of the last look
    hooks: list[str] = []  # noqa: RUF012 - msgspec copies it; kinds that were ever given
    known: list[Known] = []  # noqa: RUF012
    waiting: list[Waiting] = []  # noqa: RUF012


@dataclass(slots=True)
class News:
    """What is new in a fleet; whoever looks, an import or a watcher, tells it once.

    Args:
        path: of `news.json`.
        fleet: whose it is.
    """

    path: Path
    fleet: FleetId

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Held while a look is taken or news is brought; others wait."""
        make_directory(self.path.parent)
        fd = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def load(self) -> NewsFile:
        """What was kept. Raises InvalidInput: it is damaged; what was told would be told again."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return NewsFile(fleet=self.fleet)
        return decode(data, NewsFile, cap=_CAP, what=str(self.path))

    def take(
        self, looked: Looked, now: datetime, *, hooks: Sequence[str] = ()
    ) -> tuple[FlawEvent, ...]:
        """Take a look of the whole fleet; what is to be told is durable when it returns.

        Args:
            looked: what was found.
            now: when.
            hooks: names of hooks that are to hear of it, beside those of earlier looks.
        """
        file = self.load()
        dark = looked.running.dark
        known, events = step(file.known, looked.lines, dark, fleet=self.fleet, now=now)
        names = sorted({*file.hooks, *hooks})
        waiting = [Waiting(event=event, hooks=names) for event in events] if names else []
        self._save(
            msgspec.structs.replace(
                file,
                at=instant(now),
                hooks=names,
                known=known,
                waiting=[*file.waiting, *waiting][-WAITING:],
            )
        )
        return events

    def deliver(self, hooks: Sequence[Hook]) -> tuple[str, ...]:
        """Bring what waits to hooks, oldest first; why some could not be, in words."""
        file = self.load()

        def taken(event: Told, hook: str) -> None:
            nonlocal file
            file = self._taken(file, event, hook)

        failed = bring(file.waiting, hooks, taken)
        return tuple(f"the {name} did not take the news: {why}" for name, why in failed.items())

    def _taken(self, file: NewsFile, event: Told, hook: str) -> NewsFile:
        left = []
        for one in file.waiting:
            names = [name for name in one.hooks if one.event != event or name != hook]
            if names:
                left.append(Waiting(event=one.event, hooks=names))
        return self._save(msgspec.structs.replace(file, waiting=left))

    def _save(self, file: NewsFile) -> NewsFile:
        make_directory(self.path.parent)
        write_atomic(self.path, encode(file))
        return file


def news_of(directory: Path, fleet: FleetId) -> News:
    """The news of a fleet, by its directory on this machine."""
    return News(directory / "flaws" / "news.json", fleet)
