"""The entries that a log has gained, in order and all of them.

Who keeps the compact range of a log that was verified needs nothing but the new entries: if the
range extended by them has the root of the new checkpoint, the log has only grown, and nothing of
it was left out.
"""

from __future__ import annotations

from hashlib import sha256

from allod.errors import InvalidInput, Untrusted
from allod.tlog.checkpoint import Checkpoint
from allod.tlog.merkle import CompactRange
from allod.tlog.tiles import ENTRIES, WIDTH, Tile, split_bundle, tile_at


class Tail:
    """Takes bundle after bundle, and says at the end whether they were the log's.

    The entries that `take` returns are not to be acted on before `finish` returned.

    Args:
        known: the range that was verified last (of an empty log, at first); or any range at the
            end of which the bundles begin.
        size: of the log now, or where this part of it ends.
    """

    def __init__(self, known: CompactRange, size: int) -> None:
        if size < known.end:
            raise Untrusted(
                "log-consistency",
                f"cannot accept a log of {size} entries: it had {known.end} before",
                old=known.end,
                new=size,
            )
        self._range = known
        self._size = size

    @property
    def wanted(self) -> Tile | None:
        """The bundle that comes next; None: that was all."""
        end = self._range.end
        return tile_at(ENTRIES, end // WIDTH, self._size) if end < self._size else None

    def take(self, bundle: bytes, *, width: int | None = None) -> tuple[tuple[int, bytes], ...]:
        """Take the bundle that `wanted` names, and return its new entries with their indices.

        Args:
            bundle: its bytes.
            width: how many entries it has, if it came with more than were asked for.

        Raises:
            InvalidInput: `bad-tile`.
        """
        tile = self.wanted
        if tile is None or (width is not None and not tile.width <= width <= WIDTH):
            raise InvalidInput("bad-tile", "cannot take a bundle: it is not the one that was asked")
        first = tile.index * WIDTH
        begin = self._range.end
        entries = split_bundle(bundle, width or tile.width)[begin - first : tile.width]
        self._range = self._range.extended([sha256(b"\0" + entry).digest() for entry in entries])
        return tuple(enumerate(entries, begin))

    @property
    def range(self) -> CompactRange:
        """What was taken so far, added to what was known."""
        return self._range

    def finish(self, checkpoint: Checkpoint) -> CompactRange:
        """Check that the whole log was taken, and is the one of `checkpoint`.

        Returns:
            What to keep for the next time.

        Raises:
            Untrusted: `log-consistency`: the checkpoint is of another history.
        """
        if self._range.end != checkpoint.size or self._range.root() != checkpoint.root:
            raise Untrusted(
                "log-consistency",
                f"cannot accept the checkpoint of {checkpoint.size} entries: the entries that "
                f"are served make another log of {self._range.end}",
                size=checkpoint.size,
            )
        return self._range
