"""Python's order of versions (PEP 440), by `packaging`.

What PEP 440 refuses is refused: no order is agreed on for it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from packaging.version import InvalidVersion, Version

from allod.advisories.orders.order import checked, compared, refusal

NAME: Final = "pep440"


def compare(first: str, second: str) -> int:
    """-1, 0 or 1. Raises InvalidInput `bad-version`."""
    return compared(key(first), key(second))


@lru_cache(maxsize=1 << 15)
def key(version: str) -> Version:
    """A key that sorts as pip does. Raises InvalidInput `bad-version`."""
    checked(version, NAME)
    try:
        return Version(version)
    except InvalidVersion:
        raise refusal(version, NAME, "PEP 440 does not know its form") from None
