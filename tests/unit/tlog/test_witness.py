"""What is said to a witness and what it answers, status by status of the specification."""

from __future__ import annotations

import pytest

from allod.errors import AllodError, Untrusted
from allod.testing.logs import NaiveLog, note_signer
from allod.tlog.checkpoint import Checkpoint, sign_checkpoint, vouched
from allod.tlog.merkle import EMPTY_ROOT
from allod.tlog.note import Kind, Note
from allod.tlog.proofs import consistency_proof
from allod.tlog.witness import (
    AddCheckpoint,
    Status,
    Verdict,
    cosign,
    judge,
    parse_add_checkpoint,
    parse_cosignatures,
    parse_size,
    with_cosignatures,
)

LOG = NaiveLog([f"{number}".encode() for number in range(20)])
KEYS = [LOG.signer.key]
WITNESS = note_signer("witness.example", Kind.COSIGNATURE)


def at(size: int) -> Checkpoint:
    return LOG.checkpoint(size).checkpoint


def request(old: int, new: int) -> AddCheckpoint:
    return AddCheckpoint(old, consistency_proof(old, new, LOG), LOG.checkpoint(new).note)


def test_requests_come_back() -> None:
    """With a proof and without."""
    for made in (request(0, 5), request(3, 20), request(20, 20)):
        assert parse_add_checkpoint(made.encode()) == made


def test_growth_is_cosigned() -> None:
    """The witness cosigns what is new, the same again, and the first that it sees."""
    latest = None
    for old, new in ((0, 0), (0, 3), (3, 3), (3, 17), (17, 20)):
        verdict = judge(request(old, new), KEYS, latest)
        assert verdict == Verdict(Status.COSIGNED, "", at(new), old)
        latest = verdict.checkpoint
        answer = cosign(latest, WITNESS, 1000 + new)
        signed = with_cosignatures(LOG.checkpoint(new), answer, [WITNESS.key])
        assert vouched(signed, [WITNESS.key]).as_of(1) == 1000 + new


def forked(size: int, entry: bytes = b"other") -> Note:
    return NaiveLog([entry, *LOG.entries[1:]]).checkpoint(size).note


@pytest.mark.parametrize(
    ("asked", "keys", "latest", "status"),
    [
        (request(3, 20), [], at(3), Status.UNKNOWN_LOG),
        (request(3, 20), [note_signer("x").key], at(3), Status.FORBIDDEN),
        (request(3, 20), [note_signer(KEYS[0].name, seed=1).key], at(3), Status.FORBIDDEN),
        (AddCheckpoint(7, (), LOG.checkpoint(5).note), KEYS, at(7), Status.BAD_REQUEST),
        (AddCheckpoint(0, (), Note("no checkpoint\n", ())), KEYS, None, Status.BAD_REQUEST),
        (request(3, 20), KEYS, at(4), Status.OTHER_SIZE),
        (request(0, 20), KEYS, at(4), Status.OTHER_SIZE),
        (request(3, 20), KEYS, None, Status.OTHER_SIZE),
        (AddCheckpoint(0, (EMPTY_ROOT,), LOG.checkpoint(5).note), KEYS, None, Status.INCONSISTENT),
        (AddCheckpoint(3, (), LOG.checkpoint(5).note), KEYS, at(3), Status.INCONSISTENT),
        (AddCheckpoint(5, (), forked(5)), KEYS, at(5), Status.INCONSISTENT),
        (
            AddCheckpoint(5, consistency_proof(5, 9, LOG), forked(9)),
            KEYS, at(5), Status.INCONSISTENT,
        ),
        (
            AddCheckpoint(0, (), sign_checkpoint(Checkpoint("o", 0, bytes(32)), LOG.signer).note),
            KEYS, None, Status.INCONSISTENT,
        ),
    ],
)  # fmt: skip
def test_everything_else_is_refused(asked, keys, latest, status) -> None:
    """Each reason of the specification has its status; nothing is to be kept or cosigned."""
    verdict = judge(asked, keys, latest)
    assert verdict.status is status
    assert verdict.checkpoint is None
    if status is Status.OTHER_SIZE:
        assert parse_size(verdict.body) == (latest.size if latest else 0)
    else:
        assert verdict.body


def test_a_damaged_signature_is_forbidden() -> None:
    """A line with the log's name and id that does not verify makes the note malformed: 403."""
    note = LOG.checkpoint(5).note
    other = LOG.checkpoint(6).note.signatures
    assert judge(AddCheckpoint(0, (), Note(note.text, other)), KEYS, None).status is (
        Status.FORBIDDEN
    )


BODY = request(3, 20).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\n", b"old 3\n", b"old 3\n\n", BODY.replace(b"old 3", b"old 03"),
        BODY.replace(b"old 3", b"old -3"), BODY.replace(b"old 3", b"new 3"), BODY[:-1],
        BODY.replace(b"old 3\n", b"old 3\n" + b"A" * 43 + b"=\n" * 1 + b"AA==\n"),
        b"old 3\n" + (b"A" * 43 + b"=\n") * 64 + BODY.partition(b"\n")[2],
    ],
)  # fmt: skip
def test_malformed_requests(raw: bytes) -> None:
    """No old size, wrong hashes, more than 63 of them, half a note: 400, nothing is verified."""
    with pytest.raises(AllodError) as refused:
        parse_add_checkpoint(raw)
    assert refused.value.code in {"bad-witness-message", "bad-signed-note"}


def test_answers_are_capped_and_must_be_the_witnesses() -> None:
    """Strangers' lines are dropped; an answer without the witness's own is none."""
    stranger = note_signer("stranger.example", Kind.COSIGNATURE)
    checkpoint = LOG.checkpoint(5)
    both = cosign(at(5), stranger, 7) + cosign(at(5), WITNESS, 8)
    signed = with_cosignatures(checkpoint, both, [WITNESS.key])
    assert [line.name for line in signed.note.signatures] == [KEYS[0].name, WITNESS.key.name]
    with pytest.raises(Untrusted):
        with_cosignatures(checkpoint, cosign(at(5), stranger, 7), [WITNESS.key])
    with pytest.raises(Untrusted):
        with_cosignatures(checkpoint, cosign(at(6), WITNESS, 7), [WITNESS.key])
    for bad in (b"", b"x\n", both[:-1], bytes(70_000)):
        with pytest.raises(AllodError):
            parse_cosignatures(bad)
    for bad in (b"", b"5", b"05\n", b"5\n\n", b"5" * 100):
        with pytest.raises(AllodError):
            parse_size(bad)
