"""Blobs on their way: whole or not at all, resumed, capped, and never mistaken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allod.agent.transfer import Bandwidth, Blobs
from allod.domain.ids import sha256
from allod.errors import Unavailable, Untrusted
from allod.testing.machine import FakeClock
from allod.testing.payloads import MemoryTransport

DATA = os.urandom(1_000_003)
DIGEST = sha256(DATA)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    """An empty store of blobs."""
    return Blobs(tmp_path / "blobs", reserve=0)


def test_a_blob_arrives_whole_with_progress(blobs: Blobs) -> None:
    """The bytes are there under their digest, progress is told, nothing partial stays."""
    told: list[tuple[int, int]] = []
    source = MemoryTransport({"b": DATA}, piece=1000)
    blobs.fetch(source, "b", DIGEST, len(DATA), progress=lambda *step: told.append(step))
    with blobs.open(DIGEST) as file:
        assert file.read() == DATA
    assert told[-1] == (len(DATA), len(DATA))
    assert blobs.has(DIGEST, len(DATA))
    assert blobs.arrived(DIGEST) == 0
    assert blobs.names() == {DIGEST}


def test_a_transfer_goes_on_where_it_was_cut(blobs: Blobs) -> None:
    """After a cut only the rest is asked for, and the whole is checked."""
    source = MemoryTransport({"b": DATA}, piece=50_000, cut=600_000)
    with pytest.raises(Unavailable) as caught:
        blobs.fetch(source, "b", DIGEST, len(DATA))
    assert caught.value.code == "truncated"
    assert blobs.arrived(DIGEST) == 600_000
    blobs.fetch(source, "b", DIGEST, len(DATA))
    assert source.sent == len(DATA)
    assert blobs.read(DIGEST, cap=len(DATA)) == DATA


def test_a_blob_that_is_there_is_not_asked_for_again(blobs: Blobs) -> None:
    """What is whole costs no transfer."""
    source = MemoryTransport({"b": DATA})
    blobs.fetch(source, "b", DIGEST, len(DATA))
    blobs.fetch(source, "b", DIGEST, len(DATA))
    assert source.asked == ["b"]


def test_a_spoilt_beginning_is_thrown_away_once(blobs: Blobs) -> None:
    """What an earlier source left wrong does not spoil the blob for ever."""
    source = MemoryTransport({"b": DATA}, cut=500_000)
    with pytest.raises(Unavailable):
        blobs.fetch(MemoryTransport({"b": b"x" * len(DATA)}, cut=500_000), "b", DIGEST, len(DATA))
    source.cut = None
    blobs.fetch(source, "b", DIGEST, len(DATA))
    assert blobs.read(DIGEST, cap=len(DATA)) == DATA


@pytest.mark.parametrize(
    ("served", "code"),
    [
        (DATA[:-1] + b"\0" if DATA[-1] else DATA[:-1] + b"\1", "wrong-digest"),
        (DATA + b"x", "too-large"),
    ],
)
def test_other_bytes_are_refused_and_leave_nothing(blobs: Blobs, served: bytes, code: str) -> None:
    """A wrong byte or one too many: untrusted, and nothing stays on the disk."""
    with pytest.raises(Untrusted) as caught:
        blobs.fetch(MemoryTransport({"b": served}), "b", DIGEST, len(DATA))
    assert caught.value.code == code
    assert blobs.names() == frozenset()
    assert blobs.arrived(DIGEST) == 0


def test_more_on_disk_than_the_blob_has_is_started_anew(blobs: Blobs, tmp_path: Path) -> None:
    """A partial file that is longer than the blob is not believed."""
    (tmp_path / "blobs/partial").mkdir(parents=True)
    (tmp_path / "blobs/partial" / DIGEST[7:]).write_bytes(b"x" * (len(DATA) + 5))
    blobs.fetch(MemoryTransport({"b": DATA}), "b", DIGEST, len(DATA))
    assert blobs.read(DIGEST, cap=len(DATA)) == DATA


def test_the_bandwidth_cap_is_kept(blobs: Blobs) -> None:
    """At 100,000 bytes a second a million bytes take ten seconds of the clock."""
    clock = FakeClock()
    begin = clock.monotonic()
    blobs.fetch(
        MemoryTransport({"b": DATA}), "b", DIGEST, len(DATA), bandwidth=Bandwidth(clock, 100_000)
    )
    assert 9.9 < clock.monotonic() - begin < 10.5


def test_an_empty_blob_is_a_blob(blobs: Blobs) -> None:
    """Nothing to fetch, still checked and stored."""
    blobs.fetch(MemoryTransport({"b": b""}), "b", sha256(b""), 0)
    assert blobs.has(sha256(b""), 0)


def test_small_blobs_are_put_read_and_pruned(blobs: Blobs, tmp_path: Path) -> None:
    """What changed on the disk is not read; what is not kept goes, partial or whole."""
    digest = blobs.put(b"hello")
    other = blobs.put(b"other")
    assert blobs.read(digest, cap=10) == b"hello"
    assert blobs.read(digest, cap=4) is None
    blobs.path(digest).write_bytes(b"hellO")
    assert blobs.read(digest, cap=10) is None
    (tmp_path / "blobs/partial" / ("0" * 64)).write_bytes(b"x")
    blobs.prune(frozenset({other}))
    assert blobs.names() == {other}
    assert os.listdir(tmp_path / "blobs/partial") == []


def test_no_room_is_said_before_the_transfer(tmp_path: Path) -> None:
    """The reserve of the disk is not touched: nothing is asked for."""
    source = MemoryTransport({"b": DATA})
    with pytest.raises(Unavailable) as caught:
        Blobs(tmp_path / "blobs", reserve=1 << 60).fetch(source, "b", DIGEST, len(DATA))
    assert caught.value.code == "no-space"
    assert source.asked == []
