"""Alpine's order of versions (apk-package(5); apk-tools 3, src/version.c).

    digit{.digit}{letter}{_suffix{number}}{~hash}{-r#}

What follows equal beginnings decides: `_alpha`, `_beta`, `_pre`, `_rc` before the end, then the
end, `-r`, `~`, a suffix's number, `_cvs`, `_svn`, `_git`, `_hg`, `_p`, a letter, a further digit.
A digit with a leading zero is compared as text, as Gentoo does. As apk-tools 2 did, digits may
follow the letter ("6.6.2p1").
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from allod.advisories.orders.order import checked, compared, number, refusal

NAME: Final = "apk"
_END: Final = "\x10"
_REVISION, _HASH, _SUFFIX_NUMBER, _LETTER, _DIGIT = "\x11", "\x12", "\x13", "\x20", "\x21"
_SUFFIXES: Final = {
    "alpha": "\x01",
    "beta": "\x02",
    "pre": "\x03",
    "rc": "\x04",
    "cvs": "\x14",
    "svn": "\x15",
    "git": "\x16",
    "hg": "\x17",
    "p": "\x18",
}
_GRAMMAR: Final = re.compile(
    r"([0-9]+)((?:(?<=[0-9])(?:\.[0-9]+|[a-z][0-9]*))*)"
    r"((?:_(?:alpha|beta|pre|rc|cvs|svn|git|hg|p)[0-9]*)*)(?:~([0-9a-f]+))?(?:-r([0-9]+))?"
)
_FURTHER: Final = re.compile(r"\.([0-9]+)|([a-z])([0-9]*)")
_SUFFIX: Final = re.compile(r"_([a-z]+)([0-9]*)")


def compare(first: str, second: str) -> int:
    """-1, 0 or 1, as `apk version -t` says. Raises InvalidInput `bad-version`."""
    return compared(key(first), key(second))


@lru_cache(maxsize=1 << 15)
def key(version: str) -> str:
    """A key that sorts as apk does. Raises InvalidInput `bad-version`.

    What apk calls invalid is refused, though it would compare it somehow.
    """
    checked(version, NAME)
    read = _GRAMMAR.fullmatch(version)
    if read is None:
        raise refusal(version, NAME, "it is not digit{.digit}{letter}{_suffix{number}}{-r#}")
    first, further, suffixes, commit, revision = read.groups()
    parts = [number(first)]
    for digits, letter, after in _FURTHER.findall(further):
        parts.append(_LETTER + letter if letter else _DIGIT + _fraction(digits))
        if after:
            parts.append(_DIGIT + "1" + number(after))
    for suffix, digits in _SUFFIX.findall(suffixes):
        parts.append(_SUFFIXES[suffix])
        if digits:
            parts.append(_SUFFIX_NUMBER + number(digits))
    if commit:
        parts.append(_HASH + commit)
    if revision:
        parts.append(_REVISION + number(revision))
    return "".join(parts) + _END


def _fraction(digits: str) -> str:
    """A digit after a dot: as text with a leading zero, and before all without one."""
    return digits + "\x00" if digits[0] == "0" else "1" + number(digits)
