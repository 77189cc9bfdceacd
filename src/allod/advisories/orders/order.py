"""What the orders share: their type, how a number stands in a key, how a version is refused.

A key is one string that sorts as the version does: two versions compare by one comparison of
strings, whatever their grammar. Each order's module says how its parts are written in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from allod.errors import InvalidInput

MOST: Final = 1024  #: characters of a version; the longest in 35,000 advisories has 64


class Key(Protocol):
    """Something that sorts; keys of one order only are ever compared."""

    def __lt__(self, other: Any, /) -> bool: ...

    def __gt__(self, other: Any, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class Order:
    """How versions of an ecosystem follow one another."""

    name: str  #: like "dpkg"
    key: Callable[[str], Key]  #: raises InvalidInput `bad-version`

    def compare(self, first: str, second: str) -> int:
        """-1, 0 or 1: whether the first is older, as old, newer. Raises `bad-version`."""
        return compared(self.key(first), self.key(second))


def compared(first: Key, second: Key) -> int:
    """-1, 0 or 1 from two keys."""
    return (first > second) - (first < second)


def number(digits: str) -> str:
    """Decimal digits so that they sort as numbers of any size: how many, then which."""
    bare = digits.lstrip("0")
    return chr(len(bare)) + bare


def checked(version: str, order: str) -> str:
    """The version if it has a length that is read, and can be seen. Raises `bad-version`."""
    if not version:
        raise refusal(version, order, "it is empty")
    if len(version) > MOST:
        raise refusal(version, order, f"it has more than {MOST} characters")
    if not version.isprintable() or " " in version:
        raise refusal(version, order, "it has a blank, or a sign that cannot be seen")
    return version


def refusal(version: str, order: str, why: str) -> InvalidInput:
    """The error for a version that an order cannot place."""
    return InvalidInput(
        "bad-version",
        f"cannot place the version {version[:80]!r} in the order of {order}: {why}",
        version=version[:80],
        order=order,
    )
