"""Proofs that stand alone: an entry's place under a checkpoint, in one file (C2SP tlog-proof)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from allod.errors import InvalidInput
from allod.tlog.checkpoint import CHECKPOINT_CAP, SignedCheckpoint, check_checkpoint
from allod.tlog.lines import read_base64, read_decimal, read_hash, read_text, write_base64
from allod.tlog.merkle import leaf_hash
from allod.tlog.note import Note, VerifierKey, parse_note
from allod.tlog.proofs import Proof, verify_inclusion

PROOF_CAP: Final = 256 * 1024
_FIRST: Final = "c2sp.org/tlog-proof@v1"
_WHAT: Final = "a log proof"
_MAX_LINES: Final = 63


@dataclass(frozen=True, slots=True)
class LogProof:
    """The proof that a log has an entry. `extra` is vouched for by nobody."""

    index: int
    path: Proof
    note: Note
    extra: bytes | None = None

    def encode(self) -> bytes:
        """The file's bytes."""
        lines = [_FIRST]
        if self.extra is not None:
            lines.append(f"extra {write_base64(self.extra)}")
        lines += [f"index {self.index}", *map(write_base64, self.path)]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.note.encode()

    def verify(self, entry: bytes, origin: str, keys: Sequence[VerifierKey]) -> SignedCheckpoint:
        """Check that the log had `entry`; who vouches for the checkpoint is still to be asked.

        Raises:
            InvalidInput: `bad-checkpoint`.
            Untrusted: `wrong-log`, `note-signature`, `log-inclusion`.
        """
        signed = check_checkpoint(self.note, origin, keys)
        verify_inclusion(leaf_hash(entry), self.index, signed.size, self.path, signed.root)
        return signed


def parse_proof(raw: bytes) -> LogProof:
    """Read a proof; nothing in it is verified.

    Raises:
        InvalidInput: `too-large`, `bad-proof`, `bad-signed-note`.
    """
    text = read_text(raw, _WHAT, cap=PROOF_CAP, code="bad-proof")
    head, blank, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    if first != _FIRST or not blank or not lines:
        raise InvalidInput("bad-proof", f"cannot read {_WHAT}: it does not begin as one")
    extra = None
    if lines[0].startswith("extra "):
        extra = read_base64(lines.pop(0).removeprefix("extra "), _WHAT, code="bad-proof")
    if not lines or not lines[0].startswith("index ") or len(lines) > _MAX_LINES + 1:
        raise InvalidInput("bad-proof", f"cannot read {_WHAT}: it has no index, or is too long")
    return LogProof(
        index=read_decimal(lines[0].removeprefix("index "), "an index", code="bad-proof"),
        path=tuple(read_hash(line, _WHAT, code="bad-proof") for line in lines[1:]),
        note=parse_note(note.encode(), cap=CHECKPOINT_CAP),
        extra=extra,
    )
