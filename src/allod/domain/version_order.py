"""Which of two versions of a package is the older one, as far as that can be read off them.

Numbers with dots between them, as many as there are; then whatever else: what marks a version as
early (`rc1`, `beta`, …) comes before the version itself, a revision (`-4`) after it. Versions that
begin with no number have no order.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

_FORM: Final = re.compile(r"v?([0-9]+(?:\.[0-9]+)*)(.*)", re.ASCII)
_PARTS: Final = re.compile(r"[0-9]+|[A-Za-z]+", re.ASCII)
_EARLY: Final = frozenset(
    {"a", "alpha", "b", "beta", "c", "dev", "m", "nightly", "pre", "preview", "rc", "snapshot"}
)
_NAMED: Final = 3  #: major, minor and patch are always there


class Place(NamedTuple):
    """Where a version stands; the later one is the greater one."""

    numbers: tuple[int, ...]
    stage: int  #: -1: before the version itself; 1: after it
    rest: tuple[tuple[bool, int, str], ...]


@lru_cache(maxsize=1024)
def place_of(version: str) -> Place | None:
    """Where a version stands; None: nobody can say."""
    found = _FORM.fullmatch(version)
    if found is None:
        return None
    numbers = [int(one) for one in found[1].split(".")]
    numbers += [0] * (_NAMED - len(numbers))
    while len(numbers) > _NAMED and not numbers[-1]:
        numbers.pop()
    rest = tuple(
        (True, int(part), "") if part.isdigit() else (False, 0, part.lower())
        for part in _PARTS.findall(found[2])
    )
    stage = 0 if not rest else -1 if rest[0][2] in _EARLY else 1
    return Place(tuple(numbers), stage, rest)
