"""Which entries of the authority log wait for being judged, from one look at it to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from allod.trust.floors import Passed

NAMES: Final = 4096  #: that are remembered one by one
_OTHERS: Final = "*"  #: stands for all names beyond these


def known_passed(passed: Mapping[str, Passed], name: str) -> Passed | None:
    """Where entries of this name that nobody judged begin, at the earliest; None: there are none."""
    return passed.get(name, passed.get(_OTHERS))


def grown(passed: Mapping[str, Passed], waiting: Mapping[str, int]) -> Mapping[str, Passed]:
    """What waits after the log gained more: an earlier beginning stays the beginning.

    Whoever holds the log's key can make up names without end; beyond a bound they share a place.
    """
    found = dict(passed)
    for name, first in sorted(waiting.items(), key=lambda one: one[1]):
        if name in found or len(found) < NAMES:
            found.setdefault(name, Passed(first))
        else:
            found.setdefault(_OTHERS, Passed(first))
    return found
