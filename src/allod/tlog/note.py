"""Signed notes and their keys (C2SP signed-note): Ed25519, and cosignatures (C2SP tlog-cosignature).

A key is asked only for signatures that carry its name and its id. Signatures of others are kept
and ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from allod.errors import InvalidInput, Untrusted
from allod.tlog.lines import read_base64, read_text, write_base64

NOTE_CAP: Final = 256 * 1024
MAX_SIGNATURES: Final = 100
KEY_CAP: Final = 8 * 1024
MAX_TIME: Final = 2**63 - 1

_DASH: Final = "\u2014 "
_ID_SIZE: Final = 4
_KEY_SIZE: Final = 32
_SIGNATURE_SIZE: Final = 64
_TIME_SIZE: Final = 8
_KEY_ID: Final = re.compile(r"[0-9a-f]{8}", re.ASCII)


class Kind(IntEnum):
    """Signature types that are known here, by the byte that stands for them."""

    ED25519 = 0x01
    COSIGNATURE = 0x04


def check_name(name: str) -> str:
    """A key's name. Raises InvalidInput `bad-key`."""
    if not name or "+" in name or any(c.isspace() or c < " " for c in name):
        raise InvalidInput(
            "bad-key", f"cannot use {name[:80]!r} as a key's name: no spaces, no '+', not empty"
        )
    return name


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name. The id follows from the rest."""

    name: str
    kind: Kind
    public: bytes  #: 32 bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.public) != _KEY_SIZE:
            raise InvalidInput("bad-key", f"cannot use the key {self.name[:80]!r}: not 32 bytes")

    @property
    def id(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[
            :_ID_SIZE
        ]

    def __str__(self) -> str:
        encoded = write_base64(bytes([self.kind]) + self.public)
        return f"{self.name}+{self.id.hex()}+{encoded}"


def parse_key(text: str) -> VerifierKey:
    """A verifier key, `name+id+base64`.

    Raises:
        InvalidInput: `too-large`, or `bad-key`, which a type that is not known here is too.
    """
    if len(text) > KEY_CAP:
        raise InvalidInput("too-large", "cannot read a verifier key: it is too long")
    name, plus, rest = text.partition("+")
    number, second, encoded = rest.partition("+")
    if not (plus and second and _KEY_ID.fullmatch(number)):
        raise InvalidInput(
            "bad-key", f"cannot read {text[:80]!r} as a verifier key: it is name+id+base64"
        )
    data = read_base64(encoded, f"the key {name[:80]!r}", code="bad-key")
    if data[:1] not in {bytes([kind]) for kind in Kind}:
        raise InvalidInput(
            "bad-key", f"cannot use the key {name[:80]!r}: its type is not known here"
        )
    key = VerifierKey(name, Kind(data[0]), data[1:])
    if key.id.hex() != number:
        raise InvalidInput("bad-key", f"cannot use the key {name[:80]!r}: its id does not match")
    return key


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line."""

    name: str
    id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {write_base64(self.id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends with a newline, and signatures, of which nothing is known yet."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """The note's bytes."""
        return f"{self.text}\n{''.join(map(str, self.signatures))}".encode()

    def with_signatures(self, more: Iterable[Signature]) -> Note:
        """The same note; a signature by a key that signed already takes that one's place."""
        known = {(line.name, line.id): line for line in (*self.signatures, *more)}
        return replace(self, signatures=tuple(known.values()))


def parse_signatures(text: str, what: str = "a signed note") -> tuple[Signature, ...]:
    """Signature lines: at least one, at most `MAX_SIGNATURES`. Raises InvalidInput `bad-signed-note`."""
    lines = text.split("\n")
    if lines.pop() or not lines or len(lines) > MAX_SIGNATURES:
        raise InvalidInput(
            "bad-signed-note",
            f"cannot read {what}: it has no, unended, or too many signature lines",
        )
    return tuple(_signature(line, what) for line in lines)


def _signature(line: str, what: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not (line.startswith(_DASH) and space and name) or "+" in name:
        raise InvalidInput("bad-signed-note", f"cannot read {what}: a signature line is malformed")
    if any(character.isspace() for character in name):
        raise InvalidInput("bad-signed-note", f"cannot read {what}: a key's name has a space")
    data = read_base64(encoded, f"a signature of {what}", code="bad-signed-note")
    if len(data) <= _ID_SIZE:
        raise InvalidInput("bad-signed-note", f"cannot read {what}: a signature is too short")
    return Signature(name, data[:_ID_SIZE], data[_ID_SIZE:])


def parse_note(raw: bytes, *, cap: int = NOTE_CAP, what: str = "a signed note") -> Note:
    """Read a signed note; its signatures are not checked.

    Raises:
        InvalidInput: `too-large`, `bad-signed-note`.
    """
    whole = read_text(raw, what, cap=cap, code="bad-signed-note")
    body, blank, lines = whole.rpartition("\n\n")
    if not blank or not body:
        raise InvalidInput(
            "bad-signed-note", f"cannot read {what}: it has no text, or no signatures"
        )
    return Note(body + "\n", parse_signatures(lines, what))


def cosigned_message(text: str, at: int) -> bytes:
    """What a cosignature of `text`, made at the time `at`, signs."""
    return f"cosignature/v1\ntime {at}\n{text}".encode()


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature that was verified."""

    key: VerifierKey
    at: int | None  #: when, in seconds since 1970; None: its kind does not say


def _is_by(key: VerifierKey, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _check(note: Note, line: Signature, key: VerifierKey) -> Signed:
    signature, at, message = line.signature, None, note.text.encode()
    if key.kind is Kind.COSIGNATURE:
        at = int.from_bytes(signature[:_TIME_SIZE], "big")
        signature, message = signature[_TIME_SIZE:], cosigned_message(note.text, at)
    well_formed = len(signature) == _SIGNATURE_SIZE and (at or 0) <= MAX_TIME
    if not well_formed or not _is_by(key, signature, message):
        raise Untrusted(
            "note-signature",
            f"cannot accept a note: the signature by {key.name[:80]!r} is wrong",
            key=str(key),
        )
    return Signed(key, at)


def signed_by(note: Note, keys: Iterable[VerifierKey]) -> tuple[Signed, ...]:
    """The signatures of the note by any of `keys`, in the note's order; there may be none.

    Raises:
        InvalidInput: `bad-key`: two of the keys cannot be told apart.
        Untrusted: `note-signature`: one that should be by one of them is wrong.
    """
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.id), key) != key:
            raise InvalidInput("bad-key", f"cannot tell two keys {key.name[:80]!r} apart")
    found = ((line, known.get((line.name, line.id))) for line in note.signatures)
    return tuple(_check(note, line, key) for line, key in found if key is not None)


def require_signed(note: Note, keys: Iterable[VerifierKey]) -> tuple[Signed, ...]:
    """The same, at least one.

    Raises:
        InvalidInput: `bad-key`.
        Untrusted: `note-signature`, also if none of the keys signed it.
    """
    signed = signed_by(note, keys)
    if not signed:
        raise Untrusted("note-signature", "cannot accept a note: no known key signed it")
    return signed


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """A key that signs notes.

    Args:
        key: the public half, with its name and kind.
        sign: makes the raw Ed25519 signature of a message.
    """

    key: VerifierKey
    sign: Callable[[bytes], bytes]

    def signature(self, text: str) -> Signature:
        """Sign `text`. Raises InvalidInput `bad-key` if the key makes cosignatures."""
        if self.key.kind is not Kind.ED25519:
            raise InvalidInput("bad-key", f"cannot sign with {self.key.name}: it only cosigns")
        return Signature(self.key.name, self.key.id, self.sign(text.encode()))

    def cosignature(self, text: str, at: int) -> Signature:
        """Cosign `text` as of `at`. Raises InvalidInput `bad-key` if the key does not cosign."""
        if self.key.kind is not Kind.COSIGNATURE or not 0 < at <= MAX_TIME:
            raise InvalidInput("bad-key", f"cannot cosign with {self.key.name} at {at}")
        stamped = at.to_bytes(_TIME_SIZE, "big") + self.sign(cosigned_message(text, at))
        return Signature(self.key.name, self.key.id, stamped)
