"""Checkpoints: read in one spelling, of the right log, vouched for by enough witnesses."""

from __future__ import annotations

import pytest

from allod.errors import AllodError, InvalidInput, Untrusted
from allod.testing.logs import NaiveLog, note_signer
from allod.tlog.checkpoint import (
    Checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
    vouched,
)
from allod.tlog.merkle import EMPTY_ROOT
from allod.tlog.note import Kind, Note, VerifierKey

LOG = NaiveLog([b"a", b"b", b"c"])
ORIGIN = LOG.signer.key.name
ROOT = "ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs="


def test_a_checkpoint_comes_back() -> None:
    """Signed, served, opened: size, root and signatures are the same."""
    opened = open_checkpoint(LOG.checkpoint().encode(), ORIGIN, [LOG.signer.key])
    assert (opened.size, opened.root) == (3, LOG.root())
    assert opened == LOG.checkpoint()


def test_extension_lines_are_kept() -> None:
    """They are part of what is signed."""
    checkpoint = Checkpoint("o", 1, EMPTY_ROOT, ("one", "two"))
    assert parse_checkpoint(checkpoint.text) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "", "o\n", "o\n1\n", f"\n1\n{ROOT}\n", f"o\n1\n{ROOT}", f"o\n01\n{ROOT}\n",
        f"o\n+1\n{ROOT}\n", f"o\n-1\n{ROOT}\n", f"o\n1 \n{ROOT}\n", f"o\n9223372036854775808\n{ROOT}\n",
        f"o\n{'9' * 4000}\n{ROOT}\n", f"o\n\u0661\n{ROOT}\n", "o\n1\nYWJj\n", f"o\n1\n{ROOT[:-1]}\n",
        f"o\n1\n{ROOT[:-2]}t=\n", f"o\n1\n{ROOT}\n\n", f"o\n1\n{ROOT}\n\nx\n",
    ],
)  # fmt: skip
def test_malformed_checkpoints(text: str) -> None:
    """Missing lines, other spellings of numbers and hashes, empty lines: refused."""
    with pytest.raises(InvalidInput) as refused:
        parse_checkpoint(text)
    assert refused.value.code == "bad-checkpoint"


def test_a_checkpoint_of_another_log_is_refused() -> None:
    """Same key, another origin; another key, same origin; a log that is empty and is not."""
    raw = LOG.checkpoint().encode()
    with pytest.raises(Untrusted) as refused:
        open_checkpoint(raw, "log.example/two", [LOG.signer.key])
    assert refused.value.code == "wrong-log"
    with pytest.raises(Untrusted) as refused:
        open_checkpoint(raw, ORIGIN, [note_signer(ORIGIN, seed=1).key])
    assert refused.value.code == "note-signature"
    hollow = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), LOG.signer)
    with pytest.raises(Untrusted) as refused:
        open_checkpoint(hollow.encode(), ORIGIN, [LOG.signer.key])
    assert refused.value.code == "log-consistency"


def test_a_witness_is_no_log() -> None:
    """A cosignature alone does not make a checkpoint, even if its key is among the log's."""
    witness = note_signer(ORIGIN, Kind.COSIGNATURE)
    note = Note(LOG.checkpoint().note.text, (witness.cosignature(LOG.checkpoint().note.text, 5),))
    with pytest.raises(Untrusted):
        open_checkpoint(note.encode(), ORIGIN, [witness.key, LOG.signer.key])


WITNESSES = [note_signer(f"w{number}.example", Kind.COSIGNATURE) for number in range(4)]


def witnessed(*times: int):
    """The checkpoint, cosigned by the first witnesses at these times."""
    signed = LOG.checkpoint()
    lines = [
        witness.cosignature(signed.note.text, at)
        for witness, at in zip(WITNESSES, times, strict=False)
    ]
    return open_checkpoint(signed.note.with_signatures(lines).encode(), ORIGIN, [LOG.signer.key])


def test_a_quorums_time_is_that_of_its_slowest() -> None:
    """Two of three at 30 and 20 say: at 20 there was no other history."""
    votes = vouched(witnessed(10, 30, 20), [witness.key for witness in WITNESSES])
    assert [at for _, at in votes.times] == [30, 20, 10]
    assert [votes.as_of(quorum) for quorum in (1, 2, 3, 4)] == [30, 20, 10, None]
    with pytest.raises(InvalidInput):
        votes.as_of(0)


def test_one_witness_counts_once() -> None:
    """Twice the same key, or one key under two names, is one voice; strangers are none."""
    checkpoint = witnessed(10, 20)
    alias = note_signer("w0.example", Kind.COSIGNATURE)
    renamed = VerifierKey("w9.example", Kind.COSIGNATURE, alias.key.public)
    keys = [WITNESSES[0].key, WITNESSES[0].key, renamed]
    assert vouched(checkpoint, keys).as_of(1) == 10
    assert vouched(checkpoint, keys).as_of(2) is None
    assert vouched(checkpoint, []).times == ()
    again = checkpoint.note.with_signatures([WITNESSES[0].cosignature(checkpoint.note.text, 50)])
    renewed = open_checkpoint(again.encode(), ORIGIN, [LOG.signer.key])
    assert len(renewed.note.signatures) == len(checkpoint.note.signatures)
    assert vouched(renewed, [WITNESSES[0].key]).as_of(1) == 50


def test_the_logs_own_key_is_no_witness() -> None:
    """A log cannot vouch for itself by being listed as a witness."""
    assert vouched(LOG.checkpoint(), [LOG.signer.key]).as_of(1) is None


def test_a_checkpoint_is_capped() -> None:
    """Before it is read."""
    with pytest.raises(AllodError) as refused:
        open_checkpoint(b"x" * 70_000, ORIGIN, [LOG.signer.key])
    assert refused.value.code == "too-large"
