"""DSSE envelopes of others, signed with plain keys (secure-systems-lab/dsse, v1.0).

Key ids are hints and are not looked at: every key is tried on every signature. Ed25519; ECDSA on
P-256, P-384 and P-521, the signature in DER or as r || s; RSA of 2048 bits and more, PSS or
PKCS #1 v1.5. Allod's own envelopes are read by `trust.dsse`, more strictly.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from allod.errors import InvalidInput, Unavailable, Untrusted
from allod.trust.dsse import pae
from allod.wire.codec import convert, parse_strict
from allod.wire.envelope import PublicKey

ENVELOPE_CAP: Final = 8 * 1024 * 1024
MAX_SIGNATURES: Final = 32
_PEM_CAP: Final = 64 * 1024
_RSA_BITS: Final = range(2048, 16385)
_CURVES: Final[dict[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_AnyKey: TypeAlias = Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class _Open(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Root of these structs: open, immutable, camelCase on the wire."""


class _Signature(_Open, frozen=True, kw_only=True):
    sig: str


class EnvelopeFile(_Open, frozen=True, kw_only=True):
    """An envelope as it is written down."""

    payload_type: str
    payload: str
    signatures: list[_Signature]


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope that was read; nothing of it is verified."""

    payload_type: str
    payload: bytes
    signatures: tuple[bytes, ...]

    @property
    def signed(self) -> bytes:
        """The bytes that are signed."""
        return pae(self.payload_type, self.payload)


@dataclass(frozen=True, slots=True)
class PlainKey:
    """A key that somebody said may sign."""

    key: _AnyKey

    @property
    def der(self) -> bytes:
        """As SubjectPublicKeyInfo."""
        return self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def pem(self) -> bytes:
        """As SubjectPublicKeyInfo, in PEM."""
        return self.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def id(self) -> str:
        """SHA-256 of it, hex."""
        return hashlib.sha256(self.der).hexdigest()

    def signed(self, signature: bytes, data: bytes) -> bool:
        """Whether this key made the signature over the data."""
        return any(_holds(self.key, one, data) for one in _forms(self.key, signature))

    def signed_digest(self, signature: bytes, algorithm: str, digest: bytes) -> bool:
        """Whether this key signed something with this digest (`sha256`, `sha384`, `sha512`).

        Ed25519 signs no digests, so that it never did.
        """
        hashed = _HASHES[algorithm]
        if len(digest) != hashed.digest_size:
            return False
        kind = utils.Prehashed(hashed)
        key = self.key
        if isinstance(key, ec.EllipticCurvePublicKey):
            return any(
                _verified(lambda s=one: key.verify(s, digest, ec.ECDSA(kind)))  # type: ignore[misc]
                for one in _forms(key, signature)
            )
        if isinstance(key, rsa.RSAPublicKey):
            return any(
                _verified(lambda p=one: key.verify(signature, digest, p, kind))  # type: ignore[misc]
                for one in _paddings(hashed)
            )
        return False


def unbase64(text: str, *, what: str) -> bytes:
    """Base64 in the standard or the URL-safe alphabet. Raises InvalidInput `bad-document`."""
    try:
        return base64.b64decode(text.translate(_URL_SAFE), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("bad-document", f"cannot read {what}: {error}") from error


_URL_SAFE: Final = str.maketrans("-_", "+/")


def digests_of(data: bytes) -> dict[str, str]:
    """What an artifact is compared by: algorithm -> hex."""
    return {name: hashlib.new(name, data).hexdigest() for name in _HASHES}


def read_envelope(raw: bytes, *, what: str = "the envelope") -> Envelope:
    """Read an envelope. Raises InvalidInput `too-large`, `bad-json`, `bad-document`."""
    value = parse_strict(raw, cap=ENVELOPE_CAP, what=what)
    return envelope_of(convert(value, EnvelopeFile, what=what), what=what)


def envelope_of(file: EnvelopeFile, *, what: str = "the envelope") -> Envelope:
    """Decode what an envelope holds. Raises InvalidInput `bad-document`."""
    if not 0 < len(file.signatures) <= MAX_SIGNATURES:
        raise InvalidInput(
            "bad-document",
            f"cannot read {what}: it has {len(file.signatures)} signatures, "
            f"1 to {MAX_SIGNATURES} go",
        )
    return Envelope(
        file.payload_type,
        unbase64(file.payload, what=f"the payload of {what}"),
        tuple(unbase64(one.sig, what=f"a signature of {what}") for one in file.signatures),
    )


def key_from_file(data: bytes, *, what: str = "the key") -> PlainKey:
    """A public key in PEM or DER. Raises InvalidInput `bad-key`."""
    load = load_pem_public_key if data.lstrip().startswith(b"-----") else load_der_public_key
    try:
        loaded = load(data[:_PEM_CAP])
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput("bad-key", f"cannot read {what}: {error}") from error
    if isinstance(loaded, rsa.RSAPublicKey):
        fits = loaded.key_size in _RSA_BITS
    elif isinstance(loaded, ec.EllipticCurvePublicKey):
        fits = loaded.curve.name in _CURVES
    else:
        fits = isinstance(loaded, Ed25519PublicKey)
    if not fits:
        raise InvalidInput(
            "bad-key",
            f"cannot use {what}: use Ed25519, ECDSA (P-256, P-384, P-521) or RSA from 2048 bits",
        )
    return PlainKey(loaded)  # type: ignore[arg-type]  # one of the three


def key_of(key: PublicKey) -> PlainKey:
    """A key of an owner's document. Raises InvalidInput `bad-key`."""
    from allod.trust.keys import to_key

    to_key(key)
    if key.keytype == "ed25519":
        return PlainKey(Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.keyval.public)))
    return key_from_file(key.keyval.public.encode())


