"""Which order an ecosystem has, and what an order refuses."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from allod.advisories.orders import (
    APK,
    DPKG,
    MAVEN,
    NUGET,
    RPM,
    SEMVER,
    Order,
    order_named,
    order_of,
)
from allod.advisories.orders.order import MOST, number
from allod.errors import InvalidInput

PEP440 = order_named("pep440")
assert PEP440 is not None


@pytest.mark.parametrize(
    ("ecosystem", "name"),
    [
        ("Debian", "dpkg"),
        ("Debian:12", "dpkg"),
        ("Ubuntu:Pro:14.04:LTS", "dpkg"),
        ("opkg", "dpkg"),
        ("AlmaLinux:9", "rpm"),
        ("Red Hat:enterprise_linux:9::appstream", "rpm"),
        ("openSUSE:Leap 15.5", "rpm"),
        ("Alpine:v3.20", "apk"),
        ("Alpaquita:stream", "apk"),
        ("BellSoft Hardened Containers:23", "apk"),
        ("Chainguard", "apk"),
        ("npm", "semver"),
        ("Go", "semver"),
        ("crates.io", "semver"),
        ("DHI", "semver"),
        ("PyPI", "pep440"),
        ("Maven", "maven"),
        ("NuGet", "nuget"),
    ],
)
def test_order_of(ecosystem: str, name: str) -> None:
    """An ecosystem has its tool's order, whatever release of it is meant."""
    order = order_of(ecosystem)
    assert order is not None
    assert order.name == name
    assert order_named(name) is order


@pytest.mark.parametrize("ecosystem", ["", "GIT", "OSS-Fuzz", "debian", "Packagist", "Nobody:1"])
def test_no_order(ecosystem: str) -> None:
    """An ecosystem without an order here has none: nothing is guessed."""
    assert order_of(ecosystem) is None


def test_no_order_of_this_name() -> None:
    """A name that no order has is none."""
    assert order_named("gentoo") is None


@pytest.mark.parametrize(
    "order", [DPKG, RPM, APK, SEMVER, MAVEN, NUGET, PEP440], ids=lambda one: one.name
)
@pytest.mark.parametrize(
    "version", ["", " ", "1 0", "1\n", "1\x00", "1\u202e2", "1." * MOST, "\ud800"], ids=range(8)
)
def test_never_a_version(order: Order, version: str) -> None:
    """Empty, endless and unseen is refused by every order, with the code that names it."""
    with pytest.raises(InvalidInput, match="cannot place the version") as refused:
        order.key(version)
    assert refused.value.code == "bad-version"
    assert refused.value.details["order"] == order.name
    assert len(str(refused.value)) < 700


@pytest.mark.parametrize(
    ("order", "version"),
    [
        (DPKG, "a:1"),
        (DPKG, ":1"),
        (DPKG, "2147483648:1"),
        (DPKG, "1:"),
        (DPKG, "1-"),
        (DPKG, "-1"),
        (DPKG, "1.é"),
        (RPM, "1:"),
        (RPM, "-1"),
        (RPM, "1:-1"),
        (RPM, ":-1"),
        (APK, "1.2.3-r"),
        (APK, "1.2_gamma"),
        (APK, "1ab"),
        (APK, "v1"),
        (APK, "1.2-r1_p1"),
        (APK, "1~xyz"),
        (SEMVER, "1.x"),
        (SEMVER, "1.0-"),
        (SEMVER, "1.0-a..b"),
        (SEMVER, "1.0-a_b"),
        (SEMVER, "latest"),
        (SEMVER, "(devel)"),
        (SEMVER, "1.²"),
        (MAVEN, "[1.0,2.0)"),
        (MAVEN, "1.é"),
        (NUGET, "1.*"),
        (PEP440, "2019-09-12"),
        (PEP440, "0.9-doduo"),
        (PEP440, "1.0.*"),
    ],
    ids=lambda one: getattr(one, "name", one),
)
def test_refused(order: Order, version: str) -> None:
    """What the native tool does not take for a version is refused."""
    with pytest.raises(InvalidInput) as refused:
        order.key(version)
    assert refused.value.code == "bad-version"


