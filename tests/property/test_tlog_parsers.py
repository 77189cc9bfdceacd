"""Whatever bytes come in, a reader answers with a value or with a named refusal; and reads what it
wrote.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allod.errors import InvalidInput, Untrusted
from allod.testing.logs import NaiveLog
from allod.tlog.checkpoint import parse_checkpoint
from allod.tlog.evidence import LogProof, parse_proof
from allod.tlog.fork import parse_fork
from allod.tlog.known import KnownLog, parse_known
from allod.tlog.merkle import leaf_hash, range_over
from allod.tlog.note import parse_key, parse_note
from allod.tlog.proofs import inclusion_proof, verify_consistency, verify_inclusion
from allod.tlog.tiles import parse_tile_path, split_bundle
from allod.tlog.witness import (
    AddCheckpoint,
    parse_add_checkpoint,
    parse_cosignatures,
    parse_size,
)
from allod.wire.log import decode_activity, decode_authority

LOG = NaiveLog([b"a", b"b", b"c", b"d", b"e"])
READERS = {
    "note": parse_note,
    "proof": parse_proof,
    "fork": parse_fork,
    "known": parse_known,
    "request": parse_add_checkpoint,
    "answer": parse_cosignatures,
    "size": parse_size,
    "activity": decode_activity,
    "authority": decode_authority,
    "bundle": lambda raw: split_bundle(raw, 3),
    "checkpoint": lambda raw: parse_checkpoint(raw.decode("utf-8", "replace")),
    "key": lambda raw: parse_key(raw.decode("utf-8", "replace")),
    "path": lambda raw: parse_tile_path(raw.decode("utf-8", "replace")),
}
SEEDS = [
    LOG.checkpoint().encode(),
    LogProof(2, inclusion_proof(2, 5, LOG), LOG.checkpoint().note, b"x").encode(),
    AddCheckpoint(0, (), LOG.checkpoint().note).encode(),
    KnownLog(LOG.checkpoint(), range_over(map(leaf_hash, LOG.entries))).encode(),
    str(LOG.signer.key).encode(),
    b"tile/0/x001/234.p/5",
    b"\0\1a\0\1b\0\1c",
]


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A good input with pieces cut out, doubled or replaced; or any bytes."""
    data = draw(st.sampled_from(SEEDS) | st.binary(max_size=200))
    for _ in range(draw(st.integers(0, 3))):
        at, to = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        piece = draw(st.just(b"") | st.just(data[at:to] * 2) | st.binary(max_size=8))
        data = data[:at] + piece + data[to:]
    return data


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=150, deadline=None)
@given(raw=mangled())
def test_readers_answer_or_refuse(name: str, raw: bytes) -> None:
    """No other exception, and what can be written again gives the same bytes."""
    try:
        value = READERS[name](raw)
    except InvalidInput as error:
        assert error.message.startswith("cannot ")
        return
    if name in {"note", "proof", "fork", "known", "request"}:
        assert value.encode() == raw


@settings(max_examples=300, deadline=None)
@given(
    st.integers(-1, 2**64), st.integers(-1, 2**64), st.lists(st.binary(max_size=33), max_size=130)
)
def test_verifiers_answer_or_refuse(one: int, two: int, proof: list[bytes]) -> None:
    """Any numbers and any hashes end quickly, in a refusal."""
    with pytest.raises(Untrusted):
        verify_inclusion(bytes(32), one, two, proof, bytes(32))
    if one != two:
        with pytest.raises(Untrusted):
            verify_consistency(one, two, proof, bytes(32), bytes(32))
