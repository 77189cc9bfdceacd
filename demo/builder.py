"""A build service, as far as its signed word is concerned: SLSA provenance v1 in a DSSE envelope.

It knows nothing of Allod: what it writes is what any builder writes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
SOURCE = "git+https://git.example/acme/toaster"
REVISION = "5f1d1a0c8f0e4b2f9a7a4c1d2e3f405162738495"


@dataclass(frozen=True)
class Builder:
    """One build service and its key."""

    id: str
    key: Ed25519PrivateKey

    @classmethod
    def new(cls, name: str) -> Builder:
        """A builder with a new key."""
        return cls(name, Ed25519PrivateKey.generate())

    def publish_key(self, path: Path) -> Path:
        """Write the public key, PEM."""
        path.write_bytes(
            self.key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        return path

    def provenance(self, digest: str, ref: str) -> bytes:
        """What it built, from what: signed.

        Args:
            digest: of the release's manifest, "sha256:…".
            ref: of the source.
        """
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "toaster", "digest": {"sha256": digest.removeprefix("sha256:")}}],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": "https://builds.example/types/release/v1",
                    "externalParameters": {"ref": ref},
                    "resolvedDependencies": [
                        {"uri": f"{SOURCE}@{ref}", "digest": {"gitCommit": REVISION}}
                    ],
                },
                "runDetails": {"builder": {"id": self.id}},
            },
        }
        payload = json.dumps(statement).encode()
        kind = PAYLOAD_TYPE.encode()
        signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
        spki = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        envelope = {
            "payloadType": PAYLOAD_TYPE,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [
                {
                    "keyid": hashlib.sha256(spki).hexdigest(),
                    "sig": base64.b64encode(self.key.sign(signed)).decode(),
                }
            ],
        }
        return json.dumps(envelope).encode()
