"""Checkpoints: what a log says of itself, and who vouches for it (C2SP tlog-checkpoint)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from allod.errors import InvalidInput, Untrusted
from allod.tlog.lines import read_decimal, read_hash, write_base64
from allod.tlog.merkle import EMPTY_ROOT
from allod.tlog.note import Kind, Note, NoteSigner, VerifierKey, parse_note, signed_by

CHECKPOINT_CAP: Final = 64 * 1024
_LINES: Final = 3
_WHAT: Final = "a checkpoint"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The size and the root of a log. Equal ones are one statement."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text that is signed."""
        lines = (self.origin, str(self.size), write_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint.

    Raises:
        InvalidInput: `bad-checkpoint`.
    """
    lines = text.split("\n")
    if lines.pop() or len(lines) < _LINES or not all(lines):
        raise InvalidInput("bad-checkpoint", "cannot read a checkpoint: it is not of full lines")
    size = read_decimal(lines[1], "a checkpoint's size", code="bad-checkpoint")
    root = read_hash(lines[2], "a checkpoint's root", code="bad-checkpoint")
    return Checkpoint(lines[0], size, root, tuple(lines[_LINES:]))


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint that the log signed, with all signatures it came with."""

    checkpoint: Checkpoint
    note: Note

    @property
    def size(self) -> int:
        """Entries of the log."""
        return self.checkpoint.size

    @property
    def root(self) -> bytes:
        """Root of the log."""
        return self.checkpoint.root

    @property
    def own(self) -> Note:
        """The note with the log's signatures alone, which carry its origin as their name."""
        lines = [line for line in self.note.signatures if line.name == self.checkpoint.origin]
        return replace(self.note, signatures=tuple(lines))

    def encode(self) -> bytes:
        """Its bytes, as they are served."""
        return self.note.encode()


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> SignedCheckpoint:
    """Sign it as the log."""
    text = checkpoint.text
    return SignedCheckpoint(checkpoint, Note(text, (signer.signature(text),)))


def open_checkpoint(
    raw: bytes, origin: str, keys: Sequence[VerifierKey], *, cap: int = CHECKPOINT_CAP
) -> SignedCheckpoint:
    """Read a checkpoint and check that it is the log's.

    Args:
        raw: what was served.
        origin: of the log that was asked for.
        keys: of that log; one signature is enough, none may be wrong.
        cap: bytes.

    Raises:
        InvalidInput: `too-large`, `bad-signed-note`, `bad-checkpoint`.
        Untrusted: `wrong-log`, `note-signature`, `log-consistency`.
    """
    return check_checkpoint(parse_note(raw, cap=cap, what=_WHAT), origin, keys)


def check_checkpoint(note: Note, origin: str, keys: Sequence[VerifierKey]) -> SignedCheckpoint:
    """The same for a note that was read already.

    Raises:
        InvalidInput: `bad-checkpoint`.
        Untrusted: `wrong-log`, `note-signature`, `log-consistency`.
    """
    own = [key for key in keys if key.kind is Kind.ED25519]
    if not signed_by(note, own):
        raise Untrusted(
            "note-signature", "cannot accept a checkpoint: it is not signed by the log's key"
        )
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != origin:
        raise Untrusted(
            "wrong-log",
            f"cannot accept a checkpoint of {checkpoint.origin[:80]!r} as one of {origin[:80]!r}",
        )
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise Untrusted(
            "log-consistency", "cannot accept a checkpoint: an empty log has the empty root"
        )
    return SignedCheckpoint(checkpoint, note)


@dataclass(frozen=True, slots=True)
class Vouched:
    """What witnesses say of a checkpoint: the newest time that each gave."""

    times: tuple[tuple[VerifierKey, int], ...]  #: newest first

    def as_of(self, quorum: int) -> int | None:
        """When so many of them had seen no other history; None: fewer vouch.

        Raises:
            InvalidInput: `bad-quorum`: nobody is no quorum.
        """
        if quorum < 1:
            raise InvalidInput("bad-quorum", f"cannot ask for {quorum} witnesses: at least one")
        return self.times[quorum - 1][1] if len(self.times) >= quorum else None


def vouched(checkpoint: SignedCheckpoint, witnesses: Iterable[VerifierKey]) -> Vouched:
    """The cosignatures by `witnesses`; one public key counts once, under whatever names.

    Raises:
        InvalidInput: `bad-key`: two of the keys cannot be told apart.
        Untrusted: `note-signature`: one that should be by a witness is wrong.
    """
    cosigners = [key for key in witnesses if key.kind is Kind.COSIGNATURE]
    newest: dict[bytes, tuple[VerifierKey, int]] = {}
    for signed in signed_by(checkpoint.note, cosigners):
        at = signed.at or 0
        known = newest.get(signed.key.public)
        if known is None or known[1] < at:
            newest[signed.key.public] = (signed.key, at)
    return Vouched(tuple(sorted(newest.values(), key=lambda vote: (-vote[1], vote[0].name))))
