"""Logs for tests: a tree made the slow way, straight from RFC 6962, and keys that are no secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from allod.tlog.checkpoint import Checkpoint, SignedCheckpoint, sign_checkpoint
from allod.tlog.note import Kind, NoteSigner, VerifierKey
from allod.tlog.tiles import ENTRIES, HEIGHT, Tile, encode_bundle


def note_signer(name: str, kind: Kind = Kind.ED25519, seed: int = 0) -> NoteSigner:
    """A signer whose key follows from its name."""
    private = Ed25519PrivateKey.from_private_bytes(sha256(f"{name} {seed}".encode()).digest())
    key = VerifierKey(name, kind, private.public_key().public_bytes_raw())
    return NoteSigner(key, private.sign)


def naive_root(entries: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1, as it is written there."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\0" + entries[0]).digest()
    at = _half(len(entries))
    return sha256(b"\1" + naive_root(entries[:at]) + naive_root(entries[at:])).digest()


def naive_inclusion(index: int, entries: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962 §2.1.1."""
    if len(entries) == 1:
        return []
    at = _half(len(entries))
    if index < at:
        return [*naive_inclusion(index, entries[:at]), naive_root(entries[at:])]
    return [*naive_inclusion(index - at, entries[at:]), naive_root(entries[:at])]


def naive_consistency(old: int, entries: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962 §2.1.2."""
    if old == len(entries):
        return [] if whole else [naive_root(entries)]
    at = _half(len(entries))
    if old <= at:
        return [*naive_consistency(old, entries[:at], whole=whole), naive_root(entries[at:])]
    return [
        *naive_consistency(old - at, entries[at:], whole=False),
        naive_root(entries[:at]),
    ]


def _half(size: int) -> int:
    half = 1
    while half * 2 < size:
        half *= 2
    return half


@dataclass
class NaiveLog:
    """A whole log in memory, from which everything is computed anew."""

    entries: list[bytes] = field(default_factory=list)
    signer: NoteSigner = field(default_factory=lambda: note_signer("log.example/one"))

    def root(self, size: int | None = None) -> bytes:
        """The root over the first `size` entries."""
        return naive_root(self.entries[:size])

    def checkpoint(self, size: int | None = None) -> SignedCheckpoint:
        """Signed by the log."""
        count = len(self.entries) if size is None else size
        return sign_checkpoint(
            Checkpoint(self.signer.key.name, count, self.root(count)), self.signer
        )

    def node(self, level: int, index: int) -> bytes:
        """See `allod.tlog.proofs.NodeReader`."""
        part = self.entries[index << level : (index + 1) << level]
        if len(part) != 1 << level:
            raise AssertionError(f"node {index} of level {level} is not complete")
        return naive_root(part)

    def tile(self, tile: Tile) -> bytes:
        """The bytes of a tile or bundle."""
        first = tile.index * 256
        places = range(first, first + tile.width)
        if tile.level == ENTRIES:
            return encode_bundle(self.entries[at] for at in places)
        return b"".join(self.node(tile.level * HEIGHT, at) for at in places)
