"""Envelopes of others under plain keys: every kind of key, every way to write a signature."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.unit.attestation.vectors import NOW

from allod.attestation.envelope import digests_of, key_from_file, key_of, read_envelope, signers
from allod.attestation.examining import examine
from allod.attestation.policy import Demands
from allod.attestation.published import split
from allod.errors import InvalidInput, Unavailable, Untrusted
from allod.trust.dsse import pae
from allod.wire.envelope import IN_TOTO, KeyValue, PublicKey

PAYLOAD = (
    b'{"_type":"https://in-toto.io/Statement/v1","predicateType":"x","subject":[{"digest":{}}]}'
)
ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
P256, P384, P521 = (
    ec.derive_private_key(0xA110D, curve)
    for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())
)
RSA = rsa.generate_private_key(65537, 2048)


def pem(key: Any) -> bytes:
    """The public half."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def envelope(*signatures: bytes, payload: bytes = PAYLOAD, kind: str = IN_TOTO) -> bytes:
    """As others write one: with a key id that means nothing, and fields of their own."""
    return json.dumps(
        {
            "payloadType": kind,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [
                {"sig": base64.b64encode(one).decode(), "keyid": "k", "cert": None}
                for one in signatures
            ],
        }
    ).encode()


def raw_form(key: ec.EllipticCurvePrivateKey, hashed: hashes.HashAlgorithm) -> bytes:
    """An ECDSA signature as r || s (IEEE P1363), as Google's verifiers write them."""
    r, s = utils.decode_dss_signature(key.sign(pae(IN_TOTO, PAYLOAD), ec.ECDSA(hashed)))
    half = (key.curve.key_size + 7) // 8
    return r.to_bytes(half) + s.to_bytes(half)


def pss(hashed: hashes.HashAlgorithm, salt: int) -> bytes:
    """An RSA-PSS signature."""
    how = padding.PSS(padding.MGF1(hashed), salt)
    return RSA.sign(pae(IN_TOTO, PAYLOAD), how, hashed)


SIGNED = {
    "ed25519": (ED, ED.sign),
    "p256-der": (P256, lambda data: P256.sign(data, ec.ECDSA(hashes.SHA256()))),
    "p256-raw": (P256, lambda _: raw_form(P256, hashes.SHA256())),
    "p384-der": (P384, lambda data: P384.sign(data, ec.ECDSA(hashes.SHA384()))),
    "p384-raw": (P384, lambda _: raw_form(P384, hashes.SHA384())),
    "p384-sha256": (P384, lambda data: P384.sign(data, ec.ECDSA(hashes.SHA256()))),
    "p521-raw": (P521, lambda _: raw_form(P521, hashes.SHA512())),
    "rsa-pss": (RSA, lambda _: pss(hashes.SHA256(), 32)),
    "rsa-pss-long-salt": (RSA, lambda _: pss(hashes.SHA512(), padding.PSS.MAX_LENGTH)),
    "rsa-pkcs1": (RSA, lambda data: RSA.sign(data, padding.PKCS1v15(), hashes.SHA256())),
}


@pytest.mark.parametrize("name", sorted(SIGNED))
def test_every_kind_of_key_signs(name: str) -> None:
    """The key that signed is found among others; one bit more of payload or type breaks it."""
    key, sign = SIGNED[name]
    signature = sign(pae(IN_TOTO, PAYLOAD))
    known = [key_from_file(pem(one)) for one in (ED, P256, P384, P521, RSA)]
    mine = key_from_file(pem(key))
    good = signers(read_envelope(envelope(b"other", signature)), known)
    assert [one.id for one in good] == [mine.id]
    for broken in (
        envelope(signature, payload=PAYLOAD + b" "),
        envelope(signature, kind="application/json"),
        envelope(signature[:-1] + bytes([signature[-1] ^ 1])),
        envelope(b""),
        envelope(bytes(64)),
    ):
        with pytest.raises(Untrusted) as caught:
            signers(read_envelope(broken), known)
        assert caught.value.code == "auth"


@pytest.mark.parametrize("key", [P256, P384, RSA])
def test_digests_are_signed_too(key: Any) -> None:
    """A bare signature is checked by the artifact's digest; Ed25519 has none such."""
    digests = digests_of(b"artifact")
    digest = bytes.fromhex(digests["sha256"])
    if key is RSA:
        signature = RSA.sign(b"artifact", padding.PKCS1v15(), hashes.SHA256())
    else:
        signature = key.sign(b"artifact", ec.ECDSA(hashes.SHA256()))
    plain = key_from_file(pem(key))
    assert plain.signed_digest(signature, "sha256", digest)
    assert not plain.signed_digest(signature, "sha256", bytes(32))
    assert not plain.signed_digest(signature, "sha512", bytes.fromhex(digests["sha512"]))
    assert not plain.signed_digest(signature, "sha256", digest[:-1])
    assert not key_from_file(pem(ED)).signed_digest(ED.sign(digest), "sha256", digest)


