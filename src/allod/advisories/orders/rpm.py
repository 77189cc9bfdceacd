"""RPM's order of versions: epoch, version and release (rpm-version(7), rpmvercmp).

Key of a part: runs of letters and of digits; all else only separates. `~` sorts before the end,
the end before `^`, that before letters, letters before numbers.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from allod.advisories.orders.order import checked, compared, number, refusal

NAME: Final = "rpm"
_TILDE, _END, _CARET, _DIGITS = "\x01", "\x02", "\x03", "\x7f"  #: letters lie between the last two
_ABSENT: Final = "\x00"  #: below all that a release may begin with
_EPOCH: Final = re.compile(r"[0-9]*")
_PARTS: Final = re.compile(r"[0-9]+|[A-Za-z]+|[~^]")


def compare(first: str, second: str) -> int:
    """-1, 0 or 1, as rpm says. Raises InvalidInput `bad-version`."""
    return compared(key(first), key(second))


@lru_cache(maxsize=1 << 15)
def key(version: str) -> str:
    """A key that sorts as rpm does; without a release before all that have one.

    Raises InvalidInput `bad-version`.
    """
    checked(version, NAME)
    epoch, colon, rest = version.partition(":")
    if not colon or not _EPOCH.fullmatch(epoch):
        epoch, rest = "", version
    first, hyphen, release = rest.rpartition("-")
    if not hyphen:
        first = rest
    if not first:
        raise refusal(version, NAME, "it has only an epoch or a release")
    last = _part(release) if hyphen else _ABSENT
    return number(epoch) + _part(first) + last


def _part(text: str) -> str:
    """Version or release."""
    return "".join([_written(part) for part in _PARTS.findall(text)]) + _END


def _written(part: str) -> str:
    """A run of letters ends with a sign below all letters, a number begins with one above."""
    if part == "~":
        return _TILDE
    if part == "^":
        return _CARET
    if part[0] <= "9":
        return _DIGITS + number(part)
    return part + "\x00"
