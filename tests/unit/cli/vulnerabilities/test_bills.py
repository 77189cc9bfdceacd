"""What a release is made of counts only by its provider's signature."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.unit.cli.vulnerabilities.shop import Shop, sbom, waitress

from allod.cli.vulnerabilities.bills import KeptBill
from allod.cli.vulnerabilities.ware import Release
from allod.domain.sbom import Sbom, SbomComponent
from allod.testing.registry import Publisher
from allod.wire.codec import decode, encode
from allod.wire.oci import PROVENANCE


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A provider's registry."""
    return Shop(tmp_path)


def test_a_signed_sbom_counts_and_is_read_once(shop: Shop) -> None:
    """Its parts are the release's; another run asks the registry for nothing."""
    release = shop.push("2.1.1", sbom(waitress("2.1.1")))
    ware = shop.bills.ware(release)
    assert [(one.name, one.version) for one in ware.parts] == [("waitress", "2.1.1")]
    assert (ware.listed_by, ware.unseen) == ("acme", ())
    shop.client.asked.clear()
    assert shop.bills.ware(release).parts == ware.parts
    assert shop.client.asked == []


def test_one_that_allod_made_says_so(shop: Shop) -> None:
    """An owner sees that the provider only signed what Allod found."""
    release = shop.push("2.1.1", sbom(waitress("2.1.1"), made_by="Allod"))
    assert shop.bills.ware(release).listed_by == "acme, made by Allod"


def test_an_unsigned_sbom_does_not_count(shop: Shop) -> None:
    """Whoever may write into the registry could call a release clean: it is unknown instead."""
    release = shop.push("2.1.1", sbom(), sign=False)
    ware = shop.bills.ware(release)
    assert [code for code, _ in ware.unseen] == ["sbom-unsigned"]
    assert [one.purl for one in ware.parts] == ["pkg:generic/acme/toaster@2.1.1"]


def test_a_release_without_sbom_is_unknown(shop: Shop) -> None:
    """Nothing is made up, and nothing is clean."""
    assert [code for code, _ in shop.bills.ware(shop.push("1.0")).unseen] == ["no-sbom"]


def test_a_word_on_another_release_binds_nothing(shop: Shop) -> None:
    """A signed list of another release is no list of this one."""
    release = shop.push("2.1.1", sbom(waitress("2.1.2")), subject="sha256:" + "0" * 64)
    assert [code for code, _ in shop.bills.ware(release).unseen] == ["sbom-unsigned"]


def test_another_keys_word_binds_nothing(shop: Shop) -> None:
    """After the provider's key is another, what was kept is judged by the new one."""
    release = shop.push("2.1.1", sbom(waitress("2.1.1")))
    assert not shop.bills.ware(release).unseen
    shop.acme.key = Publisher().key
    assert [code for code, _ in shop.bills.ware(release).unseen] == ["sbom-unsigned"]


def test_what_was_kept_and_changed_is_read_again(shop: Shop, tmp_path: Path) -> None:
    """A damaged or doctored copy on the disk changes nothing."""
    release = shop.push("2.1.1", sbom(waitress("2.1.1")))
    ware = shop.bills.ware(release)
    (kept,) = (tmp_path / "bills").iterdir()
    whole = decode(kept.read_bytes(), KeptBill, cap=1 << 20, what="it")
    doctored = encode(msgspec.structs.replace(whole, lists=[sbom()]))
    for damage in (b"{", doctored):
        kept.write_bytes(damage)
        assert shop.bills.ware(release).parts == ware.parts


def test_faulty_parts_are_said(shop: Shop) -> None:
    """A part that cannot be read makes the release's parts not wholly known."""
    release = shop.push("2.1.1", sbom(waitress("2.1.1"), {"type": "library"}))
    assert [code for code, _ in shop.bills.ware(release).unseen] == ["bad-sbom"]


def test_what_the_payload_says_counts_where_nobody_signed(shop: Shop) -> None:
    """Allod makes the list itself, once; an unsigned one beside it is not believed."""
    release = shop.push("2.1.1", sbom(), sign=False)
    made: list[Release] = []

    def make(one: Release) -> Sbom:
        made.append(one)
        part = SbomComponent("waitress", "2.1.1", "pkg:pypi/waitress@2.1.1")
        return Sbom("CycloneDX 1.6", (part,), made_by=("Allod",))

    for _ in range(2):
        ware = replace(shop.bills, make=make).ware(release)
        assert [one.name for one in ware.parts] == ["waitress"]
        assert (ware.listed_by, ware.unseen) == ("Allod, from the payload", ())
    assert made == [release]
    bound = shop.reference(release.digest, sbom())
    size = len(shop.acme.transport.files[f"{shop.place}/manifests/{release.digest}"])
    shop.acme.attach(shop.place, release.digest, size, bound, kind=PROVENANCE)
    assert replace(shop.bills, make=make).ware(release).listed_by == "acme"


def test_a_payload_that_says_nothing_is_looked_into_once(shop: Shop) -> None:
    """What is unknown stays so without being fetched again."""
    release = shop.push("1.0")
    asked: list[Release] = []
    for _ in range(2):
        bills = replace(shop.bills, make=asked.append)
        assert [code for code, _ in bills.ware(release).unseen] == ["no-sbom"]
    assert asked == [release]
