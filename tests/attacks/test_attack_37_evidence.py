"""Attack 37: with the provider's key, somebody says themselves that their release mends a flaw."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.attacks.evidence_world import (
    ACME,
    AT,
    FLAW,
    HOUSE,
    LAB,
    OLD,
    OTHER_LAB,
    PROVIDER,
    RELEASE,
    evidence,
    mends,
    summary,
    why_not,
)

from allod.domain.ids import Purl, Version
from allod.errors import Untrusted
from allod.testing.owner import key_from
from allod.trust.summary import verify_summary
from allod.wire.trust import FleetDocument


def test_attack_37_the_providers_key_makes_no_evidence() -> None:
    """Neither in the provider's own name, nor in that of a verifier."""
    assert mends(evidence()) == {(OLD, "pypa", FLAW)}
    assert mends(evidence(ACME), evidence(ACME, "acme"), evidence(key_from("mallory"))) == set()
    with pytest.raises(Untrusted) as caught:
        verify_summary(summary(ACME, "acme"), HOUSE.verifiers, PROVIDER, RELEASE)
    assert caught.value.code == "auth"


def test_attack_37_a_verifier_does_not_speak_as_the_provider_either() -> None:
    """The source `provider` is the provider's signature: no other key makes that word."""
    assert mends(evidence(sources=["provider"])) == set()
    assert mends(evidence(sources=["provider", "pypa"])) == {(OLD, "pypa", FLAW)}


def test_attack_37_a_stolen_verifiers_key_goes_as_far_as_its_owner_let_it() -> None:
    """Only the sources that it may rest on, only its own name, only this fleet, and only for what it
    vouches; taken off the list it is nobody's key.
    """
    assert mends(evidence(OTHER_LAB, "other-lab")) == {(OLD, "pypa", FLAW)}
    assert mends(evidence(OTHER_LAB, "other-lab", sources=["ghsa"])) == set()
    assert mends(evidence(OTHER_LAB, "lab")) == set()
    assert mends(evidence(fleet="e" * 64)) == set()
    alone = msgspec.structs.replace(HOUSE, verifiers=HOUSE.verifiers[1:])
    assert mends(evidence(LAB), house=alone) == set()
    assert mends(evidence(LAB), house=FleetDocument(fleet=HOUSE.fleet, name="home")) == set()


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("auth", {"signer": ACME}),
        ("wrong-verifier", {"by": "other-lab"}),
        ("wrong-fleet", {"fleet": "e" * 64}),
        ("wrong-digest", {"release": OLD}),
        ("wrong-release", {"package": Purl("pkg:generic/mallory/toaster")}),
        ("wrong-release", {"version": Version("2.1.3")}),
        ("bad-document", {"flaw": ""}),
        ("bad-document", {"flaw": "CVE-\x1b[2J"}),
        ("bad-name", {"sources": ["../pypa"]}),
    ],
)  # fmt: skip
def test_attack_37_forged_evidence_is_refused_for_its_reason(
    code: str, changed: dict[str, Any]
) -> None:
    """Each step of the check stops one forgery, and the refusal names it."""
    assert why_not(evidence(**changed)) == code
    assert mends(evidence(**changed)) == set()


def test_attack_37_an_old_word_does_not_come_back() -> None:
    """A verifier who found that it mends nothing after all is not overruled by their own older word,
    in whatever order the registry shows them; two verifiers do not overtake each other.
    """
    older, newer = evidence(), evidence(old=RELEASE.digest, at=AT + timedelta(seconds=1))
    for shown in ((older, newer), (newer, older), (newer, older, older)):
        assert mends(*shown) == set()
    other = evidence(OTHER_LAB, "other-lab")
    assert mends(newer, other) == mends(other, newer) == {(OLD, "pypa", FLAW)}


def test_attack_37_no_word_is_made_longer_by_repeating_it() -> None:
    """Two statements of one verifier at one moment say what both say; forged ones beside take nothing."""
    other = evidence(old=RELEASE.digest)
    assert mends(evidence(), evidence(key_from("mallory"))) == {(OLD, "pypa", FLAW)}
    assert mends(evidence(), other) == set()
