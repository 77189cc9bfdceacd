"""Each flaw of each part once, with all the places it is in; what is not known is counted."""

from __future__ import annotations

from tests.unit.cli.vulnerabilities.shop import FLAW, known

from allod.advisories.finding import Exploited, Level, VexStatement, VexStatus
from allod.cli.vulnerabilities.found import Looked, look_at
from allod.cli.vulnerabilities.ware import Kind, Place, Ware, gathered
from allod.domain.sbom import SbomComponent
from allod.testing.advisories import MemoryAdvisories, about, record, versions

WAITRESS = SbomComponent("waitress", "2.1.1", "pkg:pypi/waitress@2.1.1")
HERE, THERE = Place("a" * 64, "here"), Place("b" * 64, "there")


def ware(key: str, *parts: SbomComponent, **more: str) -> Ware:
    """Something with parts."""
    products = frozenset(filter(None, (more.pop("product", ""),)))
    return Ware(key, Kind.RELEASE, f"toaster {key}", parts, products=products)


def deb(name: str, source: str) -> SbomComponent:
    """A binary package of Debian 12."""
    purl = f"pkg:deb/debian/{name}@1.0-1?distro=debian-12&upstream={source}"
    return SbomComponent(name, "1.0-1", purl)


def test_what_several_devices_run_is_one_line() -> None:
    """Two releases on two devices have one flaw under three names: one line, both places."""
    running = gathered(
        [(ware("1", WAITRESS), HERE), (ware("1", WAITRESS), THERE), (ware("2", WAITRESS), THERE)]
    )
    looked = look_at(running, known())
    (line,) = looked.lines
    assert (line.finding.id, line.places) == (FLAW, (HERE, THERE))
    assert [one.key for one in line.wares] == ["1", "2"]
    assert looked.by_level[Level.UNKNOWN] == 1


def test_binary_packages_of_one_source_are_one_line() -> None:
    """Openssl and libssl3 of one source have a flaw once."""
    flaw = record("DSA-1", about("Debian:12", "openssl", versions("introduced 0", "fixed 2.0")))
    parts = (deb("openssl", "openssl"), deb("libssl3", "openssl"))
    looked = look_at(gathered([(ware("1", *parts), HERE)]), MemoryAdvisories([flaw]))
    assert [line.finding.component.name for line in looked.lines] == ["openssl"]
    assert looked.parts == 1


def test_what_nothing_is_known_of_is_never_clean() -> None:
    """Parts without purl or version, and ecosystems that no source speaks of, are told apart."""
    parts = (
        SbomComponent("blob"),
        SbomComponent("x", "", "pkg:pypi/x"),
        SbomComponent("left-pad", "1.3.0", "pkg:npm/left-pad@1.3.0"),
        SbomComponent("flask", "3.0.0", "pkg:pypi/flask@3.0.0"),
    )
    looked = look_at(gathered([(ware("1", *parts), HERE)]), known())
    assert sorted(one.code for one in looked.unknown) == ["no-purl", "no-version"]
    assert looked.unasked == {"npm": 1}
    assert (looked.clean, looked.parts) == (1, 4)


def test_vex_holds_for_the_product_that_it_names() -> None:
    """Not affected in one release, still a flaw in the other: two lines, the flaw first."""
    said = VexStatement(
        (FLAW,), ("pkg:generic/acme/toaster@1",), VexStatus.NOT_AFFECTED, "acme", "2026-01-01"
    )
    advisories = known()
    advisories._statements.append(said)
    running = gathered(
        [
            (ware("1", WAITRESS, product="pkg:generic/acme/toaster@1"), HERE),
            (ware("2", WAITRESS, product="pkg:generic/acme/toaster@2"), THERE),
        ]
    )
    looked = look_at(running, advisories)
    assert [(one.finding.counts, one.places) for one in looked.lines] == [
        (True, (THERE,)),
        (False, (HERE,)),
    ]
    assert sum(looked.by_level.values()) == 1


def test_worst_first() -> None:
    """What is exploited stands before what is not."""
    advisories = MemoryAdvisories(
        [
            record(name, about("PyPI", "waitress", versions("introduced 0")))
            for name in ("CVE-2030-1001", "CVE-2030-1002")
        ],
        exploited=[Exploited("CVE-2030-1002", "2030-02-02")],
    )
    looked: Looked = look_at(gathered([(ware("1", WAITRESS), HERE)]), advisories)
    assert [one.finding.id for one in looked.lines] == ["CVE-2030-1002", "CVE-2030-1001"]
