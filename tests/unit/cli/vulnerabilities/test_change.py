"""The preview of a change: flaws that it mends, flaws that it brings, and what cannot be known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.unit.cli.vulnerabilities.shop import FLAW, OTHER, TOASTER, Shop, known, sbom, waitress

from allod.cli.vulnerabilities.change import Step, remarks_of
from allod.cli.vulnerabilities.stored import Store
from allod.cli.vulnerabilities.ware import Release


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A provider's registry."""
    return Shop(tmp_path)


def said(shop: Shop, new: Release, *former: Release) -> dict[str, str]:
    """Code -> words."""
    picture = SimpleNamespace(catalog=shop.catalog, base=SimpleNamespace(withdrawn={}))
    store = Store(picture, shop.bills, known())  # type: ignore[arg-type]
    return {one.code: one.says for one in remarks_of(Step(TOASTER, former, new), store)}


def test_what_is_mended_and_what_is_brought(shop: Shop) -> None:
    """An upgrade that mends one flaw and has a new one says both."""
    old = shop.push("1.0", sbom(waitress("2.1.1")))
    new = shop.push("2.0", sbom(waitress("2.2.0")))
    found = said(shop, new, old)
    assert set(found) == {"mends-flaws", "brings-flaws"}
    assert FLAW in found["mends-flaws"]
    assert OTHER in found["brings-flaws"]


def test_a_first_deployment_brings_what_it_has(shop: Shop) -> None:
    """Nothing ran before: all that it has is new."""
    found = said(shop, shop.push("1.0", sbom(waitress("2.1.1"))))
    assert set(found) == {"brings-flaws"}


def test_what_stays_is_said(shop: Shop) -> None:
    """A release that does not mend the flaw says that it is still there."""
    old = shop.push("1.0", sbom(waitress("2.1.0")))
    found = said(shop, shop.push("1.1", sbom(waitress("2.1.1"))), old)
    assert set(found) == {"keeps-flaws"}
    assert FLAW in found["keeps-flaws"]


def test_a_clean_change_says_nothing(shop: Shop) -> None:
    """No flaw before, none after: no line."""
    old = shop.push("1.0", sbom(waitress("2.1.2")))
    assert said(shop, shop.push("1.1", sbom(waitress("2.1.3"))), old) == {}


def test_without_a_signed_sbom_nothing_is_promised(shop: Shop) -> None:
    """An unsigned list that leaves the flawed part out mends nothing."""
    old = shop.push("1.0", sbom(waitress("2.1.1")))
    found = said(shop, shop.push("1.1", sbom(), sign=False), old)
    assert set(found) == {"flaws-unknown"}


def test_unknown_parts_are_counted(shop: Shop) -> None:
    """A part that nothing can be known of is said in the preview."""
    old = shop.push("1.0", sbom(waitress("2.1.1")))
    blob = {"type": "library", "name": "blob"}
    found = said(shop, shop.push("1.1", sbom(waitress("2.1.2"), blob)), old)
    assert set(found) == {"mends-flaws", "flaws-unknown"}