def _forms(key: _AnyKey, signature: bytes) -> Iterator[bytes]:
    """The signature as the library takes it: ECDSA's r || s is turned into DER."""
    yield signature
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return
    half = (key.curve.key_size + 7) // 8
    if len(signature) == 2 * half:
        r, s = (int.from_bytes(part) for part in (signature[:half], signature[half:]))
        if r and s:
            yield utils.encode_dss_signature(r, s)


def _holds(key: _AnyKey, signature: bytes, data: bytes) -> bool:
    if isinstance(key, Ed25519PublicKey):
        return _verified(lambda: key.verify(signature, data))
    if isinstance(key, ec.EllipticCurvePublicKey):
        # Signers of Sigstore's own take SHA-256 on every curve.
        kinds = {one.name: one for one in (_CURVES[key.curve.name], hashes.SHA256())}
        return any(
            _verified(lambda h=h: key.verify(signature, data, ec.ECDSA(h)))  # type: ignore[misc]
            for h in kinds.values()
        )
    return any(
        _verified(lambda p=p, h=h: key.verify(signature, data, p, h))  # type: ignore[misc]
        for h in _HASHES.values()
        for p in _paddings(h)
    )


def _paddings(hashed: hashes.HashAlgorithm) -> tuple[padding.AsymmetricPadding, ...]:
    """Those of RSA signatures."""
    return (padding.PSS(padding.MGF1(hashed), padding.PSS.AUTO), padding.PKCS1v15())


def _verified(act: Callable[[], None]) -> bool:
    try:
        act()
    except (InvalidSignature, ValueError):
        return False
    return True


def signers(envelope: Envelope, keys: Sequence[PlainKey]) -> tuple[PlainKey, ...]:
    """Those of the keys that signed the envelope, each once.

    Raises:
        Unavailable: `no-key`: there is no key to try.
        Untrusted: `auth`: none of them did.
    """
    if not keys:
        raise Unavailable(
            "no-key", "cannot check the signature: no key is known that may sign; give --key"
        )
    data = envelope.signed
    known = {key.id: key for key in keys}
    good = tuple(
        key for key in known.values() if any(key.signed(one, data) for one in envelope.signatures)
    )
    if not good:
        raise Untrusted(
            "auth", f"cannot trust the envelope: none of {len(known)} known keys signed it"
        )
    return good
