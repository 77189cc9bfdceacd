"""What a reader keeps of a log between two visits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from allod.errors import InvalidInput
from allod.tlog.checkpoint import CHECKPOINT_CAP, SignedCheckpoint, parse_checkpoint
from allod.tlog.lines import read_hash, read_text, write_base64
from allod.tlog.merkle import CompactRange
from allod.tlog.note import parse_note

KNOWN_CAP: Final = CHECKPOINT_CAP + 64 * 45
_WHAT: Final = "what is known of a log"


@dataclass(frozen=True, slots=True)
class KnownLog:
    """The newest checkpoint that was accepted, as it was signed, and the range under it."""

    signed: SignedCheckpoint
    range: CompactRange

    def __post_init__(self) -> None:
        if self.range.end != self.signed.size or self.range.root() != self.signed.root:
            raise InvalidInput(
                "bad-known-log", f"cannot use {_WHAT}: its hashes are not its checkpoint's"
            )

    def encode(self) -> bytes:
        """Its bytes: a line for each hash, an empty line, the checkpoint."""
        hashes = "".join(f"{write_base64(node)}\n" for node in self.range.hashes)
        return hashes.encode() + b"\n" + self.signed.encode()


def parse_known(raw: bytes) -> KnownLog:
    """Read what was kept. Its signatures were verified before it was kept.

    Raises:
        InvalidInput: `too-large`, `bad-known-log`, `bad-signed-note`, `bad-checkpoint`: it is damaged,
            which is an alarm and no first visit.
    """
    text = read_text(raw, _WHAT, cap=KNOWN_CAP, code="bad-known-log")
    head, blank, rest = ("", "\n", text[1:]) if text[:1] == "\n" else text.partition("\n\n")
    if not blank:
        raise InvalidInput("bad-known-log", f"cannot read {_WHAT}: it has no checkpoint")
    note = parse_note(rest.encode(), cap=CHECKPOINT_CAP)
    signed = SignedCheckpoint(parse_checkpoint(note.text), note)
    lines = head.split("\n") if head else []
    hashes = tuple(read_hash(line, _WHAT, code="bad-known-log") for line in lines)
    return KnownLog(signed, CompactRange(0, signed.size, hashes))
