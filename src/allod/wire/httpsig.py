"""HTTP message signatures (RFC 9421) with Ed25519, as the administration API uses them.

Covered are method, path, query and the digest of the body (RFC 9530); the parameters carry
time, nonce, key id and the tag "allod". Pure: the clock, the nonce and the memory of nonces
belong to the caller.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from allod.errors import Untrusted
from allod.wire.envelope import PublicKey

COMPONENTS: Final = ("@method", "@path", "@query", "content-digest")
TAG: Final = "allod"
LABEL: Final = "allod"
MAX_AGE_SECONDS: Final = 300
MAX_SKEW_SECONDS: Final = 60

_PARAM: Final = r';[a-z][a-z0-9_-]*=(?:"[\x20\x21\x23-\x5b\x5d-\x7e]*"|[0-9]{1,15})'
_INPUT: Final = re.compile(
    rf'[a-z*][a-z0-9_.*-]*=(\(("[a-z@-]+"(?: "[a-z@-]+")*)\)((?:{_PARAM})*))', re.ASCII
)
_SIGNATURE: Final = re.compile(r"[a-z*][a-z0-9_.*-]*=:([A-Za-z0-9+/=]{1,200}):", re.ASCII)
_DIGEST: Final = re.compile(r"sha-256=:([A-Za-z0-9+/=]{44}):", re.ASCII)
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)


def content_digest(body: bytes) -> str:
    """The value of the field `Content-Digest` for `body`."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode("ascii")
    return f"sha-256=:{digest}:"


def signature_base(fields: Sequence[tuple[str, str]], params: str) -> bytes:
    """The bytes that are signed (RFC 9421 §2.5): covered components, then the parameters."""
    lines = [f'"{name}": {value}' for name, value in fields]
    lines.append(f'"@signature-params": {params}')
    return "\n".join(lines).encode("ascii")


def _fields(method: str, path: str, query: str, digest: str) -> dict[str, str]:
    return {
        "@method": method.upper(),
        "@path": path or "/",
        "@query": "?" + query,
        "content-digest": digest,
    }


def sign_request(
    method: str,
    path: str,
    query: str,
    digest: str,
    *,
    key_id: str,
    created: int,
    nonce: str,
    sign: Callable[[bytes], bytes],
) -> dict[str, str]:
    """The header fields that a request carries to be accepted by the API.

    Args:
        method: upper case.
        path: as it goes over the wire, percent-encoded.
        query: without the question mark; empty if there is none.
        digest: `content_digest` of the body, empty or not.
        key_id: as in TUF.
        created: seconds since 1970.
        nonce: 16 to 64 unguessable characters of A-Z, a-z, 0-9, '_' and '-'; never used twice.
        sign: makes the raw Ed25519 signature (64 bytes).
    """
    covered = " ".join(f'"{name}"' for name in COMPONENTS)
    params = f'({covered});created={created};nonce="{nonce}";keyid="{key_id}";tag="{TAG}"'
    base = signature_base(list(_fields(method, path, query, digest).items()), params)
    signature = base64.b64encode(sign(base)).decode("ascii")
    return {
        "Content-Digest": digest,
        "Signature-Input": f"{LABEL}={params}",
        "Signature": f"{LABEL}=:{signature}:",
    }


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a request claims, before anything is verified."""

    key_id: str
    created: int
    nonce: str
    base: bytes
    signature: bytes
    body_digest: bytes  #: SHA-256 that the body must have


def _refuse(why: str) -> Untrusted:
    return Untrusted("bad-signature", f"cannot accept the signature of the request: {why}")


def _parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in re.findall(_PARAM, text):
        name, _, value = part[1:].partition("=")
        if name in found:
            raise _refuse(f"the parameter {name} stands twice")
        found[name] = value.strip('"')
    return found


def read_request(method: str, path: str, query: str, headers: Mapping[str, str]) -> SignedRequest:
    """Read the signature of a request; `headers` has lower-case names.

    Raises:
        Untrusted: `bad-signature`: missing, ill-formed, or not over what must be covered.
    """
    given = _INPUT.fullmatch(headers.get("signature-input", ""))
    signature = _SIGNATURE.fullmatch(headers.get("signature", ""))
    digest = _DIGEST.fullmatch(headers.get("content-digest", ""))
    if given is None or signature is None or digest is None:
        raise _refuse("Signature-Input, Signature or Content-Digest is missing or ill-formed")
    if headers["signature-input"].partition("=")[0] != headers["signature"].partition("=")[0]:
        raise _refuse("the labels of Signature-Input and Signature differ")
    covered = [name.strip('"') for name in given.group(2).split(" ")]
    if sorted(covered) != sorted(COMPONENTS):
        raise _refuse(f"it must cover exactly {', '.join(COMPONENTS)}")
    params = _parameters(given.group(3))
    if params.get("tag") != TAG or params.get("alg", "ed25519") != "ed25519":
        raise _refuse(f'its tag must be "{TAG}" and its algorithm ed25519')
    created, nonce, key_id = params.get("created", ""), params.get("nonce", ""), params.get("keyid")
    if not created.isdecimal() or not key_id or _NONCE.fullmatch(nonce) is None:
        raise _refuse("created, nonce or keyid is missing or ill-formed")
    values = _fields(method, path, query, headers["content-digest"])
    try:
        base = signature_base([(name, values[name]) for name in covered], given.group(1))
        raw = base64.b64decode(signature.group(1), validate=True)
        body_digest = base64.b64decode(digest.group(1), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise _refuse("it is not base64, or the path is not ASCII") from error
    return SignedRequest(key_id, int(created), nonce, base, raw, body_digest)


def verify_request(
    request: SignedRequest, key: PublicKey, now: int, *, max_age: int = MAX_AGE_SECONDS
) -> None:
    """Check time and signature; the body is checked by `verify_body`, the nonce by the caller.

    Raises:
        Untrusted: `bad-signature`, or `signature-too-old`.
    """
    if not -MAX_SKEW_SECONDS <= now - request.created <= max_age:
        raise Untrusted(
            "signature-too-old",
            f"cannot accept the request: it was signed {now - request.created} s ago, at most "
            f"{max_age} s are allowed; set the clock of the machine that signs",
        )
    if key.keytype != "ed25519" or key.scheme != "ed25519":
        raise _refuse("the key is not an Ed25519 key")
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.keyval.public))
        public.verify(request.signature, request.base)
    except (InvalidSignature, ValueError) as error:
        raise _refuse(
            "it was not made by the key that it names, or the request was altered"
        ) from error


def verify_body(signed: bytes, digest: bytes) -> None:
    """Compare the SHA-256 that was signed with that of the body. Raises Untrusted `bad-signature`."""
    if not hmac.compare_digest(signed, digest):
        raise _refuse("the body is not the one that was signed")
