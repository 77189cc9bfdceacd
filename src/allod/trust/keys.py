"""Public keys between their forms: our documents, securesystemslib, and a device's id."""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import Key, SSlibKey

from allod.domain.ids import DeviceId
from allod.errors import InvalidInput
from allod.wire.envelope import KeyValue, PublicKey

_SCHEMES: Final = frozenset(
    {
        ("ed25519", "ed25519"),
        ("ecdsa", "ecdsa-sha2-nistp256"),
        ("ecdsa", "ecdsa-sha2-nistp384"),
        ("rsa", "rsassa-pss-sha256"),
    }
)
_MINIMAL_RSA_BITS: Final = 2048
_PEM_CAP: Final = 16 * 1024


def _crypto_key(key: PublicKey) -> Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey:
    if (key.keytype, key.scheme) not in _SCHEMES:
        raise InvalidInput(
            "bad-key",
            f"cannot use a key of type {key.keytype[:40]!r} with scheme {key.scheme[:40]!r}:"
            " use ed25519, ecdsa (P-256, P-384) or rsassa-pss-sha256",
        )
    try:
        if key.keytype == "ed25519":
            return Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.keyval.public))
        loaded = load_pem_public_key(key.keyval.public.encode())
    except ValueError as error:
        raise InvalidInput("bad-key", f"cannot read a public key: {error}") from error
    wanted = EllipticCurvePublicKey if key.keytype == "ecdsa" else RSAPublicKey
    if not isinstance(loaded, wanted):
        raise InvalidInput("bad-key", f"cannot use a key that is not {key.keytype} as it says")
    if isinstance(loaded, RSAPublicKey) and loaded.key_size < _MINIMAL_RSA_BITS:
        raise InvalidInput("bad-key", f"cannot use an RSA key of {loaded.key_size} bits: too short")
    return loaded


def to_key(key: PublicKey) -> SSlibKey:
    """The key as securesystemslib wants it; its id is computed, never taken over.

    Raises:
        InvalidInput: `bad-key`.
    """
    made = SSlibKey.from_crypto(_crypto_key(key), scheme=key.scheme)
    if made.keytype != key.keytype or made.keyval["public"].strip() != key.keyval.public.strip():
        raise InvalidInput("bad-key", "cannot use a public key that is not written in its one form")
    return made


def key_from_pem(pem: bytes) -> Key:
    """A public key in PEM (SubjectPublicKeyInfo); Ed25519, ECDSA P-256 or P-384, or RSA for PSS.

    Raises:
        InvalidInput: `bad-key`.
    """
    try:
        loaded = load_pem_public_key(pem[:_PEM_CAP])
        if not isinstance(loaded, (Ed25519PublicKey, EllipticCurvePublicKey, RSAPublicKey)):
            raise InvalidInput(
                "bad-key", "cannot use this kind of key: use Ed25519, ECDSA (P-256, P-384) or RSA"
            )
        made = SSlibKey.from_crypto(loaded)
    except (ValueError, UnsupportedAlgorithm, UnsupportedLibraryError) as error:
        raise InvalidInput("bad-key", f"cannot read a public key: {error}") from error
    return to_key(from_key(made))


def from_key(key: Key) -> PublicKey:
    """The key as our documents hold it."""
    return PublicKey(
        keytype=key.keytype, scheme=key.scheme, keyval=KeyValue(public=key.keyval["public"])
    )


def key_id(key: PublicKey) -> str:
    """The key's id, as in TUF. Raises InvalidInput `bad-key`."""
    return to_key(key).keyid


def device_id(key: PublicKey) -> DeviceId:
    """The id of the device whose first key this is: SHA-256 of its SubjectPublicKeyInfo (DER).

    Raises:
        InvalidInput: `bad-key`.
    """
    der = _crypto_key(key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return DeviceId(hashlib.sha256(der).hexdigest())
