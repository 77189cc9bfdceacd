"""The order of Semantic Versioning 2.0.0 (11), as it is found in practice.

Read as well: a leading `v` (Go), fewer than three numbers ("1.2" is 1.2.0), more than three
(compared as numbers too: 1.2.3 < 1.2.3.4), leading zeros. What follows `+` does not count.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from allod.advisories.orders.order import checked, compared, number, refusal

NAME: Final = "semver"
_BEFORE, _END, _NUMBER = "\x01", "\x02", "\x03"
_LAST, _NUMERIC, _TEXT = "\x01", "\x02", "\x03"
_GRAMMAR: Final = re.compile(
    r"[vV]?([0-9]+(?:\.[0-9]+)*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]*)?"
)


def compare(first: str, second: str) -> int:
    """-1, 0 or 1. Raises InvalidInput `bad-version`."""
    return compared(key(first), key(second))


@lru_cache(maxsize=1 << 15)
def key(version: str) -> str:
    """A key that sorts as semver does. Raises InvalidInput `bad-version`."""
    return key_of(version, NAME)


def key_of(version: str, order: str) -> str:
    """The key, for orders that differ only in what comes before it; `order` names them."""
    checked(version, order)
    read = _GRAMMAR.fullmatch(version)
    if read is None:
        raise refusal(version, order, "it is not numbers with dots, then -pre-release, +build")
    numbers, before = read.groups()
    keys = [number(one) for one in numbers.split(".")]
    while len(keys) > 1 and keys[-1] == "\x00":
        keys.pop()
    release = keys[0] + "".join([_NUMBER + one for one in keys[1:]])
    if before is None:
        return release + _END
    return release + _BEFORE + "".join([_identifier(one) for one in before.split(".")]) + _LAST


def _identifier(text: str) -> str:
    """One part of a pre-release: numbers before text, text in the order of ASCII.

    What follows text begins with a sign below all that text may have.
    """
    return _NUMERIC + number(text) if text.isdecimal() else _TEXT + text
