"""Maven's order of versions (Maven's POM reference, "Version Order Specification").

Numbers and words, parted by dots, hyphens, and the change between digits and letters, which is as
a hyphen. Nothings (0, `ga`, `final`, `release`) at the end and before a hyphen fall away. What
follows equal beginnings decides: `alpha`, `beta`, `milestone`, `rc`, `snapshot`, the end, `sp`, any
other word, a number after a hyphen, a number after a dot.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from allod.advisories.orders.order import checked, compared, number, refusal

NAME: Final = "maven"
_END, _OTHER, _AFTER_HYPHEN, _AFTER_DOT = "\x06", "\x09", "\x0a", "\x0b"
_WORDS: Final = {
    "alpha": "\x01",
    "beta": "\x02",
    "milestone": "\x03",
    "rc": "\x04",
    "cr": "\x04",
    "snapshot": "\x05",
    "": "\x07",
    "ga": "\x07",
    "final": "\x07",
    "release": "\x07",
    "sp": "\x08",
}
_NOTHINGS: Final = frozenset({_WORDS[""], _AFTER_HYPHEN + "\x00", _AFTER_DOT + "\x00"})
_SHORT: Final = {"a": "alpha", "b": "beta", "m": "milestone"}  #: where a digit follows
_FORBIDDEN: Final = re.compile(r"[^\x21-\x7e]|[\[\](),:/\\]")
_TOKENS: Final = re.compile(r"([.-])?([0-9]+|[^0-9.-]+(?=([0-9]?)))?")


def compare(first: str, second: str) -> int:
    """-1, 0 or 1. Raises InvalidInput `bad-version`."""
    return compared(key(first), key(second))


@lru_cache(maxsize=1 << 15)
def key(version: str) -> str:
    """A key that sorts as Maven does. Raises InvalidInput `bad-version`."""
    checked(version, NAME)
    if _FORBIDDEN.search(version):
        raise refusal(version, NAME, "it has a sign that is not in versions")
    tokens: list[str] = []
    begun = version.lower() if version[0].isdecimal() else f"0{version.lower()}"
    for separator, token, following in _TOKENS.findall(begun)[:-1]:  # the last one is empty
        written = _written(separator or ("-" if tokens else "."), token or "0", following)
        if written[0] != _AFTER_DOT:
            _trim(tokens)
        tokens.append(written)
    _trim(tokens)
    return "".join(tokens) + _END


def _written(separator: str, token: str, following: str) -> str:
    """One token; a word has the same place after a dot as after a hyphen."""
    if token[0].isdecimal():
        return (_AFTER_DOT if separator == "." else _AFTER_HYPHEN) + number(token)
    word = _SHORT.get(token, token) if following else token
    return _WORDS.get(word) or f"{_OTHER}{word}\x00"


def _trim(tokens: list[str]) -> None:
    """Take nothings off the end, but for the first token."""
    while len(tokens) > 1 and tokens[-1] in _NOTHINGS:
        tokens.pop()
