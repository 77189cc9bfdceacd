"""Whether a release in the store mends a flaw: what is unknown mends nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.cli.vulnerabilities.shop import FLAW, Shop, known, sbom, waitress

from allod.advisories.advisory import Advisory
from allod.advisories.assessing import assess
from allod.advisories.finding import Wares
from allod.cli.vulnerabilities.found import look_at
from allod.cli.vulnerabilities.stored import Store, still_has
from allod.cli.vulnerabilities.ware import Release, alone
from allod.testing.advisories import MemoryAdvisories, about, part, record, versions


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A provider's registry."""
    return Shop(tmp_path)


def store(shop: Shop, **withdrawn: Any) -> Store:
    """The store as an owner sees it now."""
    picture = SimpleNamespace(catalog=shop.catalog, base=SimpleNamespace(withdrawn=withdrawn))
    return Store(picture, shop.bills, known())  # type: ignore[arg-type]


def mending(shop: Shop, running: Release, **withdrawn: Any) -> list[str]:
    """Versions in the store that mend the flaw of what runs."""
    found = store(shop, **withdrawn)
    looked = found.mending(look_at(alone(shop.bills.ware(running)), known()))
    (line,) = looked.lines
    assert line.finding.id == FLAW
    return [one.version for one in line.releases]


def test_newer_releases_without_the_flaw_mend_it(shop: Shop) -> None:
    """By version order, not by that of tags; older ones do not, nor those that have it still."""
    shop.push("2.0.0", sbom(waitress("2.0.0")))
    running = shop.push("2.9.0", sbom(waitress("2.1.1")))
    shop.push("2.9.1", sbom(waitress("2.1.1")))
    shop.push("2.10.0", sbom(waitress("2.1.2")))
    shop.push("3.0", sbom())
    assert mending(shop, running) == ["2.10.0", "3.0"]


def test_unknown_is_not_mended(shop: Shop) -> None:
    """Without a signed SBOM, or with the part in a version that nobody can place, nothing follows."""
    running = shop.push("2.1.1", sbom(waitress("2.1.1")))
    shop.push("2.1.2", sbom(waitress("2.1.2")), sign=False)
    shop.push("2.1.3")
    shop.push("2.1.4", sbom({"type": "library", "name": "waitress"}))
    assert mending(shop, running) == []


def test_the_providers_word_counts_where_there_is_no_sbom(shop: Shop) -> None:
    """A release's own description says what it mends, under any name of the flaw."""
    running = shop.push("2.1.1", sbom(waitress("2.1.1")))
    shop.push("2.1.2", mends="GHSA-f5x9-8jwc-25rw")
    shop.push("2.1.3", sbom(waitress("2.1.1")), mends=FLAW)
    assert mending(shop, running) == ["2.1.2"]


def test_withdrawn_releases_mend_nothing(shop: Shop) -> None:
    """What was recalled is no way out."""
    running = shop.push("2.1.1", sbom(waitress("2.1.1")))
    mended = shop.push("2.1.2", sbom(waitress("2.1.2")))
    assert mending(shop, running, **{mended.digest: object()}) == []


@pytest.mark.parametrize(
    ("newer", "hidden"),
    [
        # nobody can tell whether the update that mends it means the newer part
        (record("DSA-1", about("PyPI", "waitress"), upstream=(FLAW, "CVE-2026-9999")), True),
        (record("DSA-1", about("PyPI", "waitress"), upstream=("CVE-2026-9999",)), False),
        # nothing is known of the newer part's ecosystem
        (None, True),
    ],
)
def test_what_is_open_about_the_newer_one_may_hide_the_flaw(
    newer: Advisory | None, *, hidden: bool
) -> None:
    """Undecided records, and ecosystems that no source knows, mend nothing."""
    fixed = versions("introduced 2.1.0", "fixed 2.1.2")
    flawed = MemoryAdvisories([record(FLAW, about("PyPI", "waitress", fixed))])
    (finding,) = assess(Wares((part("PyPI", "waitress", "2.1.1"),)), flawed).findings
    if newer is not None:
        flawed.add(newer)
    ecosystem = "PyPI" if newer is not None else "Debian:12"
    becomes = assess(Wares((part(ecosystem, "waitress", "2.1.2"),)), flawed)
    assert still_has(becomes, finding) is hidden
