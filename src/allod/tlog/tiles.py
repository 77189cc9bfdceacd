"""Tiles: how a log lies on a web server, a disk or a stick (C2SP tlog-tiles).

A tile is 256 neighbouring hashes of every eighth level of the tree; an entry bundle holds the 256
entries under a tile of the lowest level. At the right edge stand partial ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from allod.errors import InvalidInput
from allod.tlog.merkle import HASH_SIZE, MAX_SIZE, CompactRange, cover, fold

WIDTH: Final = 256
HEIGHT: Final = 8
ENTRIES: Final = -1  #: the "level" of entry bundles
MAX_LEVEL: Final = 63
MAX_ENTRY: Final = 0xFFFF  #: bytes
BUNDLE_CAP: Final = WIDTH * (MAX_ENTRY + 2)  #: bytes

_PATH: Final = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?",
    re.ASCII,
)
_CACHED: Final = 64  #: tiles that a reader keeps: 512 KiB


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """The address of a tile or, at level `ENTRIES`, of an entry bundle."""

    level: int
    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        if (
            not ENTRIES <= self.level <= MAX_LEVEL
            or not 0 <= self.index <= MAX_SIZE
            or not 1 <= self.width <= WIDTH
        ):
            raise InvalidInput("bad-tile", f"cannot use {self}: there is no such tile")

    @property
    def path(self) -> str:
        """Where it is, relative to the log's prefix."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        rest, last = divmod(self.index, 1000)
        parts = [f"{last:03d}"]
        while rest:
            rest, digits = divmod(rest, 1000)
            parts.append(f"x{digits:03d}")
        suffix = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(reversed(parts))}{suffix}"

    @property
    def full(self) -> Tile:
        """The full tile that this one is, or becomes."""
        return Tile(self.level, self.index)

    @property
    def partials(self) -> str:
        """The directory of the partial tiles that became this full one."""
        return f"{self.full.path}.p"

    @property
    def cap(self) -> int:
        """How many bytes it can have."""
        return self.width * (MAX_ENTRY + 2 if self.level == ENTRIES else HASH_SIZE)


def parse_tile_path(path: str) -> Tile:
    """The inverse of `Tile.path`; only the one spelling of each address is read.

    Raises:
        InvalidInput: `bad-tile`.
    """
    found = _PATH.fullmatch(path)
    if found is not None:
        level, digits, width = found.groups()
        index = int(digits.replace("x", "").replace("/", ""))
        if index <= MAX_SIZE and int(width or 1) <= WIDTH:
            level_number = ENTRIES if level == "entries" else int(level)
            if level_number <= MAX_LEVEL:
                tile = Tile(level_number, index, int(width or WIDTH))
                if tile.path == path:
                    return tile
    raise InvalidInput("bad-tile", f"cannot use {path[:80]!r} as the address of a tile")


def _partial(level: int, count: int) -> tuple[Tile, ...]:
    """The tile at the right edge of a level with `count` hashes, unless the last one is full."""
    index, width = divmod(count, WIDTH)
    return (Tile(level, index, width),) if width else ()


def tile_at(level: int, index: int, size: int) -> Tile:
    """The tile `index` of a level, as wide as a log of `size` entries has it.

    Raises:
        InvalidInput: `bad-tile`: that log has none there.
    """
    count = size >> (HEIGHT * max(level, 0))
    return Tile(level, index, min(WIDTH, count - index * WIDTH))


def tiles_of_growth(old: int, new: int) -> Iterator[Tile]:
    """Every tile and bundle that a log of `new` entries has and one of `old` entries has not."""
    for level in range(ENTRIES, MAX_LEVEL + 1):
        shift = HEIGHT * max(level, 0)
        had, has = old >> shift, new >> shift
        if not has:
            return
        if had != has:
            for index in range(had // WIDTH, has // WIDTH):
                yield Tile(level, index)
            yield from _partial(level, has)


def superseded(old: int, new: int) -> tuple[Tile, ...]:
    """The full tiles of a log of `new` entries that were partial in one of at least `old`."""
    return tuple(tile for tile in tiles_of_growth(old, new) if tile.width == WIDTH)


def bundles_of(begin: int, end: int) -> Iterator[Tile]:
    """The bundles that hold the entries `begin` to `end` of a log of `end` entries."""
    if begin < end:
        for index in range(begin // WIDTH, (end + WIDTH - 1) // WIDTH):
            yield tile_at(ENTRIES, index, end)


def split_hashes(data: bytes, width: int) -> tuple[bytes, ...]:
    """The hashes of a tile.

    Raises:
        InvalidInput: `bad-tile`: it has another length.
    """
    if len(data) != width * HASH_SIZE:
        raise InvalidInput(
            "bad-tile",
            f"cannot read a tile of {width} hashes: it has {len(data)} bytes",
        )
    return tuple(data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE))


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Write entries one after the other, each after its length.

    Raises:
        InvalidInput: `too-large`.
    """
    parts = []
    for entry in entries:
        if len(entry) > MAX_ENTRY:
            raise InvalidInput(
                "too-large",
                f"cannot log an entry of {len(entry)} bytes: at most {MAX_ENTRY} are allowed",
            )
        parts.append(len(entry).to_bytes(2, "big"))
        parts.append(entry)
    return b"".join(parts)


def split_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """The entries of a bundle.

    Raises:
        InvalidInput: `bad-tile`: it does not hold just `width` entries.
    """
    entries: list[bytes] = []
    at, length = 0, len(data)
    while at < length and len(entries) < width:
        begin = at + 2
        at = begin + int.from_bytes(data[at:begin], "big")
        entries.append(data[begin:at])
    if at != length or len(entries) != width:
        raise InvalidInput(
            "bad-tile", f"cannot read a bundle: it does not hold just {width} entries"
        )
    return tuple(entries)


class TileReader:
    """Reads nodes of a log of a known size out of its tiles.

    What it returns is as good as the tiles: a proof made from it is still to be verified.

    Args:
        size: of the log.
        read: the bytes of a tile; may raise.
    """

    def __init__(self, size: int, read: Callable[[Tile], bytes]) -> None:
        self._size = size
        self._read = read
        self._tiles: dict[Tile, tuple[bytes, ...]] = {}

    def node(self, level: int, index: int) -> bytes:
        """See `allod.tlog.proofs.NodeReader`. Raises InvalidInput `bad-tile`."""
        tile_level, above = divmod(level, HEIGHT)
        first = index << above
        hashes = self._hashes(tile_level, first // WIDTH)
        at = first % WIDTH
        part: Sequence[bytes] = hashes[at : at + (1 << above)]
        if len(part) != 1 << above:
            raise InvalidInput("bad-tile", f"cannot read node {index} of level {level}: too new")
        return CompactRange().extended(part).root() if above else part[0]

    def _hashes(self, level: int, index: int) -> tuple[bytes, ...]:
        tile = tile_at(level, index, self._size)
        known = self._tiles.get(tile)
        if known is None:
            known = split_hashes(self._read(tile), tile.width)
            if len(self._tiles) >= _CACHED:
                self._tiles.clear()
            self._tiles[tile] = known
        return known

    def range(self) -> CompactRange:
        """The compact range of the whole log."""
        nodes = (self.node(level, index) for level, index in cover(0, self._size))
        return CompactRange(0, self._size, tuple(nodes))

    def root(self) -> bytes:
        """The root of the whole log."""
        return fold(self.range().hashes)
