"""Proof files that stand alone, and tails that are the log's or are refused."""

from __future__ import annotations

import pytest

from allod.errors import AllodError, InvalidInput, Untrusted
from allod.testing.logs import NaiveLog
from allod.tlog.evidence import LogProof, parse_proof
from allod.tlog.merkle import CompactRange, leaf_hash, range_over
from allod.tlog.proofs import inclusion_proof
from allod.tlog.tail import Tail
from allod.tlog.tiles import encode_bundle

LOG = NaiveLog([f"{number}".encode() for number in range(600)])
ORIGIN, KEYS = LOG.signer.key.name, [LOG.signer.key]


def proof(index: int, size: int, extra: bytes | None = None) -> LogProof:
    return LogProof(index, inclusion_proof(index, size, LOG), LOG.checkpoint(size).note, extra)


@pytest.mark.parametrize("extra", [None, b"", b"bytes"])
def test_a_proof_stands_alone(extra: bytes | None) -> None:
    """Written, read, verified with nothing but the entry and the log's key."""
    made = proof(5, 20, extra)
    read = parse_proof(made.encode())
    assert read == made
    assert read.verify(b"5", ORIGIN, KEYS).size == 20


def test_no_byte_of_a_proof_can_be_changed() -> None:
    """Each byte changed: refused; only `extra`, which nobody vouches for, may differ."""
    raw = proof(5, 20).encode()
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1
        with pytest.raises((InvalidInput, Untrusted)):
            parse_proof(bytes(changed)).verify(b"5", ORIGIN, KEYS)
    for entry, origin in ((b"6", ORIGIN), (b"5", "log.example/two")):
        with pytest.raises(Untrusted):
            parse_proof(raw).verify(entry, origin, KEYS)


RAW = proof(5, 20).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"c2sp.org/tlog-proof@v1\n", RAW.replace(b"@v1", b"@v2"), RAW.replace(b"index 5\n", b""),
        RAW.replace(b"index 5", b"index 05"), RAW.replace(b"index 5", b"extra !\nindex 5"),
        RAW.replace(b"index 5", b"index 5\nindex 5"), RAW.partition(b"\n\n")[0],
        RAW.replace(b"index 5\n", b"index 5\n" + (b"A" * 43 + b"=\n") * 64),
    ],
)  # fmt: skip
def test_malformed_proofs(raw: bytes) -> None:
    """Another version, no index, wrong hashes, too many of them, no checkpoint: refused."""
    with pytest.raises(InvalidInput) as refused:
        parse_proof(raw)
    assert refused.value.code in {"bad-proof", "bad-signed-note"}


def take(tail: Tail, log: NaiveLog = LOG) -> list[tuple[int, bytes]]:
    found = []
    while tail.wanted is not None:
        found.extend(tail.take(log.tile(tail.wanted)))
    return found


@pytest.mark.parametrize("new", [1, 255, 256, 257, 600])
@pytest.mark.parametrize("old", [0, 1, 200, 255, 256, 512, 600])
def test_a_tail_is_all_that_is_new(old: int, new: int) -> None:
    """Whatever was known: just the new entries come, in order, and the range is the log's."""
    known = range_over(map(leaf_hash, LOG.entries[:old]))
    if old > new:
        with pytest.raises(Untrusted):
            Tail(known, new)
        return
    tail = Tail(known, new)
    assert take(tail) == list(enumerate(LOG.entries))[old:new]
    kept = tail.finish(LOG.checkpoint(new).checkpoint)
    assert kept == range_over(map(leaf_hash, LOG.entries[:new]))


def test_another_history_is_seen() -> None:
    """An entry that changed, one left out, a false checkpoint, half a tail: refused."""
    known = range_over(map(leaf_hash, LOG.entries[:300]))
    truth = LOG.checkpoint(600).checkpoint
    changed = NaiveLog([*LOG.entries[:400], b"x", *LOG.entries[401:]])
    rewritten = NaiveLog([b"x", *LOG.entries[1:]])
    for log, claim in ((changed, truth), (rewritten, rewritten.checkpoint().checkpoint)):
        tail = Tail(known, 600)
        take(tail, log)
        with pytest.raises(Untrusted) as refused:
            tail.finish(claim)
        assert refused.value.code == "log-consistency"
    half = Tail(known, 600)
    half.take(LOG.tile(half.wanted))
    with pytest.raises(Untrusted):
        half.finish(truth)


def test_a_bundle_must_be_the_one_that_was_asked_for() -> None:
    """A wider one than asked is cut; shorter ones, and any after the end, are refused."""
    tail = Tail(CompactRange(), 3)
    with pytest.raises(AllodError):
        tail.take(encode_bundle(LOG.entries[:2]))
    assert tail.take(encode_bundle(LOG.entries[:256]), width=256)[-1] == (2, b"2")
    with pytest.raises(InvalidInput):
        tail.take(b"")
    assert tail.finish(LOG.checkpoint(3).checkpoint).end == 3
    assert tail.range.end == 3
