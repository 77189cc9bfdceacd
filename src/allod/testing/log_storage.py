"""A log in memory, and what anybody can check of a log that lies somewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from allod.errors import Conflict
from allod.server.log.ports import LogFiles
from allod.tlog.checkpoint import SignedCheckpoint, open_checkpoint
from allod.tlog.merkle import CompactRange, leaf_hash, range_over
from allod.tlog.note import VerifierKey
from allod.tlog.tail import Tail
from allod.tlog.tiles import ENTRIES, WIDTH, Tile, tiles_of_growth


@dataclass
class MemoryLog:
    """What is durable, and who holds it."""

    head: str | None = None
    published: bytes | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    stages: dict[str, bytes] = field(default_factory=dict)
    holder: object | None = None


class MemoryLogStorage:
    """Implements `allod.server.log.ports.LogStorage` over a `MemoryLog`."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def hold(self) -> None:
        """See the port."""
        if self._log.holder not in {None, self}:
            raise Conflict("log-in-use", "cannot write the log: another one holds it")
        self._log.holder = self

    def release(self) -> None:
        """See the port."""
        if self._log.holder is self:
            self._log.holder = None

    def head(self) -> str | None:
        """See the port."""
        return self._log.head

    def commit(self, old: str | None, new: str) -> None:
        """See the port."""
        if self._held().head != old:
            raise Conflict("log-in-use", "cannot write the log: it has grown meanwhile")
        self._log.head = new

    def stage(self, name: str, data: bytes) -> None:
        """See the port."""
        self._held().stages = {name: data}

    def staged(self, name: str) -> bytes | None:
        """See the port."""
        return self._log.stages.get(name)

    def write(self, files: Mapping[str, bytes]) -> None:
        """See the port."""
        self._held().files.update(files)

    def remove_under(self, directories: Sequence[str]) -> None:
        """See the port."""
        for path in list(self._held().files):
            if path.rpartition("/")[0] in directories:
                del self._log.files[path]

    def publish(self, checkpoint: bytes) -> None:
        """See the port."""
        self._held().published = checkpoint

    def published(self) -> bytes | None:
        """See the port."""
        return self._log.published

    def read(self, path: str) -> bytes | None:
        """See the port."""
        return self._log.files.get(path)

    def _held(self) -> MemoryLog:
        if self._log.holder is not self:
            raise Conflict("log-in-use", "cannot write the log: it is not held")
        return self._log


def served_log(
    files: LogFiles, origin: str, key: VerifierKey
) -> tuple[SignedCheckpoint, tuple[bytes, ...]]:
    """What a reader verifies of a log: its checkpoint, every entry and every tile under it."""
    raw = files.published()
    if raw is None:
        raise AssertionError("no checkpoint is served")
    checkpoint = open_checkpoint(raw, origin, [key])

    def read(tile: Tile) -> bytes:
        data = files.read(tile.path)
        if data is None or len(data) > tile.cap:
            raise AssertionError(f"{tile.path} is not served")
        return data

    tail = Tail(CompactRange(), checkpoint.size)
    entries: list[bytes] = []
    while tail.wanted is not None:
        entries.extend(entry for _, entry in tail.take(read(tail.wanted)))
    tail.finish(checkpoint.checkpoint)
    for tile in tiles_of_growth(0, checkpoint.size):
        data = read(tile)
        places = range(tile.index * WIDTH, tile.index * WIDTH + tile.width)
        if tile.level != ENTRIES and data != b"".join(
            _node(entries, tile.level, at) for at in places
        ):
            raise AssertionError(f"{tile.path} holds other hashes")
    return checkpoint, tuple(entries)


def _node(entries: Sequence[bytes], level: int, index: int) -> bytes:
    width = WIDTH**level
    return range_over(map(leaf_hash, entries[index * width : (index + 1) * width])).root()
