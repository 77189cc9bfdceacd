"""Attack 18: what is said of one package is passed off as the word about another of its name."""

from __future__ import annotations

from pathlib import Path

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
from tests.unit.cli.vulnerabilities.shop import Shop, sbom, waitress

from allod.advisories.component import Component, Unmatchable
from allod.advisories.purls import component_of
from allod.domain.ids import ProviderName, Purl
from allod.domain.sbom import SbomComponent
from allod.errors import Untrusted
from allod.testing.registry import Publisher
from allod.trust.release import ReleaseIdentity
from allod.trust.summary import verify_summary
from allod.wire import oci
from allod.wire.sbom import CYCLONEDX_JSON

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


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed by a stranger"])
def test_attack_18_a_strangers_sbom_does_not_call_a_release_clean(
    tmp_path: Path, signed: bool
) -> None:
    """Whoever may push into a registry lays an empty list beside a flawed release: it is unknown then,
    and beside the provider's own list it changes nothing.
    """
    shop, stranger = Shop(tmp_path), Publisher()
    own = shop.push("2.1.1", sbom(waitress("2.1.1")))
    bare = shop.push("2.1.2")
    place = shop.acme.repository(bare.package)
    for release in (own, bare):
        raw = shop.acme.transport.files[f"{place}/manifests/{release.digest}"]
        shop.acme.attach(place, release.digest, len(raw), sbom(), kind=CYCLONEDX_JSON)
        if signed:
            acme, shop.acme.key = shop.acme.key, stranger.key
            word = shop.reference(release.digest, sbom())
            shop.acme.key = acme
            shop.acme.attach(place, release.digest, len(raw), word, kind=oci.PROVENANCE)
    assert [code for code, _ in shop.bills.ware(bare).unseen] == ["sbom-unsigned"]
    ware = shop.bills.ware(own)
    assert [(one.name, one.version) for one in ware.parts] == [("waitress", "2.1.1")]
    assert ware.unseen == ()