def test_keys_that_are_too_weak_or_of_another_kind_are_refused() -> None:
    """Short RSA, other curves, DSA, and what is no key."""
    short = rsa.generate_private_key(65537, 1024)
    other = ec.derive_private_key(7, ec.SECP256K1())
    for data in (pem(short), pem(other), pem(dsa.generate_private_key(1024)), b"-----BEGIN", b""):
        with pytest.raises(InvalidInput) as caught:
            key_from_file(data)
        assert caught.value.code == "bad-key"


def test_a_key_is_the_same_as_der_as_pem_and_in_an_owners_document() -> None:
    """Its id is that of the key, not of how it is written."""
    der = ED.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raw = ED.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    document = PublicKey(keytype="ed25519", scheme="ed25519", keyval=KeyValue(public=raw))
    assert key_from_file(der) == key_from_file(pem(ED)) or (
        key_from_file(der).id == key_from_file(pem(ED)).id == key_of(document).id
    )
    text = pem(P256).decode()
    ecdsa = PublicKey(keytype="ecdsa", scheme="ecdsa-sha2-nistp256", keyval=KeyValue(public=text))
    assert key_of(ecdsa).id == key_from_file(pem(P256)).id


def test_without_a_key_nothing_is_said() -> None:
    """That is missing, and not false."""
    with pytest.raises(Unavailable) as caught:
        signers(read_envelope(envelope(ED.sign(pae(IN_TOTO, PAYLOAD)))), [])
    assert caught.value.code == "no-key"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"payloadType":"x","payload":"!","signatures":[{"sig":""}]}',
        b'{"payloadType":"x","payload":"","signatures":[]}',
        json.dumps({"payloadType": "x", "payload": "", "signatures": [{"sig": ""}] * 33}).encode(),
        b'{"payloadType":"x","payloadType":"y","payload":"","signatures":[{"sig":""}]}',
        b'{"mediaType":"x","verificationMaterial":{}}',
        b'{"a":' * 100,
    ],
)
def test_malformed_attestations_are_refused_with_a_reason(data: bytes) -> None:
    """One step, which says why; nothing else is looked at."""
    found = examine(data, artifact_digests={}, now=NOW)
    assert [check.name for check in found.checks] == ["format"]
    assert found.checks[0].ok is False
    assert found.checks[0].says.startswith("cannot ")


def test_a_statement_of_another_type_is_not_read() -> None:
    """The type is signed with the payload, and says what the payload is."""
    kind = "application/vnd.allod.report.v1+json"
    raw = envelope(ED.sign(pae(kind, PAYLOAD)), kind=kind)
    found = examine(raw, artifact_digests={}, keys=[key_from_file(pem(ED))], now=NOW)
    assert found.failed is not None
    assert found.failed.code == "wrong-type"


def test_a_summary_of_what_did_not_pass_is_refused() -> None:
    """A verifier's good signature under 'FAILED' is a warning, and no recommendation."""
    for result, good in (("PASSED", True), ("FAILED", False), ("passed", False)):
        value = {
            "_type": "https://in-toto.io/Statement/v1",
            "predicateType": "https://slsa.dev/verification_summary/v1",
            "subject": [{"name": "a", "digest": {"sha256": "a" * 64}}],
            "predicate": {"verificationResult": result, "verifiedLevels": ["SLSA_BUILD_LEVEL_3"]},
        }
        payload = json.dumps(value).encode()
        found = examine(
            envelope(ED.sign(pae(IN_TOTO, payload)), payload=payload),
            artifact_digests={"sha256": "a" * 64},
            keys=[key_from_file(pem(ED))],
            now=NOW,
        )
        assert found.good is good
        assert (found.failed.code if found.failed else None) == (None if good else "not-passed")


def test_keys_of_the_demands_count() -> None:
    """A policy's keys are keys that may sign."""
    raw = envelope(ED.sign(pae(IN_TOTO, PAYLOAD)))
    demands = Demands(keys=(key_from_file(pem(ED)),))
    found = examine(raw, artifact_digests={}, policy=demands, now=NOW)
    assert [check.ok for check in found.checks[:3]] == [True, True, True]


def test_a_file_with_one_a_line_is_split() -> None:
    """`.jsonl` holds several; one document over many lines is one."""
    one = envelope(b"x")
    assert split(one + b"\n\n" + one + b"\n") == [one, one]
    pretty = json.dumps(json.loads(one), indent=2).encode()
    assert split(pretty) == [pretty]
    assert split(b"") == [b""]