@pytest.mark.parametrize(
    ("order", "older", "newer"),
    [
        (DPKG, "1.0~rc1-1", "1.0-1"),
        (DPKG, "1.0-1", "1.0-1+b1"),
        (DPKG, "9.9", "1:0.1"),
        (DPKG, "1.0-1~deb12u1", "1.0-1"),
        (DPKG, "2.0.7+rc1", "2.0.7_rc1"),
        (RPM, "1.0-1.el8", "1.0-1.el8_10"),
        (RPM, "9-1", "1:1-1"),
        (APK, "1.2.3_rc1-r9", "1.2.3-r0"),
        (APK, "1.05", "1.5"),
        (APK, "1.1.1t-r9", "1.1.1u-r0"),
        (APK, "1.2_p1", "1.2a"),
        (SEMVER, "1.2.3", "1.2.3.4"),
        (SEMVER, "1.2.9", "1.2.10-0"),
        (SEMVER, "v1.0.0-rc.1+incompatible", "1.0.0"),
        (SEMVER, "0.0.0-0", "0.0.0-20210101000000-abcdefabcdef"),
        (SEMVER, "1.0.0-99999999999999999999", "1.0.0-100000000000000000000"),
        (MAVEN, "2.14.1", "2.15.0"),
        (MAVEN, "1-alpha", "1-a"),
        (MAVEN, "Finchley.SR2", "Greenwich.SR1"),
        (MAVEN, "0", "a"),
        (MAVEN, "a", "1"),
        (MAVEN, "1.0.RELEASE", "1.0.SP1"),
        (MAVEN, "4.1.0.Beta1", "4.1.0.CR1"),
        (NUGET, "1.0.0-Beta.2", "1.0.0-beta.10"),
        (NUGET, "1.0.0", "1.0.0.1"),
        (PEP440, "1.0.dev1", "1.0a1"),
        (PEP440, "1.0", "1.0.post1"),
    ],
    ids=lambda one: getattr(one, "name", one),
)
def test_older_and_newer(order: Order, older: str, newer: str) -> None:
    """What decides whether a fix is there."""
    assert order.compare(older, newer) == -1
    assert order.compare(newer, older) == 1
    assert order.key(older) < order.key(newer)


@pytest.mark.parametrize(
    ("order", "one", "other"),
    [
        (DPKG, "0:1.0-0", "1.0"),
        (DPKG, "1.0a", "1.0a0"),
        (RPM, "1.05-1", "1.5-01"),
        (RPM, "0:1.0", "1_0"),
        (RPM, ":1.0", "1.0"),
        (APK, "1.0-r1", "1.0-r01"),
        (SEMVER, "1.2", "v1.2.0+build"),
        (SEMVER, "1.2.0.0-rc", "1.2-rc"),
        (MAVEN, "1.0.Final", "1"),
        (MAVEN, ".1", "0.1"),
        (NUGET, "1.0.0-RC1", "1.0.0.0-rc1"),
        (PEP440, "1.0", "1.0.0"),
        (PEP440, "1.0RC1", "1.0-c1"),
    ],
    ids=lambda one: getattr(one, "name", one),
)
def test_as_old(order: Order, one: str, other: str) -> None:
    """The same version written in two ways is one."""
    assert order.compare(one, other) == 0
    assert order.key(one) == order.key(other)


def test_numbers_of_any_size() -> None:
    """Digits sort as numbers, however many there are, and leading zeros do not count."""
    values = [0, 1, 9, 10, 11, 99, 100, 10**20, 10**20 + 1, 10**1000]
    assert [number(str(one)) for one in values] == sorted(number(f"00{one}") for one in values)


def test_orders_travel() -> None:
    """Each order's module answers alike, and an order survives being sent to another process."""
    from allod.advisories.orders import apk, dpkg, maven, nuget, pep440, rpm, semver

    assert PEP440 is not None
    for order, module in (
        (APK, apk),
        (DPKG, dpkg),
        (RPM, rpm),
        (MAVEN, maven),
        (NUGET, nuget),
        (SEMVER, semver),
        (PEP440, pep440),
    ):
        assert module.compare("1.0", "1.1") == -1
        assert module.compare("1.1", "1.1") == 0
        assert pickle.loads(pickle.dumps(order)).compare("1.1", "1.0") == 1


def test_packaging_is_loaded_late() -> None:
    """Who asks about no Python package does not load `packaging`."""
    code = (
        "import sys; from allod.advisories.orders import order_of; order_of('Debian');"
        "assert 'packaging' not in sys.modules; order_of('PyPI'); assert 'packaging' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
