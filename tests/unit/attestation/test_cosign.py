"""What older cosign lays into registries: layers whose annotations hold the rest of a bundle."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate
from tests.unit.attestation.test_envelope import ED, P256, envelope, pem
from tests.unit.attestation.vectors import NOW, vector

from allod.attestation.cosign import BUNDLE, CERTIFICATE, CHAIN, SIGNATURE, examine_layer
from allod.attestation.envelope import key_from_file
from allod.attestation.policy import Demands, Identity
from allod.trust.dsse import pae
from allod.wire.envelope import IN_TOTO

IMAGE = "c" * 64


def annotated(name: str) -> tuple[bytes, dict[str, str]]:
    """A real bundle v0.1 as cosign 1 and 2 would have laid it into a registry."""
    bundle = json.loads(vector(name).raw)
    material = bundle["verificationMaterial"]
    entry = material["tlogEntries"][0]
    certificates = [
        load_der_x509_certificate(base64.b64decode(one["rawBytes"]))
        .public_bytes(Encoding.PEM)
        .decode()
        for one in material["x509CertificateChain"]["certificates"]
    ]
    logged = {
        "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
        "Payload": {
            "body": entry["canonicalizedBody"],
            "integratedTime": int(entry["integratedTime"]),
            "logIndex": int(entry["logIndex"]),
            "logID": base64.b64decode(entry["logId"]["keyId"]).hex(),
        },
    }
    return json.dumps(bundle["dsseEnvelope"]).encode(), {
        CERTIFICATE: certificates[0],
        CHAIN: "".join(certificates[1:]),
        BUNDLE: json.dumps(logged),
    }


@pytest.mark.parametrize(
    "name", ["npm/supreme-googles-cli-v02-tag", "npm/provenance-npm-test-ossf"]
)
def test_an_attestation_with_certificate_and_log_entry_holds(name: str) -> None:
    """The same real signature, certificate and promise, out of annotations."""
    one = vector(name)
    content, annotations = annotated(name)
    said = one.examine().attested
    policy = Demands(identities=(Identity(said.issuer, said.identity),))

    def look(annotations: dict[str, str], content: bytes = content) -> Any:
        return examine_layer(
            content,
            annotations,
            artifact_digests=one.digests,
            trust_root=one.root,
            policy=policy,
            now=NOW,
        )

    found = look(annotations)
    assert found.good, found.checks
    assert found.attested.logged_at == said.logged_at
    assert not look({**annotations, CERTIFICATE: annotations[CERTIFICATE][:-60]}).good
    assert not look({**annotations, BUNDLE: annotations[BUNDLE].replace("16", "17")}).good
    assert not look({**annotations, BUNDLE: "{}"}).good
    assert not look({**annotations, BUNDLE: "[" * 50}).good
    assert not look({k: v for k, v in annotations.items() if k != BUNDLE}).good
    assert not look({}).good  # nothing says whose signature it is


def simple(digest: str = IMAGE) -> bytes:
    """What `cosign sign` signed."""
    return json.dumps(
        {
            "critical": {
                "identity": {"docker-reference": "registry.example/acme/toaster"},
                "image": {"docker-manifest-digest": f"sha256:{digest}"},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    ).encode()


def test_a_signature_over_a_simple_signing_document_names_the_image() -> None:
    """The signature is over the document, and the document has to name the release."""
    key = key_from_file(pem(P256))

    def look(document: bytes, signed: bytes, digest: str = IMAGE, keys: Any = (key,)) -> Any:
        signature = base64.b64encode(P256.sign(signed, ec.ECDSA(hashes.SHA256()))).decode()
        return examine_layer(
            document,
            {SIGNATURE: signature},
            artifact_digests={"sha256": digest},
            keys=keys,
            now=NOW,
        )

    found = look(simple(), simple())
    assert found.good, found.checks
    assert found.attested.keys == (key.id,)
    assert look(simple(), simple(), "d" * 64).failed.code == "wrong-subject"
    assert look(simple(), simple("d" * 64)).failed.code == "bad-signature"
    assert look(b"[]", b"[]").failed.code == "bad-document"
    assert look(simple(), simple(), keys=()).missing[0].code == "no-key"


def test_an_envelope_without_annotations_is_just_an_envelope() -> None:
    """As Allod's own referrers hold them, and cosign with a key and without a log."""
    payload = json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://cosign.sigstore.dev/attestation/v1",
            "subject": [{"name": "x", "digest": {"sha256": IMAGE}}],
        }
    ).encode()
    found = examine_layer(
        envelope(ED.sign(pae(IN_TOTO, payload)), payload=payload),
        {"org.opencontainers.image.title": "x"},
        artifact_digests={"sha256": IMAGE},
        keys=[key_from_file(pem(ED))],
        now=NOW,
    )
    assert found.good, found.checks
