"""The server's online keys and secrets: files with mode 0600 in its directory."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from allod import durable
from allod.errors import Unavailable
from allod.server.layout import ServerDirectory
from allod.wire.envelope import KeyValue, PublicKey

ONLINE: Final = ("snapshot", "timestamp")
LOG: Final = "log"
ROLES: Final = (*ONLINE, "gate", LOG)
SECRETS: Final = ("token", "challenge", "enrolment")


@dataclass(frozen=True, slots=True)
class LogKey:
    """The key of the logs: the raw public half, and what makes raw signatures."""

    public: bytes
    sign: Callable[[bytes], bytes]


def create_keys(layout: ServerDirectory) -> None:
    """Make the keys and secrets that are missing."""
    for role in ROLES:
        _create(layout.key(role), _pem(Ed25519PrivateKey.generate()))
    for name in SECRETS:
        _create(layout.secret(name), secrets.token_urlsafe(32).encode("ascii"))


def _create(path: Path, data: bytes) -> None:
    if not path.exists():
        durable.make_directory(path.parent)
        durable.write_atomic(path, data)


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unavailable(
            "no-server-key",
            f"cannot read {path}: {error.strerror}; restore it from a backup of the server, or "
            "make a new server and let the owner's root name its keys",
        ) from error


def load_signer(layout: ServerDirectory, role: str) -> CryptoSigner:
    """The online key of a role. Raises Unavailable `no-server-key`."""
    try:
        key = serialization.load_pem_private_key(_read(layout.key(role)), None)
    except ValueError as error:
        raise Unavailable(
            "no-server-key",
            f"cannot read the key of {role}: it is damaged; restore it from a backup of the server",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Unavailable("no-server-key", f"cannot use the key of {role}: it is no Ed25519 key")
    return CryptoSigner(key)


def load_log_key(layout: ServerDirectory, *, waiting: bool = False) -> LogKey | None:
    """The key of the server's logs, or the one that waits to be named; None: there is none."""
    role = f"{LOG}.next" if waiting else LOG
    if not layout.key(role).is_file():
        return None
    signer = load_signer(layout, role)
    public = bytes.fromhex(signer.public_key.keyval["public"])

    def sign(message: bytes) -> bytes:
        return bytes.fromhex(signer.sign(message).signature)

    return LogKey(public, sign)


def make_waiting(layout: ServerDirectory) -> None:
    """Make the next online keys, unless they wait already: the owner's root is to name them.

    And the next key of the logs, which the owner's trust statement is to name.
    """
    for role in (*ONLINE, LOG):
        _create(layout.key(f"{role}.next"), _pem(Ed25519PrivateKey.generate()))


def load_waiting(layout: ServerDirectory, role: str) -> CryptoSigner | None:
    """The online key of a role that waits for the owner's root to name it, if there is one."""
    name = f"{role}.next"
    return load_signer(layout, name) if layout.key(name).is_file() else None


def promote_waiting(layout: ServerDirectory, roles: Sequence[str] = ONLINE) -> None:
    """Let the keys that waited take over for good, once every fleet's owner names them."""
    for role in roles:
        path = layout.key(f"{role}.next")
        if path.is_file():
            durable.write_atomic(layout.key(role), path.read_bytes())
            durable.remove_file(path)


def public_key(signer: CryptoSigner) -> PublicKey:
    """The public half, as it stands in documents."""
    key = signer.public_key
    return PublicKey(
        keytype=key.keytype, scheme=key.scheme, keyval=KeyValue(public=key.keyval["public"])
    )


@dataclass(frozen=True, slots=True)
class Secrets:
    """What makes tokens and challenges, and lets a fleet in."""

    token: bytes
    challenge: bytes
    enrolment: str


def load_secrets(layout: ServerDirectory) -> Secrets:
    """Read them. Raises Unavailable `no-server-key`."""
    token, challenge, enrolment = (_read(layout.secret(name)) for name in SECRETS)
    return Secrets(token, challenge, enrolment.decode("ascii").strip())
