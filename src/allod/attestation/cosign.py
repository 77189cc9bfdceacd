"""What cosign before version 3 lays into a registry: signatures and attestations with annotations.

Under the tags `sha256-<hex>.att` (DSSE envelopes) and `sha256-<hex>.sig` (signatures over a "simple
signing" document that names the image). Certificate, log entry and timestamp stand in annotations
of the layers. All of that is what a Sigstore bundle v0.1 holds: it is put together as one.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates

from allod.attestation.envelope import ENVELOPE_CAP, PlainKey, digests_of, unbase64
from allod.attestation.examining import examine
from allod.attestation.policy import Demands
from allod.attestation.verdict import Attested, Check, Examined
from allod.errors import AllodError, InvalidInput
from allod.wire.codec import parse_strict

if TYPE_CHECKING:
    from allod.attestation.roots import TrustRoot

SIMPLE_SIGNING: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE: Final = "dev.cosignproject.cosign/signature"
CERTIFICATE: Final = "dev.sigstore.cosign/certificate"
CHAIN: Final = "dev.sigstore.cosign/chain"
BUNDLE: Final = "dev.sigstore.cosign/bundle"
TIMESTAMP: Final = "dev.sigstore.cosign/rfc3161timestamp"
_V01: Final = "application/vnd.dev.sigstore.bundle+json;version=0.1"


def bundle_of(content: bytes, annotations: Mapping[str, str]) -> bytes:
    """The layer and its annotations as a Sigstore bundle; an envelope without any stays as it is.

    Args:
        content: a DSSE envelope; or, where the annotations have a signature, what it is over.
        annotations: of the layer.

    Raises:
        InvalidInput: `bad-document`, `bad-json`, `too-large`.
    """
    try:
        signature = annotations.get(SIGNATURE, "")
        if not signature and not {CERTIFICATE, BUNDLE} & annotations.keys():
            return content
        material: dict[str, Any] = {"tlogEntries": _entries(annotations.get(BUNDLE, ""))}
        if pem := annotations.get(CERTIFICATE, ""):
            chain = load_pem_x509_certificates((pem + annotations.get(CHAIN, "")).encode())
            raw = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain]
            material["x509CertificateChain"] = {"certificates": [{"rawBytes": one} for one in raw]}
        else:
            material["publicKey"] = {"hint": ""}
        if stamp := annotations.get(TIMESTAMP, ""):
            said = parse_strict(stamp.encode(), cap=ENVELOPE_CAP, what="the timestamp")
            stamps = [{"signedTimestamp": said["SignedRFC3161Timestamp"]}]
            material["timestampVerificationData"] = {"rfc3161Timestamps": stamps}
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            "bad-document", f"cannot read the annotations of the signature: {error}"
        ) from error
    bundle: dict[str, Any] = {"mediaType": _V01, "verificationMaterial": material}
    if signature:
        bundle["messageSignature"] = {"signature": signature}
    else:
        bundle["dsseEnvelope"] = parse_strict(content, cap=ENVELOPE_CAP, what="the envelope")
    return msgspec.json.encode(bundle)


def _entries(text: str) -> list[dict[str, Any]]:
    """The log entry, as bundles write it."""
    if not text:
        return []
    said = parse_strict(text.encode(), cap=ENVELOPE_CAP, what="the log entry")
    payload = said["Payload"]
    body = parse_strict(
        unbase64(payload["body"], what="the log entry"), cap=ENVELOPE_CAP, what="the log entry"
    )
    key_id = base64.b64encode(bytes.fromhex(payload["logID"])).decode()
    return [
        {
            "logIndex": str(payload["logIndex"]),
            "logId": {"keyId": key_id},
            "kindVersion": {"kind": body["kind"], "version": body["apiVersion"]},
            "integratedTime": str(payload["integratedTime"]),
            "inclusionPromise": {"signedEntryTimestamp": said["SignedEntryTimestamp"]},
            "canonicalizedBody": payload["body"],
        }
    ]


def examine_layer(
    content: bytes,
    annotations: Mapping[str, str],
    *,
    artifact_digests: Mapping[str, str],
    keys: Sequence[PlainKey] = (),
    trust_root: TrustRoot | None = None,
    policy: Demands | None = None,
    now: datetime,
) -> Examined:
    """Look at one layer of such a tag, as `examining.examine` does at a bundle."""
    simple = SIGNATURE in annotations and bool(annotations[SIGNATURE])
    try:
        data = bundle_of(content, annotations)
    except AllodError as error:
        check = Check(1, "format", ok=False, says=error.message, code=error.code)
        return Examined((check,), Attested())
    examined = examine(
        data,
        artifact_digests=digests_of(content) if simple else artifact_digests,
        keys=keys,
        trust_root=trust_root,
        policy=policy,
        now=now,
    )
    last = examined.checks[-1]
    if not simple or last.name != "subject" or not last.ok:
        return examined
    ok, says, code = _names(content, artifact_digests)
    return replace(
        examined, checks=(*examined.checks[:-1], replace(last, ok=ok, says=says, code=code))
    )


def _names(content: bytes, digests: Mapping[str, str]) -> tuple[bool, str, str]:
    """Whether a simple signing document, whose signature held, names the artifact."""
    try:
        value = parse_strict(content, cap=ENVELOPE_CAP, what="the signed document")
        named = value["critical"]["image"]["docker-manifest-digest"]
    except (AllodError, KeyError, TypeError) as error:
        return False, f"cannot read the signed document: {error}", "bad-document"
    if named != f"sha256:{digests.get('sha256')}":
        return False, f"cannot take the signature: it is for {str(named)[:80]}", "wrong-subject"
    return True, f"the signed document names {named}", ""
