"""Somebody who has every key of a fleet, for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from allod.trust.role_keys import RoleKeys


def key_from(seed: str) -> CryptoSigner:
    """An Ed25519 key that is the same for the same text."""
    return CryptoSigner(
        Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())
    )


def role_keys(signers: Iterable[CryptoSigner], threshold: int = 1) -> RoleKeys:
    """The public side of some signers."""
    return RoleKeys(tuple(signer.public_key for signer in signers), threshold)


@dataclass(slots=True)
class TestOwner:
    """Somebody who has every key of a fleet; also its provider `me`."""

    __test__ = False

    name: str = "home"
    root: list[CryptoSigner] = field(default_factory=list)
    root_threshold: int = 1
    targets: list[CryptoSigner] = field(default_factory=list)
    targets_threshold: int = 1
    snapshot: CryptoSigner = field(init=False)
    timestamp: CryptoSigner = field(init=False)
    provider: CryptoSigner = field(init=False)
    person: CryptoSigner = field(init=False)
    gate: CryptoSigner = field(init=False)
    delegates: dict[str, list[CryptoSigner]] = field(default_factory=dict)  #: id -> keys

    def __post_init__(self) -> None:
        """Make the keys that were not given: root (and a recovery key), targets, online, provider."""
        self.root = self.root or [key_from(f"{self.name}/root"), key_from(f"{self.name}/paper")]
        self.targets = self.targets or [key_from(f"{self.name}/targets")]
        self.snapshot = key_from(f"{self.name}/snapshot")
        self.timestamp = key_from(f"{self.name}/timestamp")
        self.provider = key_from(f"{self.name}/me")
        self.person = key_from(f"{self.name}/person")
        self.gate = key_from(f"{self.name}/gate")

    @classmethod
    def production(cls, name: str = "works") -> TestOwner:
        """Root 2 of 3."""
        return cls(name, root=[key_from(f"{name}/root{n}") for n in range(3)], root_threshold=2)

    @property
    def signers(self) -> Mapping[str, list[CryptoSigner]]:
        """The owner's signers by role, and the delegates' for theirs."""
        roles = {f"delegation-{name}": keys for name, keys in self.delegates.items()}
        return {"root": self.root, "targets": self.targets, **roles}

    @property
    def root_keys(self) -> RoleKeys:
        """The root's public keys and threshold."""
        return role_keys(self.root, self.root_threshold)

    @property
    def targets_keys(self) -> RoleKeys:
        """The daily role's public keys and threshold."""
        return role_keys(self.targets, self.targets_threshold)
