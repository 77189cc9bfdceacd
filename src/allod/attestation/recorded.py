"""What an entry of a Rekor log holds, and whether it is about the signature beside it.

Without this a good entry about something else could stand beside any signature (CVE-2022-36056).
Kinds: hashedrekord 0.0.1 and 0.0.2, dsse 0.0.1, intoto 0.0.2.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from cryptography.x509 import load_pem_x509_certificate

from allod.attestation.bundle import Bundle, Entry
from allod.attestation.envelope import ENVELOPE_CAP, unbase64
from allod.errors import InvalidInput, Untrusted
from allod.wire.codec import parse_strict

_ALGORITHMS: Final = {
    "sha256": "sha256", "SHA2_256": "sha256", "sha384": "sha384", "SHA2_384": "sha384",
    "sha512": "sha512", "SHA2_512": "sha512",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recorded:
    """The part of an entry that can be compared."""

    algorithm: str
    digest: str  #: hex: of the artifact, the envelope's payload, or what it signs (v2)
    signatures: tuple[tuple[bytes, bytes], ...]  #: signature, and key or certificate (DER)


def check_recorded(
    entry: Entry, bundle: Bundle, verifier: bytes, digests: Mapping[str, str]
) -> str:
    """Check that an entry is about this bundle's signature.

    Args:
        entry: whose place in the log was verified.
        bundle: what was signed.
        verifier: the key (SubjectPublicKeyInfo) or certificate that signed, DER.
        digests: of the artifact, for a bare signature.

    Raises:
        InvalidInput: the entry is malformed, or of a kind that is unknown (`unknown-entry`).
        Untrusted: `wrong-entry`.
    """
    found = read_recorded(entry)
    if bundle.envelope is None:
        wanted = digests.get(found.algorithm)
    else:
        of_payload = entry.kind_version.kind in {"dsse", "intoto"}
        data = bundle.envelope.payload if of_payload else bundle.envelope.signed
        wanted = hashlib.new(found.algorithm, data).hexdigest()
    if found.digest != wanted:
        raise Untrusted(
            "wrong-entry", "cannot trust the log entry: it is about something else that was signed"
        )
    if found.signatures != tuple((one, verifier) for one in bundle.signatures):
        raise Untrusted(
            "wrong-entry", "cannot trust the log entry: it holds another signature or another key"
        )
    return f"the {entry.kind_version.kind} entry holds this signature"


def read_recorded(entry: Entry) -> Recorded:
    """Read an entry. Raises InvalidInput `bad-document`, `unknown-entry`."""
    body = parse_strict(entry.body, cap=ENVELOPE_CAP, what="the log entry")
    kind, version = entry.kind
    try:
        if (body["kind"], body["apiVersion"]) != entry.kind:
            raise InvalidInput("bad-document", "cannot read the log entry: it is of another kind")
        spec = body["spec"]
        match kind, version:
            case "hashedrekord", "0.0.1":
                one = spec["signature"]
                signed = [(one["content"], one["publicKey"]["content"])]
                return _made(
                    spec["data"]["hash"]["algorithm"], spec["data"]["hash"]["value"], signed
                )
            case "hashedrekord", "0.0.2":
                return _second(spec["hashedRekordV002"])
            case "dsse", "0.0.1":
                signed = [(one["signature"], one["verifier"]) for one in spec["signatures"]]
                return _made(spec["payloadHash"]["algorithm"], spec["payloadHash"]["value"], signed)
            case "intoto", "0.0.2":
                content = spec["content"]
                signed = [
                    (unbase64(one["sig"], what="the log entry").decode("ascii"), one["publicKey"])
                    for one in content["envelope"]["signatures"]
                ]
                hashed = content["payloadHash"]
                return _made(hashed["algorithm"], hashed["value"], signed)
            case _:
                raise InvalidInput(
                    "unknown-entry",
                    f"cannot read a log entry of the kind {kind[:40]} {version[:20]}",
                )
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise InvalidInput(
            "bad-document", f"cannot read the log entry: {type(error).__name__} at {error}"
        ) from error


def _made(algorithm: str, digest: str, signed: list[tuple[str, str]]) -> Recorded:
    return Recorded(
        _ALGORITHMS[algorithm],
        digest,
        tuple((unbase64(sig, what="the log entry"), _der(key)) for sig, key in signed),
    )


def _second(spec: dict[str, Any]) -> Recorded:
    """Of Rekor v2: keys and certificates in DER, digests in base64."""
    said = spec["signature"]
    verifier = said["verifier"]
    raw = (verifier.get("x509Certificate") or verifier["publicKey"])["rawBytes"]
    return Recorded(
        _ALGORITHMS[spec["data"]["algorithm"]],
        base64.b64decode(spec["data"]["digest"]).hex(),
        (
            (
                unbase64(said["content"], what="the log entry"),
                unbase64(raw, what="the log entry"),
            ),
        ),
    )


def _der(text: str) -> bytes:
    """A key or certificate: PEM in base64 -> DER."""
    pem = unbase64(text, what="the key of the log entry")
    if b"BEGIN CERTIFICATE" in pem:
        return load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    key = load_pem_public_key(pem)
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
