"""What a host says that it has becomes parts that advisories know."""

from __future__ import annotations

from allod.advisories.component import Component, Unmatchable
from allod.advisories.purls import component_of
from allod.cli.vulnerabilities.hosts import parts_of
from allod.wire.report import HostPackage, Inventory

DEBIAN = {"os": "debian-12"}


def seen(facts: dict[str, str], **lists: list[HostPackage]) -> list[tuple[str, ...]]:
    """As advisories are asked: ecosystem, name, version; or why they cannot be."""
    found = []
    for said in parts_of(Inventory(digest="d", **lists), facts):
        known = component_of(said, distribution=facts.get("os", ""))
        if isinstance(known, Component):
            found.append((known.ecosystem, known.name, known.version))
        else:
            found.append((known.code,))
    return found


def test_packages_of_a_distribution_go_by_their_source() -> None:
    """Advisories of Debian speak of source packages, in the source's version."""
    dpkg = [
        HostPackage(name="openssl", version="3.0.15-1~deb12u1", architecture="amd64"),
        HostPackage(name="libssl3", version="3.0.15-1~deb12u1", source="openssl"),
        HostPackage(name="g++", version="4:12.2.0-3", source="gcc-12", source_version="12.2.0-14"),
        HostPackage(name="libstdc++6", version="12.2.0-14", source="gcc-12"),
    ]
    assert seen(DEBIAN, dpkg=dpkg) == [
        ("Debian:12", "openssl", "3.0.15-1~deb12u1"),
        ("Debian:12", "openssl", "3.0.15-1~deb12u1"),
        ("Debian:12", "gcc-12", "12.2.0-14"),
        ("Debian:12", "gcc-12", "12.2.0-14"),
    ]


def test_of_an_unknown_system_nothing_is_known() -> None:
    """Without the distribution's release a package is unmatchable, and not clean."""
    (found,) = seen({}, dpkg=[HostPackage(name="bash", version="5.2.15-2+b7")])
    assert found in {("no-release",), ("unknown-ecosystem",)}


def test_what_dpkg_brought_is_dpkgs() -> None:
    """A Python package of the distribution is not asked for at PyPI: its fixes are Debian's."""
    pip = [
        HostPackage(name="requests", version="2.28.1", manager="dpkg"),
        HostPackage(name="flask", version="3.0.0"),
    ]
    assert seen(DEBIAN, pip=pip) == [("PyPI", "flask", "3.0.0")]


def test_every_part_is_readable_back() -> None:
    """Names and versions with any lawful character survive as package URLs."""
    dpkg = [HostPackage(name="a+b.c-d", version="1:2.0~rc1+dfsg-3!4")]
    pip = [HostPackage(name="x.y", version="1!2.0+local.1")]
    parts = list(parts_of(Inventory(digest="d", dpkg=dpkg, pip=pip), DEBIAN))
    known = [component_of(one) for one in parts]
    assert not any(isinstance(one, Unmatchable) and one.code == "bad-purl" for one in known)
    assert [one.version for one in known if isinstance(one, Component)][-1:] == ["1!2.0+local.1"]
