"""A verifier's word about what a release mends (docs/spec/evidence.md): what a device reads."""

from __future__ import annotations

from allod.domain.ids import Purl, Version, sha256
from allod.testing.owner import key_from
from allod.trust.dsse import sign_envelope
from allod.trust.evidence import verify_mends
from allod.trust.keys import from_key
from allod.wire.envelope import IN_TOTO
from allod.wire.trust import FleetDocument, Verifier

KEY = key_from("lab")
HOUSE = FleetDocument(
    fleet="f" * 64,
    name="home",
    verifiers=[Verifier(name="lab", key=from_key(KEY.public_key), vouches=["mends"])],
)
RELEASE = (Purl("pkg:generic/acme/toaster"), Version("2.1.2"), sha256(b"2.1.2"))


def target(data: bytes) -> None:
    """The payload, signed by the verifier's own key: the worst that a thief of it can send."""
    verify_mends(sign_envelope(data, IN_TOTO, [KEY]), HOUSE, *RELEASE)
