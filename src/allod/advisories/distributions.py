"""Distributions: from what a purl says (vendor, `distro`) to the ecosystem that advisories name.

Advisories of a distribution speak of one release. Where a purl does not say which, or names one
that advisories do not (a rolling one), nothing can be asked: that is said, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from allod.advisories.purl import Purl

#: By type of purl, the vendors (its namespace, or the id of an os-release) and their ecosystems.
_VENDORS: Final[dict[str, dict[str, str]]] = {
    "deb": {"debian": "Debian", "ubuntu": "Ubuntu", "echo": "Echo"},
    "apk": {
        "alpine": "Alpine",
        "alpaquita": "Alpaquita",
        "bellsoft-hardened-containers": "BellSoft Hardened Containers",
        "chainguard": "Chainguard",
        "minimos": "MinimOS",
        "wolfi": "Wolfi",
    },
    "rpm": {
        "almalinux": "AlmaLinux",
        "azl": "Azure Linux",
        "azure-linux": "Azure Linux",
        "azurelinux": "Azure Linux",
        "mariner": "Azure Linux",
        "mageia": "Mageia",
        "openeuler": "openEuler",
        "opensuse": "openSUSE",
        "opensuse-leap": "openSUSE",
        "opensuse-tumbleweed": "openSUSE",
        "photon": "Photon OS",
        "redhat": "Red Hat",
        "rhel": "Red Hat",
        "rocky": "Rocky Linux",
        "rocky-linux": "Rocky Linux",
        "rockylinux": "Rocky Linux",
        "sles": "SUSE",
        "suse": "SUSE",
    },
}
#: Their records name binary packages; all others' name source packages.
BINARY: Final = frozenset(
    {"AlmaLinux", "Azure Linux", "Chainguard", "MinimOS", "Photon OS", "Red Hat", "Wolfi"}
)
_WITHOUT_RELEASE: Final = frozenset({"Chainguard", "Echo", "MinimOS", "Wolfi"})
_BY_PRODUCT: Final = frozenset({"Red Hat", "SUSE"})
_DEBIAN: Final = {
    "squeeze": "6",
    "wheezy": "7",
    "jessie": "8",
    "stretch": "9",
    "buster": "10",
    "bullseye": "11",
    "bookworm": "12",
    "trixie": "13",
    "forky": "14",
}
_UBUNTU: Final = {
    "trusty": "14.04",
    "xenial": "16.04",
    "bionic": "18.04",
    "focal": "20.04",
    "jammy": "22.04",
    "kinetic": "22.10",
    "lunar": "23.04",
    "mantic": "23.10",
    "noble": "24.04",
    "oracular": "24.10",
    "plucky": "25.04",
    "questing": "25.10",
}
_IDENTITIES: Final = sorted(
    {one for vendors in _VENDORS.values() for one in vendors}, key=len, reverse=True
)
_OTHER: Final = re.compile(r"([A-Za-z][A-Za-z_-]*)[-:](v?[0-9].*)")
_NUMBERS: Final = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,4})(?:\.[0-9]{1,4})*)?")
_OPENEULER: Final = re.compile(
    r"[0-9]{2}\.[0-9]{2}-LTS(?:-Next|-SP[0-9]{1,2})?"
)  #: others have none


@dataclass(frozen=True, slots=True)
class Nowhere:
    """Why a purl leads to no ecosystem."""

    code: str
    why: str


def ecosystem_of(purl: Purl, distribution: str) -> str | Nowhere:
    """The ecosystem of a distribution's package, with its release.

    Args:
        purl: of type deb, apk or rpm.
        distribution: like "debian-12", for purls that say nothing about it.
    """
    vendors = _VENDORS[purl.type]
    identity, release = _split(purl.qualifiers.get("distro", ""))
    default, default_release = _split(distribution)
    vendor = purl.namespace.lower() or identity or default
    base = vendors.get(vendor)
    if base is None:
        return Nowhere("unknown-ecosystem", f"no advisories are known of {vendor or 'no vendor'!r}")
    if base in _WITHOUT_RELEASE:
        return base
    if identity and vendors.get(identity) != base:
        return Nowhere("no-release", f"it is of {vendor!r} and says that it is of {identity!r}")
    if not release and vendors.get(default) == base:
        identity, release = default, default_release
    if base == "openSUSE" and identity == "opensuse-tumbleweed":
        release = "tumbleweed"
    return _with_release(base, release)


def _with_release(base: str, said: str) -> str | Nowhere:
    """As the ecosystem writes a release, with its name."""
    if base in _BY_PRODUCT:
        return Nowhere("no-release", f"advisories of {base} are by product, which a purl lacks")
    if not said:
        return Nowhere("no-release", f"of which release of {base} it is, is not said")
    written = _WRITTEN.get(base, _major)(said)
    if written is None:
        return Nowhere("no-release", f"advisories of {base} do not speak of release {said[:40]!r}")
    return f"{base}:{written}"


@lru_cache(maxsize=1024)
def _split(distro: str) -> tuple[str, str]:
    """Vendor and release: "debian-12.5" is ("debian", "12.5"); either may be absent."""
    said = distro.strip()
    for identity in _IDENTITIES:
        if said.lower() == identity:
            return identity, ""
        if said.lower().startswith((f"{identity}-", f"{identity}:")):
            return identity, said[len(identity) + 1 :]
    other = _OTHER.fullmatch(said)
    return (other[1].lower(), other[2]) if other else ("", said)


def _numbers(said: str) -> tuple[str, str]:
    """Major and minor number; empty: there is none."""
    read = _NUMBERS.fullmatch(said.lower().removeprefix("v").removeprefix("leap-"))
    return (read[1], read[2] or "") if read else ("", "")


def _major(said: str) -> str | None:
    return _numbers(said)[0] or None


def _debian(said: str) -> str | None:
    return _major(_DEBIAN.get(said.lower(), said))


def _ubuntu(said: str) -> str | None:
    """With :LTS, and with Pro: where the purl says that it is of the extended maintenance."""
    named = said.lower().rpartition("/")[2]
    major, minor = _numbers(_UBUNTU.get(named, named))
    extended = "Pro:" if said.startswith("esm-") else ""
    lasting = ":LTS" if minor == "04" and int(major) % 2 == 0 else ""
    return f"{extended}{major}.{minor}{lasting}" if minor else None


def _alpine(said: str) -> str | None:
    major, minor = _numbers(said)
    return f"v{major}.{minor}" if minor else None


def _opensuse(said: str) -> str | None:
    if said.lower() == "tumbleweed":
        return "Tumbleweed"
    major, minor = _numbers(said)
    return f"Leap {major}.{minor}" if minor else None


def _openeuler(said: str) -> str | None:
    return said if _OPENEULER.fullmatch(said) else None


def _photon(said: str) -> str | None:
    major, minor = _numbers(said)
    return f"{major}.{minor or '0'}" if major else None


def _bellsoft(said: str) -> str | None:
    return said if said == "stream" or _NUMBERS.fullmatch(said) else None


#: How an ecosystem writes its releases; all others by the major number.
_WRITTEN: Final[dict[str, Callable[[str], str | None]]] = {
    "Alpaquita": _bellsoft,
    "Alpine": _alpine,
    "BellSoft Hardened Containers": _bellsoft,
    "Debian": _debian,
    "openEuler": _openeuler,
    "openSUSE": _opensuse,
    "Photon OS": _photon,
    "Ubuntu": _ubuntu,
}
