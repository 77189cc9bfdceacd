"""Debian's order of versions (deb-version(7), Debian Policy 5.6.12); opkg has the same.

Key: epoch, upstream, revision. Each part alternates between text and number. In text, `~` sorts
before the end, the end before letters, letters before everything else.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from allod.advisories.orders.order import checked, compared, number, refusal

NAME: Final = "dpkg"
_GREATEST_EPOCH: Final = 2**31 - 1
_END: Final = "\x01"
_TEXT: Final = str.maketrans(
    {"~": "\x00"}
    | {chr(sign): chr(sign + 128) for sign in range(33, 126) if not chr(sign).isalnum()}
)
_PARTS: Final = re.compile(r"([^0-9]*)([0-9]*)")


def compare(first: str, second: str) -> int:
    """-1, 0 or 1, as `dpkg --compare-versions` says. Raises InvalidInput `bad-version`."""
    return compared(key(first), key(second))


@lru_cache(maxsize=1 << 15)
def key(version: str) -> str:
    """A key that sorts as dpkg does. Raises InvalidInput `bad-version`.

    Signs that Policy forbids (as `_`) are read as dpkg reads them, with a shrug; what dpkg
    refuses is refused.
    """
    checked(version, NAME)
    if not version.isascii():
        raise refusal(version, NAME, "it has signs outside ASCII")
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    elif not epoch.isdigit() or int(epoch) > _GREATEST_EPOCH:
        raise refusal(version, NAME, "its epoch is no number up to 2147483647")
    upstream, hyphen, revision = rest.rpartition("-")
    if not hyphen:
        upstream, revision = rest, ""
    elif not revision:
        raise refusal(version, NAME, "nothing follows its last hyphen")
    if not upstream:
        raise refusal(version, NAME, "it has no upstream version")
    return number(epoch) + _part(upstream) + _part(revision)


def _part(text: str) -> str:
    """Upstream or revision: an absent one is as "0"."""
    pieces = [
        part.translate(_TEXT) + _END + number(digits)
        for part, digits in _PARTS.findall(text)
        if part or digits
    ]
    return "".join(pieces or [_END + number("")]) + _END
