"""Evidence that a log told two histories: a file that anybody can check who has the log's key.

Where nobody serves what a proof is made of, the two checkpoints are kept by themselves: they accuse
and prove nothing yet. Whoever has one of the two logs completes them (docs/spec/log.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
_FIELDS: Final = ("short", "long")
_ROOT: Final = "root "
_MAX_PROOF: Final = 63


@dataclass(frozen=True, slots=True)
class Fork:
    """Two checkpoints that one key signed and that no one log can have.

    The longer one provably begins with a log of the shorter one's size that has another root.
    """

    short: Note
    long: Note
    root: bytes | None = (
        None  #: which the longer log had at the size of the shorter; None: unproven
    )
    proof: Proof = ()  #: of that

    @property
    def proven(self) -> bool:
        """Whether it claims to be a proof; `verify` tells if it is one."""
        return self.root is not None

    @property
    def origin(self) -> str:
        """The log that it is about, as the shorter checkpoint says."""
        return self.short.text.partition("\n")[0]

    def encode(self) -> bytes:
        """The file's bytes."""
        lines = [
            _FIRST,
            f"short {write_base64(self.short.encode())}",
            f"long {write_base64(self.long.encode())}",
        ]
        if self.root is not None:
            lines += [f"{_ROOT}{write_base64(self.root)}", *map(write_base64, self.proof)]
        return "".join(f"{line}\n" for line in lines).encode()

    def stripped(self, keys: Sequence[VerifierKey]) -> Fork:
        """The same, with the signatures of these keys alone: nobody can blow it up."""
        known = {(key.name, key.id) for key in keys}
        short, long = (
            replace(note, signatures=tuple(s for s in note.signatures if (s.name, s.id) in known))
            for note in (self.short, self.long)
        )
        return replace(self, short=short, long=long)

    def checkpoints(
        self, origin: str, keys: Sequence[VerifierKey]
    ) -> tuple[SignedCheckpoint, SignedCheckpoint]:
        """The two checkpoints, each signed by the log; whether they contradict is not said.

        Raises:
            InvalidInput: `bad-checkpoint`.
            Untrusted: `wrong-log`, `note-signature`, `log-consistency`.
        """
        return (
            check_checkpoint(self.short, origin, keys),
            check_checkpoint(self.long, origin, keys),
        )

    def verify(
        self, origin: str, keys: Sequence[VerifierKey]
    ) -> tuple[SignedCheckpoint, SignedCheckpoint]:
        """Check that this is evidence against the log, and return the two checkpoints.

        Raises:
            InvalidInput: `bad-checkpoint`.
            Untrusted: `wrong-log`, `note-signature`, `log-consistency`, `no-fork`, or
                `fork-unproven`: both are the log's, and nothing shows that they contradict.
        """
        short, long = self.checkpoints(origin, keys)
        if self.root is None:
            raise Untrusted(
                "fork-unproven",
                f"cannot take this as {_WHAT}: the log's key signed {short.size} and {long.size}"
                " entries, and nothing here shows that the one does not begin with the other",
            )
        verify_consistency(short.size, long.size, self.proof, self.root, long.root)
        if self.root == short.root:
            raise Untrusted("no-fork", f"cannot accept {_WHAT}: the two are of one log")
        return short, long


def unproven(one: SignedCheckpoint, other: SignedCheckpoint) -> Fork:
    """Two checkpoints that a reader could not bring together, kept as they were signed."""
    short, long = sorted((one, other), key=lambda signed: signed.size)
    return Fork(short.note, long.note)


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
    if short.size == long.size:
        return None if short.root == long.root else Fork(short.note, long.note, long.root)
    root = fold(longer.node(*place) for place in cover(0, short.size))
    proof = consistency_proof(short.size, long.size, longer)
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
    fields, rest = lines[: len(_FIELDS)], lines[len(_FIELDS) :]
    if len(fields) != len(_FIELDS) or len(rest) > _MAX_PROOF + 1:
        raise InvalidInput("bad-fork", f"cannot read {_WHAT}: it lacks a field, or is too long")
    notes = []
    for name, line in zip(_FIELDS, fields, strict=True):
        if not line.startswith(f"{name} "):
            raise InvalidInput("bad-fork", f"cannot read {_WHAT}: it lacks {name!r}")
        note = read_base64(line.removeprefix(f"{name} "), _WHAT, code="bad-fork")
        notes.append(parse_note(note, cap=CHECKPOINT_CAP))
    if not rest:
        return Fork(notes[0], notes[1])
    if not rest[0].startswith(_ROOT):
        raise InvalidInput("bad-fork", f"cannot read {_WHAT}: it lacks 'root'")
    hashes = (rest[0].removeprefix(_ROOT), *rest[1:])
    root, *proof = (read_hash(line, _WHAT, code="bad-fork") for line in hashes)
    return Fork(notes[0], notes[1], root, tuple(proof))
