"""What is said between a log and a witness (C2SP tlog-witness), and how a witness judges.

A witness keeps, for each log, the newest checkpoint that it cosigned. It makes the one that
`judge` accepts durable before it answers, and lets nobody else in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Final

from allod.errors import InvalidInput, Untrusted
from allod.tlog.checkpoint import Checkpoint, SignedCheckpoint, parse_checkpoint
from allod.tlog.lines import read_decimal, read_hash, read_text, write_base64
from allod.tlog.merkle import EMPTY_ROOT
from allod.tlog.note import (
    Note,
    NoteSigner,
    Signature,
    VerifierKey,
    parse_note,
    parse_signatures,
    signed_by,
)
from allod.tlog.proofs import Proof, verify_consistency

REQUEST_CAP: Final = 128 * 1024
RESPONSE_CAP: Final = 64 * 1024
SIZE_TYPE: Final = "text/x.tlog.size"  #: media type of a conflict's body
MAX_PROOF_LINES: Final = 63

_REQUEST: Final = "a request to a witness"


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """The request to cosign: what the witness saw last, and how the log grew from there."""

    old: int
    proof: Proof
    note: Note

    def encode(self) -> bytes:
        """The request's body."""
        lines = [f"old {self.old}", *map(write_base64, self.proof)]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.note.encode()


def parse_add_checkpoint(raw: bytes) -> AddCheckpoint:
    """Read a request's body; nothing in it is verified.

    Raises:
        InvalidInput: `too-large`, `bad-witness-message`, `bad-signed-note`: 400.
    """
    text = read_text(raw, _REQUEST, cap=REQUEST_CAP, code="bad-witness-message")
    head, blank, note = text.partition("\n\n")
    first, *proof = head.split("\n")
    if not blank or not first.startswith("old ") or len(proof) > MAX_PROOF_LINES:
        raise InvalidInput(
            "bad-witness-message", f"cannot read {_REQUEST}: it is not 'old', a proof and a note"
        )
    return AddCheckpoint(
        read_decimal(first.removeprefix("old "), "an old size", code="bad-witness-message"),
        tuple(read_hash(line, "a consistency proof", code="bad-witness-message") for line in proof),
        parse_note(note.encode(), cap=REQUEST_CAP),
    )


class Status(IntEnum):
    """How a witness answers."""

    COSIGNED = 200
    BAD_REQUEST = 400
    FORBIDDEN = 403
    UNKNOWN_LOG = 404
    OTHER_SIZE = 409
    INCONSISTENT = 422


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a witness decided.

    With `COSIGNED`, `checkpoint` is to be kept, then cosigned. With `INCONSISTENT`, the request
    is evidence against the log.
    """

    status: Status
    why: str
    checkpoint: Checkpoint | None = None
    known: int = 0  #: the size of the checkpoint that was cosigned last

    @property
    def body(self) -> bytes:
        """The body of the answer, if it is no cosignature."""
        return b"%d\n" % self.known if self.status is Status.OTHER_SIZE else self.why.encode()


def judge(  # noqa: PLR0911 - one case a status of the specification
    request: AddCheckpoint, keys: Sequence[VerifierKey], latest: Checkpoint | None
) -> Verdict:
    """Decide whether to cosign.

    Args:
        request: what was asked.
        keys: of the log that the checkpoint's origin names; none: it is not known here.
        latest: the checkpoint of that log that was cosigned last; None: there was none.
    """
    try:
        offered = parse_checkpoint(request.note.text)
    except InvalidInput as error:
        return Verdict(Status.BAD_REQUEST, error.message)
    if not keys:
        return Verdict(Status.UNKNOWN_LOG, "this log is not known here")
    try:
        signed = signed_by(request.note, keys)
    except Untrusted as error:
        return Verdict(Status.FORBIDDEN, error.message)
    if not signed:
        return Verdict(Status.FORBIDDEN, "no known key of this log signed the checkpoint")
    known = latest.size if latest is not None else 0
    if request.old > offered.size:
        return Verdict(Status.BAD_REQUEST, "the old size is beyond the checkpoint")
    if request.old != known:
        return Verdict(Status.OTHER_SIZE, "another size was cosigned last", known=known)
    why = _inconsistent(request, offered, latest)
    if why:
        return Verdict(Status.INCONSISTENT, why, known=known)
    return Verdict(Status.COSIGNED, "", offered, known)


def _inconsistent(request: AddCheckpoint, offered: Checkpoint, latest: Checkpoint | None) -> str:
    if offered.size == 0 and offered.root != EMPTY_ROOT:
        return "an empty log has the empty root"
    if latest is None or latest.size == 0:
        return "nothing is proved from the empty log" if request.proof else ""
    try:
        verify_consistency(latest.size, offered.size, request.proof, latest.root, offered.root)
    except Untrusted as error:
        return error.message
    return ""


def cosign(checkpoint: Checkpoint, signer: NoteSigner, at: int) -> bytes:
    """The body of the answer that cosigns `checkpoint` as of `at`."""
    return str(signer.cosignature(checkpoint.text, at)).encode()


def parse_cosignatures(raw: bytes) -> tuple[Signature, ...]:
    """The signature lines of a witness's answer, unverified.

    Raises:
        InvalidInput: `too-large`, `bad-witness-message`, `bad-signed-note`.
    """
    what = "a witness's answer"
    return parse_signatures(
        read_text(raw, what, cap=RESPONSE_CAP, code="bad-witness-message"), what
    )


def parse_size(raw: bytes) -> int:
    """The body of a conflict: the size that the witness cosigned last.

    Raises:
        InvalidInput: `too-large`, `bad-witness-message`.
    """
    what = "a witness's answer"
    text = read_text(raw, what, cap=64, code="bad-witness-message")
    if not text.endswith("\n"):
        raise InvalidInput("bad-witness-message", f"cannot read {what}: it is no line")
    return read_decimal(text[:-1], what, code="bad-witness-message")


def with_cosignatures(
    checkpoint: SignedCheckpoint, raw: bytes, witness: Sequence[VerifierKey]
) -> SignedCheckpoint:
    """The checkpoint with the cosignatures of one witness's answer; lines of others are dropped.

    Raises:
        InvalidInput: `too-large`, `bad-witness-message`, `bad-signed-note`.
        Untrusted: `note-signature`: it has none by a key of the witness, or a wrong one.
    """
    lines = parse_cosignatures(raw)
    signed = signed_by(Note(checkpoint.note.text, lines), witness)
    if not signed:
        raise Untrusted(
            "note-signature", "cannot accept a witness's answer: it is not by the witness's key"
        )
    own = {(one.key.name, one.key.id) for one in signed}
    more = [line for line in lines if (line.name, line.id) in own]
    return SignedCheckpoint(checkpoint.checkpoint, checkpoint.note.with_signatures(more))


def origin_hash(origin: str) -> str:
    """How a witness's monitoring address names a log."""
    return sha256(origin.encode()).hexdigest()
