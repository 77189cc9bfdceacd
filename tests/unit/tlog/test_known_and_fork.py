"""What a reader keeps is whole or damaged; a fork is shown to anybody, and never where none is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from allod.errors import InvalidInput, Untrusted
from allod.testing.logs import NaiveLog, note_signer
from allod.tlog.fork import Fork, fork_between, parse_fork, unproven
from allod.tlog.known import KnownLog, parse_known
from allod.tlog.merkle import CompactRange, leaf_hash, range_over
from allod.tlog.proofs import consistency_proof
from allod.tlog.tail import Tail
from allod.tlog.tiles import TileReader

LOG = NaiveLog([f"{number}".encode() for number in range(40)])
OTHER = NaiveLog([*LOG.entries[:3], b"other", *LOG.entries[4:]])
ORIGIN, KEYS = LOG.signer.key.name, [LOG.signer.key]


def known(size: int) -> KnownLog:
    return KnownLog(LOG.checkpoint(size), range_over(map(leaf_hash, LOG.entries[:size])))


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 39])
def test_what_is_known_is_kept(size: int) -> None:
    """Written, read, and gone on from: the tail up to now makes the log."""
    read = parse_known(known(size).encode())
    assert read == known(size)
    tail = Tail(read.range, 40)
    tail.take(LOG.tile(tail.wanted))
    assert KnownLog(LOG.checkpoint(), tail.finish(LOG.checkpoint().checkpoint)) == known(40)


@pytest.mark.parametrize("size", [0, 7, 8])
def test_what_is_damaged_is_not_used(size: int) -> None:
    """A bit of size, root or hashes changed, or a cut: an error, never another log."""
    raw = known(size).encode()
    statement = raw[: raw.index("\u2014".encode())]
    for at in range(len(statement)):
        changed = bytearray(raw)
        changed[at] ^= 1
        try:
            read = parse_known(bytes(changed))
        except InvalidInput:
            continue
        assert (read.signed.size, read.signed.root) == (size, LOG.root(size))
        assert read.signed.checkpoint.origin != ORIGIN
    for cut in range(raw.index("\u2014".encode())):
        with pytest.raises(InvalidInput):
            parse_known(raw[:cut])
    with pytest.raises(InvalidInput):
        KnownLog(LOG.checkpoint(5), CompactRange())


@pytest.mark.parametrize(("one", "two"), [(4, 4), (4, 40), (8, 40), (9, 33), (40, 40), (40, 5)])
def test_a_fork_is_shown(one: int, two: int) -> None:
    """Of equal sizes and of different ones, either way round; checked with the log's key alone."""
    seen, shown = LOG.checkpoint(one), OTHER.checkpoint(two)
    longer = (LOG, OTHER)[two >= one]
    size = max(one, two)
    found = fork_between(seen, shown, TileReader(size, NaiveLog(longer.entries[:size]).tile))
    assert found is not None
    read = parse_fork(found.encode())
    assert read == found
    assert {signed.size for signed in read.verify(ORIGIN, KEYS)} == {one, two}
    for origin, keys in (("other", KEYS), (ORIGIN, [note_signer(ORIGIN, seed=1).key])):
        with pytest.raises(Untrusted):
            read.verify(origin, keys)


@pytest.mark.parametrize(("one", "two"), [(0, 40), (3, 3), (3, 40), (8, 40), (40, 40)])
def test_a_log_that_only_grew_is_no_fork(one: int, two: int) -> None:
    """Nothing is made of it, and what somebody makes of it is refused."""
    assert fork_between(LOG.checkpoint(one), LOG.checkpoint(two), LOG) is None
    if one:
        proof = consistency_proof(one, two, LOG)
        made = Fork(LOG.checkpoint(one).note, LOG.checkpoint(two).note, LOG.root(one), proof)
        with pytest.raises(Untrusted) as refused:
            made.verify(ORIGIN, KEYS)
        assert refused.value.code == "no-fork"
        lie = Fork(made.short, made.long, leaf_hash(b""), proof)
        with pytest.raises(Untrusted) as refused:
            lie.verify(ORIGIN, KEYS)
        assert refused.value.code == "log-consistency"


def test_wrong_nodes_accuse_nobody() -> None:
    """Who serves tiles of a third history cannot make a log look forked."""
    third = NaiveLog([b"third", *LOG.entries[1:]])
    with pytest.raises(Untrusted) as refused:
        fork_between(LOG.checkpoint(9), LOG.checkpoint(40), third)
    assert refused.value.code == "log-consistency"


GOOD = fork_between(LOG.checkpoint(9), OTHER.checkpoint(40), OTHER).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"", GOOD[:-1], GOOD + b"\n", GOOD.replace(b"@v1", b"@v2"), GOOD.replace(b"short ", b"x "),
        GOOD.replace(b"root ", b"root !"), b"\n".join(GOOD.split(b"\n")[:2]) + b"\n",
        GOOD.replace(b"root ", b"r "),
        GOOD + (b"A" * 43 + b"=\n") * 64, b"x" * 600_000,
    ],
)  # fmt: skip
def test_malformed_evidence(raw: bytes) -> None:
    """Other versions, missing fields, bad hashes, too much: refused."""
    with pytest.raises(InvalidInput):
        parse_fork(raw)


def test_no_byte_of_evidence_can_be_changed() -> None:
    """Each byte changed: refused."""
    for at in range(len(GOOD)):
        changed = bytearray(GOOD)
        changed[at] ^= 1
        with pytest.raises((InvalidInput, Untrusted)):
            parse_fork(bytes(changed)).verify(ORIGIN, KEYS)


def test_two_checkpoints_alone_accuse_and_prove_nothing() -> None:
    """Where no proof can be had both are kept as they are; the file says that it is no proof."""
    kept = unproven(OTHER.checkpoint(40), LOG.checkpoint(9))
    read = parse_fork(kept.encode())
    assert read == kept
    assert not read.proven
    assert [signed.size for signed in read.checkpoints(ORIGIN, KEYS)] == [9, 40]
    with pytest.raises(Untrusted) as refused:
        read.verify(ORIGIN, KEYS)
    assert refused.value.code == "fork-unproven"


def test_signatures_of_strangers_can_be_left_out() -> None:
    """What others wrote below a checkpoint does not swell the evidence, and is not missed."""
    stranger = note_signer("stranger.example")
    fork = parse_fork(GOOD)
    blown = replace(fork, long=fork.long.with_signatures([stranger.signature(fork.long.text)] * 1))
    assert len(blown.encode()) > len(GOOD)
    assert blown.stripped(KEYS) == fork
