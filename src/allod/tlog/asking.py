"""How a witness is asked to cosign (C2SP tlog-witness): the talk, without the wire.

Whoever asks need not remember what the witness saw: a witness that saw another size names it, and
is asked again from there.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

from allod.errors import Conflict, Unavailable, Untrusted
from allod.tlog.checkpoint import SignedCheckpoint
from allod.tlog.note import VerifierKey
from allod.tlog.proofs import NodeReader, consistency_proof
from allod.tlog.witness import AddCheckpoint, Status, parse_size, with_cosignatures

_TRIES: Final = 3  #: others may ask the same witness meanwhile


@dataclass(frozen=True, slots=True)
class Heard:
    """What a witness answered."""

    status: int
    body: bytes


def ask(
    signed: SignedCheckpoint, witness: VerifierKey, reader: NodeReader, *, old: int = 0
) -> Generator[bytes, Heard, SignedCheckpoint]:
    """Yields bodies to post to `add-checkpoint`; returns the checkpoint with the cosignature.

    Args:
        signed: the log's newest checkpoint.
        witness: its key.
        reader: the log under the checkpoint.
        old: the size that the witness saw last, as far as is known.

    Raises:
        InvalidInput: the answer cannot be read.
        Untrusted: `note-signature`: the answer is not the witness's; `witness-refused`: it saw
            another history of this log.
        Conflict: `witness-ahead`: it saw more of the log than this checkpoint has.
        Unavailable: `witness-unavailable`: it does not know the log, or cannot answer.
    """
    for _ in range(_TRIES):
        proof = consistency_proof(old, signed.size, reader)
        note = signed.note
        heard = yield AddCheckpoint(old, proof, note).encode()
        match heard.status:
            case Status.COSIGNED:
                return with_cosignatures(signed, heard.body, [witness])
            case Status.OTHER_SIZE:
                old = parse_size(heard.body)
            case Status.INCONSISTENT:
                raise Untrusted(
                    "witness-refused",
                    f"cannot have {witness.name} cosign: it saw another history of this log; "
                    "compare with the checkpoint that it keeps",
                )
            case _:
                raise Unavailable(
                    "witness-unavailable",
                    f"cannot have {witness.name} cosign: it answers with {heard.status}; it may "
                    "not know this log yet",
                    status=heard.status,
                )
        if old > signed.size:
            raise Conflict(
                "witness-ahead",
                f"cannot have {witness.name} cosign {signed.size} entries: it saw {old} of this "
                "log; fetch the newest checkpoint",
                size=old,
            )
    raise Unavailable(
        "witness-unavailable", f"cannot have {witness.name} cosign: others ask it meanwhile"
    )
