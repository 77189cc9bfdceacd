"""How versions follow one another: one order an ecosystem, each with a key that sorts.

The grammars are those of the native tools; docs/explanation/versions.md says where they stand.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from allod.advisories.orders import apk, dpkg, maven, nuget, rpm, semver
from allod.advisories.orders.order import Key, Order

__all__ = [
    "APK",
    "DPKG",
    "MAVEN",
    "NUGET",
    "RPM",
    "SEMVER",
    "Key",
    "Order",
    "order_named",
    "order_of",
]

DPKG: Final = Order(dpkg.NAME, dpkg.key)
RPM: Final = Order(rpm.NAME, rpm.key)
APK: Final = Order(apk.NAME, apk.key)
SEMVER: Final = Order(semver.NAME, semver.key)
MAVEN: Final = Order(maven.NAME, maven.key)
NUGET: Final = Order(nuget.NAME, nuget.key)

#: Ecosystems (OSV schema 1.8) by the tool that orders their versions; PyPI's stands below.
_ECOSYSTEMS: Final[dict[str, Order]] = (
    dict.fromkeys(("Debian", "Ubuntu", "Echo", "opkg"), DPKG)
    | dict.fromkeys(
        (
            "AlmaLinux",
            "Azure Linux",
            "Mageia",
            "openEuler",
            "openSUSE",
            "Photon OS",
            "Red Hat",
            "Rocky Linux",
            "SUSE",
        ),
        RPM,
    )
    | dict.fromkeys(
        (
            "Alpaquita",
            "Alpine",
            "BellSoft Hardened Containers",
            "Chainguard",
            "MinimOS",
            "Wolfi",
        ),
        APK,
    )
    | dict.fromkeys(
        (
            "Bitnami",
            "crates.io",
            "DHI",
            "Docker Hardened Images",
            "GitHub Actions",
            "Go",
            "Hex",
            "Julia",
            "Kubernetes",
            "npm",
            "Pub",
            "SwiftURL",
        ),
        SEMVER,
    )
    | {"Maven": MAVEN, "NuGet": NUGET}
)


def order_of(ecosystem: str) -> Order | None:
    """The order of an ecosystem's versions by its base name ("Debian:12" is Debian's).

    None: it has no order here; only versions that are written out can be matched.
    """
    base = ecosystem.partition(":")[0]
    return _pep440() if base == "PyPI" else _ECOSYSTEMS.get(base)


def order_named(name: str) -> Order | None:
    """The order of this name (`Order.name`)."""
    if name == "pep440":
        return _pep440()
    return next((one for one in (DPKG, RPM, APK, SEMVER, MAVEN, NUGET) if one.name == name), None)


@cache
def _pep440() -> Order:
    """Loaded when it is asked for: few commands need `packaging`."""
    from allod.advisories.orders import pep440

    return Order(pep440.NAME, pep440.key)
