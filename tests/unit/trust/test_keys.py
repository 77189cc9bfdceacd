"""Public keys between their forms."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.signer import CryptoSigner

from allod.errors import InvalidInput
from allod.testing.repository import key_from
from allod.trust.keys import device_id, from_key, key_id, to_key
from allod.wire.envelope import KeyValue, PublicKey


@pytest.mark.parametrize("kind", ["ed25519", "p256", "p384", "rsa"])
def test_every_kind_goes_there_and_back(kind: str) -> None:
    """The id is that of TUF, and the key survives both forms; a device's id is of its SPKI."""
    private = {
        "ed25519": lambda: None,
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
    }[kind]()
    signer = key_from("x") if private is None else CryptoSigner(private)
    public = from_key(signer.public_key)
    assert key_id(public) == signer.public_key.keyid
    assert to_key(public) == signer.public_key
    raw = signer.public_key._crypto_key()
    spki = raw.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert device_id(public) == hashlib.sha256(spki).hexdigest()


def _pem(key: object) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("keytype", "scheme", "public"),
    [
        ("gpg", "gpg", "00"),
        ("ed25519", "ecdsa-sha2-nistp256", "00"),
        ("ed25519", "ed25519", "zz"),
        ("ed25519", "ed25519", "00"),
        ("ed25519", "ed25519", "AB" * 32),
        ("ecdsa", "ecdsa-sha2-nistp256", "no pem"),
        ("ecdsa", "ecdsa-sha2-nistp256", _pem(rsa.generate_private_key(65537, 2048))),
        ("rsa", "rsassa-pss-sha256", _pem(ec.generate_private_key(ec.SECP256R1()))),
        ("rsa", "rsassa-pss-sha256", _pem(rsa.generate_private_key(65537, 1024))),
    ],
)
def test_what_is_no_good_key_is_refused(keytype: str, scheme: str, public: str) -> None:
    """Unknown kinds, other curves than said, short RSA, a second spelling of the same key."""
    with pytest.raises(InvalidInput) as caught:
        to_key(PublicKey(keytype=keytype, scheme=scheme, keyval=KeyValue(public=public)))
    assert caught.value.code == "bad-key"
