"""Attack 18: what is said of one package is passed off as the word about another of its name."""

from __future__ import annotations

import pytest
from tests.attacks.evidence_world import (
    HOUSE,
    NEW,
    OLD,
    PROVIDER,
    RELEASE,
    evidence,
    mends,
    summary,
)

from allod.advisories.component import Component, Unmatchable
from allod.advisories.purls import component_of
from allod.domain.ids import ProviderName, Purl
from allod.domain.sbom import SbomComponent
from allod.errors import Untrusted
from allod.trust.release import ReleaseIdentity
from allod.trust.summary import verify_summary

STRANGER = Purl("pkg:generic/mallory/toaster")


def test_attack_18_evidence_about_anothers_toaster_is_none_about_this_one() -> None:
    """The verifier's own word, with the flaw and even the digest, but under another package's name."""
    assert mends(evidence())
    assert mends(evidence(package=STRANGER)) == set()


def test_attack_18_a_summary_of_anothers_toaster_is_none_of_this_one() -> None:
    """The package stands in what was signed, and is compared."""
    other = ReleaseIdentity(ProviderName("acme"), STRANGER, RELEASE.version, NEW)
    with pytest.raises(Untrusted) as caught:
        verify_summary(summary(release=other), HOUSE.verifiers, PROVIDER, RELEASE)
    assert caught.value.code == "wrong-release"
    assert OLD != NEW


@pytest.mark.parametrize(
    "purl",
    [
        "pkg:generic/waitress@2.1.1",
        "pkg:github/mallory/waitress@2.1.1",
        "pkg:npm/waitress@2.1.1",
        "pkg:pypi/mallory/waitress@2.1.1",
    ],
)
def test_attack_18_a_part_of_the_same_name_elsewhere_is_another_part(purl: str) -> None:
    """A name counts in its ecosystem: nobody is called flawed, or clean, for a name alone."""
    found = component_of(SbomComponent("waitress", "2.1.1", purl))
    real = component_of(SbomComponent("waitress", "2.1.1", "pkg:pypi/waitress@2.1.1"))
    assert isinstance(real, Component)
    if not isinstance(found, Unmatchable):
        assert (found.ecosystem, found.name) != (real.ecosystem, real.name)
