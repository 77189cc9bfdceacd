"""NuGet's order of versions: that of semver, with upper and lower case alike, and a fourth number."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from allod.advisories.orders import semver
from allod.advisories.orders.order import compared

NAME: Final = "nuget"


def compare(first: str, second: str) -> int:
    """-1, 0 or 1. Raises InvalidInput `bad-version`."""
    return compared(key(first), key(second))


@lru_cache(maxsize=1 << 15)
def key(version: str) -> str:
    """A key that sorts as NuGet does. Raises InvalidInput `bad-version`."""
    return semver.key_of(version.lower(), NAME)
