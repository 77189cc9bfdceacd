"""A log that grows in any steps is the log: its tiles, bundles and edge are those of the RFC."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from allod.testing.logs import NaiveLog
from allod.tlog.growth import Edge, read_edge
from allod.tlog.merkle import leaf_hash, range_over
from allod.tlog.tail import Tail
from allod.tlog.tiles import tiles_of_growth

STEPS = st.lists(
    st.one_of(st.integers(0, 5), st.integers(200, 300), st.sampled_from([255, 256, 257, 512])),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_growth_in_steps(steps: list[int]) -> None:
    """Step by step: just the new tiles, with the bytes of the tree; the edge can be read back."""
    log, edge, stored = NaiveLog(), Edge(), {}
    known = range_over([])
    for step in steps:
        fresh = [f"{edge.size + number}".encode() for number in range(step)]
        old = edge.size
        edge, files = edge.grown(fresh)
        log.entries += fresh
        assert set(files) == set(tiles_of_growth(old, edge.size))
        assert edge.size == len(log.entries)
        stored.update(files)
        assert all(log.tile(tile) == data for tile, data in files.items())
        assert edge.range == range_over(map(leaf_hash, log.entries))
        assert edge.range.root() == log.root()
        assert read_edge(edge.size, lambda tile: stored[tile]) == edge
        tail = Tail(known, edge.size)
        while tail.wanted is not None:
            tail.take(stored[tail.wanted])
        known = tail.finish(log.checkpoint().checkpoint)
    assert set(tiles_of_growth(0, edge.size)) <= set(stored)
