"""Parts as lists name them meet records as ecosystems publish them: the names agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from allod.advisories.component import Component
from allod.advisories.matching import match
from allod.advisories.osv import decode_advisory
from allod.advisories.purls import component_of
from allod.domain.sbom import SbomComponent
from allod.testing.advisories import MemoryAdvisories

RECORDS = Path(__file__).parents[2] / "vectors" / "advisories" / "osv"
KNOWN = MemoryAdvisories(
    decode_advisory(path.read_bytes(), source="vectors", file=path.name)
    for path in sorted(RECORDS.glob("*.json"))
)


@pytest.mark.parametrize(
    ("purl", "distribution", "names"),
    [
        ("pkg:pypi/Waitress@2.1.1", "", {"PYSEC-2022-205"}),
        ("pkg:pypi/waitress@2.1.2", "", set()),
        ("pkg:npm/ansi-html@0.0.7", "", {"GHSA-whgm-jr23-g3j9"}),
        ("pkg:npm/ansi-html@v0.0.8", "", set()),
        ("pkg:apk/alpine/libssl1.0@1.0.2p-r0?distro=alpine-3.8.1&upstream=openssl", "",
         {"CVE-2018-5407"}),
        ("pkg:apk/alpine/libssl1.0@1.0.2q-r0?distro=alpine-3.8.1&upstream=openssl", "", set()),
        ("pkg:apk/alpine/musl-utils@1.2.5-r8?upstream=musl", "alpine-3.21.2",
         {"ALPINE-CVE-2025-26519"}),
        ("pkg:apk/alpine/musl-utils@1.2.5-r9?upstream=musl", "alpine-3.21.2", set()),
        ("pkg:deb/debian/libx@1?distro=debian-7.8&upstream=nginx%401.2.1-2.2%2Bwheezy2", "",
         {"DSA-3029-1"}),
        ("pkg:deb/debian/nginx-full@1.2.1-2.2%2Bwheezy3?upstream=nginx", "debian-7", set()),
        ("pkg:deb/ubuntu/linux-image@3.13.0-1?distro=esm-infra-legacy/trusty&upstream=linux", "",
         {"UBUNTU-CVE-2025-38094"}),
        ("pkg:composer/Drupal/simple_sitemap@4.2.1?repository_url=https://packages.drupal.org/8",
         "", {"DRUPAL-CONTRIB-2025-083"}),
    ],
)  # fmt: skip
def test_parts_meet_records(purl: str, distribution: str, names: set[str]) -> None:
    """A part below the fix is meant by the record about its package, one with the fix is not.

    A record about an ecosystem without an order here is met too, and left undecided.
    """
    component = component_of(SbomComponent("it", "", purl), distribution=distribution)
    assert isinstance(component, Component), component
    package = (component.ecosystem, component.name)
    candidates = KNOWN.about([package]).get(package, ())
    assert candidates
    found = match(component, candidates)
    assert {one.advisory.id for one in (*found.hits, *found.undecided)} == names
