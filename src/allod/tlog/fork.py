"""Evidence that a log told two histories: a file that anybody can check who has the log's key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from allod.errors import InvalidInput, Untrusted
from allod.tlog.checkpoint import CHECKPOINT_CAP, SignedCheckpoint, check_checkpoint
from allod.tlog.lines import read_base64, read_hash, read_text, write_base64
from allod.tlog.merkle import cover, fold
from allod.tlog.note import Note, VerifierKey, parse_note
from allod.tlog.proofs import NodeReader, Proof, consistency_proof, verify_consistency

FORK_CAP: Final = 512 * 1024
_FIRST: Final = "allod.dev/log-fork@v1"
_WHAT: Final = "evidence of a fork"
_FIELDS: Final = ("short", "long", "root")
_MAX_PROOF: Final = 63


@dataclass(frozen=True, slots=True)
class Fork:
    """Two checkpoints that one key signed and that no one log can have.

    The longer one provably begins with a log of the shorter one's size that has another root.
    """

    short: Note
    long: Note
    root: bytes  #: which the longer log had at the size of the shorter
    proof: Proof  #: of that

    def encode(self) -> bytes:
        """The file's bytes."""
        lines = [
            _FIRST,
            f"short {write_base64(self.short.encode())}",
            f"long {write_base64(self.long.encode())}",
            f"root {write_base64(self.root)}",
            *map(write_base64, self.proof),
        ]
        return "".join(f"{line}\n" for line in lines).encode()

    def verify(
        self, origin: str, keys: Sequence[VerifierKey]
    ) -> tuple[SignedCheckpoint, SignedCheckpoint]:
        """Check that this is evidence against the log, and return the two checkpoints.

        Raises:
            InvalidInput: `bad-checkpoint`.
            Untrusted: `wrong-log`, `note-signature`, `log-consistency`, or `no-fork`.
        """
        short, long = (check_checkpoint(note, origin, keys) for note in (self.short, self.long))
        verify_consistency(short.size, long.size, self.proof, self.root, long.root)
        if self.root == short.root:
            raise Untrusted("no-fork", f"cannot accept {_WHAT}: the two are of one log")
        return short, long


def fork_between(one: SignedCheckpoint, other: SignedCheckpoint, longer: NodeReader) -> Fork | None:
    """The evidence that two checkpoints contradict each other; None: they do not.

    Args:
        one: a checkpoint of the log.
        other: another one of the same log.
        longer: nodes of the log under the larger one; what they make is verified against it.

    Raises:
        Untrusted: `log-consistency`: these nodes are not those of that log, and show nothing.
    """
    short, long = sorted((one, other), key=lambda signed: signed.size)
    if short.size == 0:
        return None
    root = fold(longer.node(*place) for place in cover(0, short.size))
    proof = consistency_proof(short.size, long.size, longer)
    if short.size == long.size:
        root = long.root
    verify_consistency(short.size, long.size, proof, root, long.root)
    return None if root == short.root else Fork(short.note, long.note, root, proof)


def parse_fork(raw: bytes) -> Fork:
    """Read evidence; nothing in it is verified.

    Raises:
        InvalidInput: `too-large`, `bad-fork`, `bad-signed-note`.
    """
    text = read_text(raw, _WHAT, cap=FORK_CAP, code="bad-fork")
    first, *lines = text.split("\n")
    if first != _FIRST or not lines or lines.pop():
        raise InvalidInput("bad-fork", f"cannot read {_WHAT}: it does not begin as that, or is cut")
    fields, proof = lines[: len(_FIELDS)], lines[len(_FIELDS) :]
    if len(fields) != len(_FIELDS) or len(proof) > _MAX_PROOF:
        raise InvalidInput("bad-fork", f"cannot read {_WHAT}: it lacks a field, or is too long")
    values = []
    for name, line in zip(_FIELDS, fields, strict=True):
        if not line.startswith(f"{name} "):
            raise InvalidInput("bad-fork", f"cannot read {_WHAT}: it lacks {name!r}")
        values.append(line.removeprefix(f"{name} "))
    short, long = (
        parse_note(read_base64(value, _WHAT, code="bad-fork"), cap=CHECKPOINT_CAP)
        for value in values[:2]
    )
    return Fork(
        short,
        long,
        read_hash(values[2], _WHAT, code="bad-fork"),
        tuple(read_hash(line, _WHAT, code="bad-fork") for line in proof),
    )
