"""Where tiles are, what is in them, and how nodes are read from them."""

from __future__ import annotations

import pytest

from allod.errors import AllodError
from allod.testing.logs import NaiveLog
from allod.tlog.merkle import leaf_hash, range_over
from allod.tlog.proofs import consistency_proof, inclusion_proof, verify_consistency
from allod.tlog.tiles import (
    ENTRIES,
    Tile,
    TileReader,
    bundles_of,
    encode_bundle,
    parse_tile_path,
    split_bundle,
    split_hashes,
    superseded,
    tile_at,
    tiles_of_growth,
)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(1, 999, 17), "tile/1/999.p/17"),
        (Tile(ENTRIES, 1000, 255), "tile/entries/x001/000.p/255"),
        (Tile(63, 2**63 - 1), "tile/63/x009/x223/x372/x036/x854/x775/807"),
    ],
)
def test_addresses(tile: Tile, path: str) -> None:
    """Addresses are those of tlog-tiles, and are read back."""
    assert tile.path == path
    assert parse_tile_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0", "tile/0/0000", "tile/00/000", "tile/64/000", "tile/-1/000", "tile/0/x000/001",
        "tile/0/001/002", "tile/0/x001/x002", "tile/0/000.p/0", "tile/0/000.p/256",
        "tile/0/000.p/01", "tile/0/000.p/999", "tile/data/000", "tile/0/000/", "/tile/0/000",
        "tile/0/../0/000", "tile/0/x009/x223/x372/x036/x854/x775/808", "tile/0/\u0660\u0660\u0660",
        "tile/0/000\n", "checkpoint", "",
    ],
)  # fmt: skip
def test_other_spellings_are_no_addresses(path: str) -> None:
    """Each tile has one address; everything else is refused."""
    with pytest.raises(AllodError) as refused:
        parse_tile_path(path)
    assert refused.value.code == "bad-tile"


def test_the_example_of_tlog_tiles() -> None:
    """A log of 70,000 entries has just the tiles that the specification counts."""
    tiles = list(tiles_of_growth(0, 70_000))
    by_level = {
        level: [tile for tile in tiles if tile.level == level] for level in (ENTRIES, 0, 1, 2, 3)
    }
    assert [len(by_level[level]) for level in (ENTRIES, 0, 1, 2, 3)] == [274, 274, 2, 1, 0]
    assert by_level[0][-1] == Tile(0, 273, 112)
    assert by_level[1] == [Tile(1, 0), Tile(1, 1, 17)]
    assert by_level[2] == [Tile(2, 0, 1)]
    assert list(tiles_of_growth(0, 256)) == [Tile(ENTRIES, 0), Tile(0, 0), Tile(1, 0, 1)]


@pytest.mark.parametrize("sizes", [(0, 1), (1, 255), (255, 256), (256, 257), (3, 600), (70, 70)])
def test_growth_names_what_is_new(sizes: tuple[int, int]) -> None:
    """What the larger log has and the smaller has not; and which partial tiles became full."""
    old, new = sizes
    had, has = set(tiles_of_growth(0, old)), set(tiles_of_growth(0, new))
    assert set(tiles_of_growth(old, new)) == has - had
    gone = {tile for tile in had if tile.width < 256} - has
    assert {tile.full for tile in gone if tile.full in has} <= set(superseded(old, new))


@pytest.mark.parametrize("size", [1, 2, 100, 255, 256, 257, 300, 512, 600])
def test_a_log_is_read_from_its_tiles(size: int) -> None:
    """Root, compact range and proofs out of tiles are those of the tree."""
    log = NaiveLog([f"{number}".encode() for number in range(size)])
    stored = {tile.path: log.tile(tile) for tile in tiles_of_growth(0, size)}
    reader = TileReader(size, lambda tile: stored[tile.path])
    assert reader.range() == range_over(map(leaf_hash, log.entries))
    assert reader.root() == log.root()
    for index in {0, size // 2, size - 1}:
        assert inclusion_proof(index, size, reader) == inclusion_proof(index, size, log)
    old = size // 2 or 1
    proof = consistency_proof(old, size, reader)
    verify_consistency(old, size, proof, log.root(old), log.root())


def test_a_node_that_is_not_there_is_not_made_up() -> None:
    """A subtree that the log has not filled has no hash."""
    log = NaiveLog([b"x"] * 5)
    reader = TileReader(5, log.tile)
    for level, index in ((0, 5), (1, 2), (3, 0), (8, 0)):
        with pytest.raises(AllodError):
            reader.node(level, index)


def test_a_reader_keeps_little() -> None:
    """It reads each tile once for a proof, and never keeps more than its cap."""
    size, asked = 256 * 300, []

    def read(tile: Tile) -> bytes:
        asked.append(tile)
        return bytes(32 * tile.width)

    reader = TileReader(size, read)
    inclusion_proof(77, size, reader)
    assert len(asked) == len(set(asked)) <= 4
    for index in range(300):
        reader.node(0, index * 256)
    assert len(reader._tiles) <= 64


def test_bundles() -> None:
    """Entries of any length up to 65,535 come back; what follows or lacks is refused."""
    entries = (b"", b"a", bytes(65535), b"b" * 300)
    data = encode_bundle(entries)
    assert split_bundle(data, 4) == entries
    assert list(bundles_of(250, 600)) == [
        Tile(ENTRIES, 0), Tile(ENTRIES, 1), Tile(ENTRIES, 2, 88),
    ]  # fmt: skip
    assert not list(bundles_of(5, 5))
    for bad, width in ((data, 3), (data, 5), (data[:-1], 4), (data + b"\0", 4), (b"\0", 1)):
        with pytest.raises(AllodError) as refused:
            split_bundle(bad, width)
        assert refused.value.code == "bad-tile"
    with pytest.raises(AllodError) as refused:
        encode_bundle([bytes(65536)])
    assert refused.value.code == "too-large"


def test_tiles_have_their_length() -> None:
    """A tile is as wide as its address says."""
    assert split_hashes(bytes(64), 2) == (bytes(32), bytes(32))
    for bad in (b"", bytes(63), bytes(65), bytes(96)):
        with pytest.raises(AllodError):
            split_hashes(bad, 2)
    assert Tile(0, 0, 3).cap == 96
    assert Tile(ENTRIES, 0, 2).cap == 2 * 65537
    with pytest.raises(AllodError):
        tile_at(0, 1, 256)
