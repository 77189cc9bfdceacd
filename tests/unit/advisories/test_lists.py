"""KEV, EPSS and OpenVEX: what is read of them, and what is refused, and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from allod.advisories.epss import decode_epss
from allod.advisories.finding import Epss, Exploited, VexStatement, VexStatus
from allod.advisories.kev import decode_exploited
from allod.advisories.openvex import decode_vex
from allod.errors import InvalidInput

VECTORS = Path(__file__).parents[2] / "vectors" / "advisories"


def test_kev_is_read() -> None:
    """Three entries of the real catalogue, one of them known from ransomware."""
    data = (VECTORS / "kev" / "known_exploited_vulnerabilities.json").read_bytes()
    found = {one.cve: one for one in decode_exploited(data, file="kev")}
    assert found["CVE-2025-48384"] == Exploited("CVE-2025-48384", "2025-08-25", "2025-09-15")
    assert found["CVE-2021-44228"].ransomware
    assert len(found) == 3


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"vulnerabilities": [{"cveID": "CVE-1-1"}]}, "`dateAdded` - at `$.vulnerabilities[0]`"),
        ({"vulnerabilities": [{"cveID": " ", "dateAdded": "x"}]}, "$.vulnerabilities[0].cveID"),
        ({}, "`vulnerabilities`"),
    ],
)
def test_bad_kev_is_refused(value: Any, says: str) -> None:
    """With its place."""
    with pytest.raises(InvalidInput, match="cannot read 'kev'") as caught:
        decode_exploited(json.dumps(value).encode(), file="kev")
    assert says in caught.value.message


def test_epss_is_read() -> None:
    """Scores with the date of the run; without the first line the date is unknown."""
    data = (VECTORS / "epss" / "epss_scores-2026-05-01.csv").read_bytes()
    found = list(decode_epss(data, file="e"))
    assert found[0] == Epss("CVE-2021-44228", 0.94358, 0.99957, "2026-05-01T12:55:00Z")
    assert len(found) == 3
    bare = data.partition(b"\n")[2]
    assert next(decode_epss(bare, file="e")).at == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1 is not"),
        ("cve,epss\n", "line 1 is not"),
        ("#x\ncve,epss,percentile\nCVE-2021-44228,1.5,0\n", "line 3: '1.5'"),
        ("cve,epss,percentile\nCVE-2021-44228,nan,0\n", "line 2: 'nan'"),
        ("cve,epss,percentile\nCVE-2021-44228,0.1\n", "line 2: ''"),
        ("cve,epss,percentile\nCVE-2021-44228,0.1,0.2\nx,1,1\n", "line 3: 'x' is no CVE"),
        ("cve,epss,percentile\n\u00e9,1,1\n", "ascii"),
    ],
)
def test_bad_epss_is_refused(text: str, says: str) -> None:
    """With the number of its line."""
    with pytest.raises(InvalidInput) as caught:
        list(decode_epss(text.encode(), file="e"))
    assert says in caught.value.message


def test_vex_is_read() -> None:
    """A real document; a product with parts of its own becomes a statement of its own."""
    data = (VECTORS / "vex" / "dhi-temporalio-ui.vex.json").read_bytes()
    found = decode_vex(data, source="dhi", file="v")
    plain, image, other = [one for one in found if one.flaws == ("CVE-2025-4802",)]
    assert plain.author == "Docker Hardened Images <dhi@docker.com>"
    assert plain.status is VexStatus.NOT_AFFECTED
    assert plain.subcomponents == ()
    assert "pkg:deb/debian/libc-bin" in plain.products
    assert (image.products, other.products) == (
        ("pkg:docker/dhi/temporalio-ui",),
        ("pkg:oci/dhi%2Ftemporalio-ui",),
    )
    assert image.subcomponents == other.subcomponents != ()


DOCUMENT = {
    "@context": "https://openvex.dev/ns/v0.2.0",
    "@id": "https://example.org/1",
    "author": "Anna",
    "timestamp": "2026-01-01T00:00:00Z",
}


def vex(*statements: dict[str, Any], **members: Any) -> tuple[VexStatement, ...]:
    value = {**DOCUMENT, "statements": list(statements), **members}
    return decode_vex(json.dumps(value).encode(), source="s", file="v")


def test_forms_of_vex() -> None:
    """Names and aliases, older forms as plain texts, digests, and the newest time that is said."""
    product = {
        "@id": "pkg:oci/a",
        "hashes": {"sha-256": "AB"},
        "identifiers": {"purl": "pkg:oci/b"},
    }
    flaw = {"@id": "https://nvd.example/CVE-1-1", "aliases": ["GHSA-x"]}
    (new,) = vex({"vulnerability": flaw, "status": "fixed", "products": [product]})
    assert new.flaws == ("CVE-1-1", "GHSA-x")
    assert new.products == ("pkg:oci/a", "pkg:oci/b", "sha256:ab")
    assert new.at == "2026-01-01T00:00:00Z"
    (old,) = vex(
        {
            "vulnerability": "CVE-1-1",
            "status": "affected",
            "products": ["pkg:oci/a"],
            "subcomponents": ["pkg:pypi/c"],
            "timestamp": "2026-02-01T00:00:00Z",
        }
    )
    assert (old.products, old.subcomponents) == (("pkg:oci/a",), ("pkg:pypi/c",))
    assert old.at == "2026-02-01T00:00:00Z"
    (bare,) = vex({"vulnerability": "CVE-1-1", "status": "affected"})
    assert bare.products == ()


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ({"vulnerability": "CVE-1-1", "status": "fine"}, "`$.statements[0].status`"),
        ({"status": "fixed"}, "`vulnerability` - at `$.statements[0]`"),
        ({"vulnerability": {}, "status": "fixed", "products": ["a"]}, "$.statements[0]"),
    ],
)
def test_bad_vex_is_refused(statement: dict[str, Any], says: str) -> None:
    """With its place; nothing of the document counts then."""
    with pytest.raises(InvalidInput, match="cannot read 'v'") as caught:
        vex(statement)
    assert says in caught.value.message


def test_vex_that_nobody_says_is_refused() -> None:
    """A statement without an author is nobody's word."""
    with pytest.raises(InvalidInput, match="author is empty"):
        vex(author=" ")
