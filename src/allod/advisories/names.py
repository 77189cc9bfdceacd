"""Names of packages and of ecosystems, as advisories and lists of parts write them.

A name has one form, so that both sides of a comparison agree (purl-spec, types; PEP 503).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_PYPI: Final = re.compile(r"[-_.]+")
_FOLDED: Final = frozenset(
    {"Bitnami", "crates.io", "GitHub Actions", "Go", "Hex", "npm", "NuGet", "Packagist", "SwiftURL"}
)  #: these registries take upper and lower case for one name, or purls do


def base_of(ecosystem: str) -> str:
    """Without release: "Debian" of "Debian:12"."""
    return ecosystem.partition(":")[0]


def asked(ecosystem: str) -> tuple[str, ...]:
    """The ecosystems whose records speak of a component in this one: its own, then wider ones.

    A record about "Debian", without release, speaks of all releases.
    """
    base = base_of(ecosystem)
    return (ecosystem,) if base == ecosystem else (ecosystem, base)


@lru_cache(maxsize=1 << 15)
def normalise(ecosystem: str, name: str) -> str:
    """The one form of a name within an ecosystem (with or without release)."""
    base = base_of(ecosystem)
    if base == "PyPI":
        return _PYPI.sub("-", name).lower()
    if base == "crates.io":
        return name.lower().replace("_", "-")
    if base == "SwiftURL":
        return name.lower().removeprefix("https://").removesuffix(".git")
    return name.lower() if base in _FOLDED else name
