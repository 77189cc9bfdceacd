"""From a part as a list of parts names it to what advisories can be asked about."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from allod.advisories.component import Component, Unmatchable
from allod.advisories.distributions import BINARY, Nowhere, ecosystem_of
from allod.advisories.names import base_of, normalise
from allod.advisories.orders import order_of
from allod.advisories.purl import Purl, parse
from allod.domain.sbom import SbomComponent
from allod.errors import InvalidInput

#: Types of purl outside distributions: the ecosystem, and what joins namespace and name.
_TYPES: Final[dict[str, tuple[str, str]]] = {
    "bitnami": ("Bitnami", ""),
    "cargo": ("crates.io", ""),
    "composer": ("Packagist", "/"),
    "conan": ("ConanCenter", ""),
    "cran": ("CRAN", ""),
    "dhi": ("DHI", ""),
    "gem": ("RubyGems", ""),
    "githubactions": ("GitHub Actions", "/"),
    "golang": ("Go", "/"),
    "hackage": ("Hackage", ""),
    "hex": ("Hex", ""),
    "julia": ("Julia", ""),
    "maven": ("Maven", ":"),
    "npm": ("npm", "/"),
    "nuget": ("NuGet", ""),
    "opam": ("opam", ""),
    "pub": ("Pub", ""),
    "pypi": ("PyPI", ""),
    "swift": ("SwiftURL", "/"),
}
#: Ecosystems that name another registry after a colon, and how purls may write the usual one.
_DEFAULTS: Final = {
    "Maven": {
        "https://repo.maven.apache.org/maven2",
        "https://repo1.maven.org/maven2",
        "repo.maven.apache.org/maven2",
    },
    "Packagist": {"https://packagist.org", "https://repo.packagist.org", "packagist.org"},
}
_DISTRIBUTIONS: Final = frozenset({"deb", "apk", "rpm"})
_SOURCE: Final = re.compile(r"([^@\s()]+)(?:@(\S+)|\s*\(([^\s()]+)\))?")
_SOURCE_RPM: Final = re.compile(r"(.+)-([^-]+-[^-]+)\.(?:no)?src\.rpm")
_BUILT_ANEW: Final = re.compile(r"\+b[0-9]+$")
_TOOLCHAIN: Final = re.compile(r"(?:go)?(\d+\.\d+)(?:\.(\d+))?(?:(rc|beta)(\d+))?")


def component_of(said: SbomComponent, *, distribution: str = "") -> Component | Unmatchable:
    """What advisories can be asked about this part, or why they cannot.

    Args:
        said: the part as it was written down.
        distribution: like "debian-12", for packages of a distribution that do not say of which.
    """
    return _component(said, distribution)


@lru_cache(maxsize=1 << 16)
def _component(said: SbomComponent, distribution: str) -> Component | Unmatchable:
    if not said.purl:
        return Unmatchable(said, "no-purl", "it has no package URL, so its ecosystem is not known")
    try:
        purl = parse(said.purl)
        placed = _placed(purl, said, distribution)
        if isinstance(placed, Nowhere):
            return Unmatchable(said, placed.code, placed.why)
        ecosystem, name, version = placed
        if not version:
            return Unmatchable(said, "no-version", "its version is not said")
        order = order_of(ecosystem)
        if order is not None:
            order.key(version)
    except InvalidInput as error:
        return Unmatchable(said, error.code, error.message)
    return Component(ecosystem, normalise(ecosystem, name), version, said)


def _placed(purl: Purl, said: SbomComponent, distribution: str) -> tuple[str, str, str] | Nowhere:
    """Ecosystem, name and version that advisories would use."""
    version = purl.version or said.version
    if purl.type in _DISTRIBUTIONS:
        ecosystem = ecosystem_of(purl, distribution)
        if isinstance(ecosystem, Nowhere):
            return ecosystem
        binary = base_of(ecosystem) in BINARY
        return ecosystem, *_packaged(purl, said.source, version, binary=binary)
    known = _TYPES.get(purl.type)
    if known is None:
        return Nowhere("unknown-ecosystem", f"no advisories are known of {purl.type!r} packages")
    ecosystem, joint = known
    if purl.namespace and not joint:  # somebody's own package of that name, or a mistake
        says = f"{purl.namespace[:80]!r} stands before its name, and {ecosystem} has no namespaces"
        return Nowhere("bad-purl", says)
    name = f"{purl.namespace}{joint}{purl.name}" if purl.namespace else purl.name
    repository = purl.qualifiers.get("repository_url", "").rstrip("/")
    if repository and repository not in _DEFAULTS.get(ecosystem, {repository}):
        ecosystem = f"{ecosystem}:{repository}"
    if ecosystem == "Go" and name in {"stdlib", "toolchain"}:
        version = _toolchain(version)
    return ecosystem, name, version


def _packaged(purl: Purl, source: str, version: str, *, binary: bool) -> tuple[str, str]:
    """Name and version of a distribution's package: of its source, if advisories name that.

    A package that does not say its source has one of its own name and version, as in dpkg.
    """
    epoch = purl.qualifiers.get("epoch", "0")
    version = _with_epoch(epoch, version)
    source = purl.qualifiers.get("upstream") or purl.qualifiers.get("source") or source
    if not source or binary or purl.qualifiers.get("arch") in {"source", "src"}:
        return purl.name, _of_source(purl, version)
    packed = _SOURCE_RPM.fullmatch(source)
    if packed:
        return packed[1], _with_epoch(epoch, packed[2])
    read = _SOURCE.fullmatch(source)
    if read is None:
        raise InvalidInput(
            "bad-purl",
            f"cannot read the source package {source[:80]!r}: it is like glibc@2.36-9",
            source=source[:80],
        )
    return read[1], read[2] or read[3] or _of_source(purl, version)


def _of_source(purl: Purl, version: str) -> str:
    """The source's version by the package's: Debian builds anew as +b1, and changes no source."""
    return _BUILT_ANEW.sub("", version) if purl.type == "deb" else version


def _with_epoch(epoch: str, version: str) -> str:
    """Some purls say the epoch apart from the version."""
    return f"{epoch}:{version}" if version and epoch != "0" and ":" not in version else version


def _toolchain(version: str) -> str:
    """Go's own versions as semver, in which its advisories write them: "go1.21rc2"."""
    read = _TOOLCHAIN.fullmatch(version)
    if read is None:
        return version
    minor, patch, before, count = read.groups()
    return f"{minor}.{patch or '0'}" + (f"-{before}.{count}" if before else "")
