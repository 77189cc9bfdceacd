"""How a log grows: which tiles and bundles new entries make, from its right edge alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from allod.errors import InvalidInput
from allod.tlog.merkle import CompactRange, leaf_hash
from allod.tlog.tiles import (
    ENTRIES,
    HEIGHT,
    WIDTH,
    Tile,
    encode_bundle,
    split_bundle,
    split_hashes,
    tile_at,
)


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a log: its partial bundle, and the partial tile of each level."""

    size: int = 0
    entries: tuple[bytes, ...] = ()
    levels: tuple[tuple[bytes, ...], ...] = ()

    @property
    def range(self) -> CompactRange:
        """The compact range of the whole log."""
        hashes: tuple[bytes, ...] = ()
        for level in reversed(self.levels):
            hashes += CompactRange().extended(level).hashes
        return CompactRange(0, self.size, hashes)

    def grown(self, entries: Sequence[bytes]) -> tuple[Edge, Mapping[Tile, bytes]]:
        """The edge after `entries` were added, and every tile and bundle that is new.

        Raises:
            InvalidInput: `too-large`.
        """
        if not entries:
            return self, {}
        files: dict[Tile, bytes] = {}
        bundled = (*self.entries, *entries)
        first = self.size // WIDTH
        for number, at in enumerate(range(0, len(bundled), WIDTH), first):
            part = bundled[at : at + WIDTH]
            files[Tile(ENTRIES, number, len(part))] = encode_bundle(part)
        levels = []
        fresh: list[bytes] = [leaf_hash(entry) for entry in entries]
        level = 0
        while fresh or level < len(self.levels):
            known = self.levels[level] if level < len(self.levels) else ()
            rest, above = _grown_level(
                level, (self.size >> (HEIGHT * level)) // WIDTH, known, fresh, files
            )
            levels.append(rest)
            fresh, level = above, level + 1
        size = self.size + len(entries)
        kept = bundled[len(bundled) - size % WIDTH :] if size % WIDTH else ()
        return Edge(size, kept, tuple(levels)), files


def _grown_level(
    level: int,
    first: int,
    known: tuple[bytes, ...],
    fresh: list[bytes],
    files: dict[Tile, bytes],
) -> tuple[tuple[bytes, ...], list[bytes]]:
    """What stays partial of a level, and the hashes of its tiles that became full."""
    if not fresh:
        return known, []
    hashes = (*known, *fresh)
    above = []
    for number, at in enumerate(range(0, len(hashes), WIDTH), first):
        part = hashes[at : at + WIDTH]
        files[Tile(level, number, len(part))] = b"".join(part)
        if len(part) == WIDTH:
            above.append(CompactRange().extended(part).root())
    return hashes[len(hashes) - len(hashes) % WIDTH :], above


def read_edge(size: int, read: Callable[[Tile], bytes]) -> Edge:
    """The edge of a log that lies somewhere as tiles.

    Whether it is the edge of the right log is known once the root of its range was compared.

    Raises:
        InvalidInput: `bad-tile`: a tile has the wrong length, or does not fit the entries.
    """
    levels = []
    level = 0
    while count := size >> (HEIGHT * level):
        index, width = divmod(count, WIDTH)
        tile = tile_at(level, index, size) if width else None
        levels.append(() if tile is None else split_hashes(read(tile), width))
        level += 1
    entries: tuple[bytes, ...] = ()
    if width := size % WIDTH:
        entries = split_bundle(read(tile_at(ENTRIES, size // WIDTH, size)), width)
        if tuple(map(leaf_hash, entries)) != levels[0]:
            raise InvalidInput(
                "bad-tile", "cannot read a log: its last entries are not those of its last tile"
            )
    return Edge(size, entries, tuple(levels))
