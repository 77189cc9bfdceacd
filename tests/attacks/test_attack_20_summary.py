"""Attack 20: a verifier's summary is made to say more than the verifier looked at."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest
from tests.attacks.evidence_world import (
    ACME,
    AT,
    FLEET,
    HOUSE,
    LAB,
    OTHER_LAB,
    POLICY,
    PROVIDER,
    RELEASE,
    asking,
    summary,
)

from allod.domain.ids import sha256
from allod.errors import Untrusted
from allod.testing.owner import key_from
from allod.trust.dsse import decode_envelope, payload_of, sign_envelope
from allod.trust.summary import Summary, make_summary, verify_summary
from allod.wire.codec import encode
from allod.wire.envelope import IN_TOTO
from allod.wire.trust import ProviderDocument

ELSEWHERE = msgspec.structs.replace(PROVIDER, fleet="e" * 64)


def as_provenance() -> bytes:
    """The verifier's signature over the same statement under the name of provenance."""
    payload = payload_of(decode_envelope(summary()))
    said = payload.replace(
        b"https://slsa.dev/verification_summary/v1", b"https://slsa.dev/provenance/v1"
    )
    assert said != payload
    return sign_envelope(said, IN_TOTO, [LAB])


@pytest.mark.parametrize(
    ("code", "make"),
    [
        ("auth", lambda: summary(key_from("mallory"))),
        ("auth", lambda: summary(ACME)),
        ("auth", lambda: summary(OTHER_LAB, "other-lab")),
        ("wrong-verifier", lambda: summary(LAB, "other-lab")),
        ("wrong-verifier", lambda: summary(provider=ELSEWHERE)),
        ("outdated-summary", lambda: summary(provider=asking(level=1))),
        ("outdated-summary", lambda: summary(provider=asking(sources=["git+https://github.com/acme/x"]))),
        ("wrong-level", lambda: summary(level=1)),
        ("wrong-type", as_provenance),
    ],
)  # fmt: skip
def test_attack_20_a_summary_that_does_not_cover_it_is_refused(
    code: str, make: Callable[[], bytes]
) -> None:
    """Another key, the provider's own, a verifier for other things, another's name, another fleet,
    an older or laxer policy, a level too low, another kind of statement: each for its reason.
    """
    assert verify_summary(summary(), HOUSE.verifiers, PROVIDER, RELEASE).value.passed
    with pytest.raises(Untrusted) as caught:
        verify_summary(make(), HOUSE.verifiers, PROVIDER, RELEASE)
    assert caught.value.code == code


def test_attack_20_a_summary_is_what_others_can_read() -> None:
    """A verification summary as SLSA has it: whoever made it, of what, by which policy, and how well."""
    inputs = [sha256(b"provenance")]
    said = Summary("lab", AT, 3)
    raw = make_summary(PROVIDER, RELEASE, said, [LAB], inputs=inputs)
    assert json.loads(payload_of(decode_envelope(raw))) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": RELEASE.package, "digest": {"sha256": RELEASE.digest[7:]}}],
        "predicateType": "https://slsa.dev/verification_summary/v1",
        "predicate": {
            "verifier": {"id": f"allod:{FLEET}/lab"},
            "timeVerified": "2026-05-01T12:00:00Z",
            "resourceUri": RELEASE.package,
            "policy": {
                "uri": "providers/acme.json",
                "digest": {"sha256": sha256(encode(POLICY))[7:]},
            },
            "inputAttestations": [{"digest": {"sha256": inputs[0][7:]}}],
            "verificationResult": "PASSED",
            "verifiedLevels": ["SLSA_BUILD_LEVEL_3"],
        },
    }
    no = json.loads(payload_of(decode_envelope(summary(passed=False))))["predicate"]
    assert (no["verificationResult"], no.get("verifiedLevels", [])) == ("FAILED", [])


def test_attack_20_a_summary_that_says_no_does_not_pass() -> None:
    """It holds as a statement, and what it says is that the release was not built so."""
    said = verify_summary(summary(passed=False), HOUSE.verifiers, PROVIDER, RELEASE).value
    assert not said.passed


def test_attack_20_who_asks_for_nothing_has_nothing_vouched_for() -> None:
    """A summary from when there was a policy says nothing once there is none."""
    free = ProviderDocument(
        fleet=FLEET, provider="acme", keys=PROVIDER.keys, namespaces=PROVIDER.namespaces
    )
    assert POLICY.level == 2
    with pytest.raises(Untrusted) as caught:
        verify_summary(summary(), HOUSE.verifiers, free, RELEASE)
    assert caught.value.code == "outdated-summary"
