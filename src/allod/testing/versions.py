"""Versions by the seed, alike enough that their order hangs on one sign; and orders without keys.

The oracles walk two versions from the left at once, as the native tools' code does, and share
nothing with `allod.advisories.orders`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

#: What versions of an order are put together from, valid more often than not.
PIECES: Final[dict[str, tuple[str, ...]]] = {
    "dpkg": ("0", "1", "01", "9", "10", "2", ".", "-", "~", "+", "a", "B", "rc", "deb", "1:", "_"),
    "rpm": ("0", "1", "01", "9", "10", ".", "-", "~", "^", "_", "+", "a", "B", "el", "1:", "é"),
    "apk": (
        "0", "1", "01", "9", "10", ".0", ".1", ".01", ".10", ".00", "a", "b", "_rc", "_alpha", "_p",
        "_git", "_hg", "2", "~ab", "~0", "-r0", "-r1", "-r01",
    ),
    "semver": (
        "0", "1", "9", "10", ".0", ".1", ".10", "-", "-rc", "-alpha.1", ".a", ".B", ".rc", "+1", "v",
    ),
    "pep440": (
        "0", "1", "9", "10", ".0", ".1", ".10", "a1", "b2", "rc1", ".post1", ".dev2", "+local", "1!",
    ),
    "maven": (
        "0", "1", "9", "10", ".0", ".1", "-1", "-0", "-", ".", "a", "-alpha", ".rc", "-sp", ".ga",
        "-foo", "final",
    ),
}  # fmt: skip


def pair(order: str, random: Random) -> tuple[str, str]:
    """Two versions of an order, of which one was often made from the other."""
    pieces = PIECES[order]
    parts = [random.choice(pieces[:4]), *random.choices(pieces, k=random.randint(0, 6))]
    other = list(parts)
    match random.randrange(4):
        case 0:
            other = [random.choice(pieces[:4]), *random.choices(pieces, k=random.randint(0, 6))]
        case 1:
            other.insert(random.randint(1, len(other)), random.choice(pieces))
        case 2:
            other[random.randrange(len(other))] = random.choice(pieces)
        case _:
            del other[random.randrange(len(other)) :]
    return "".join(parts), "".join(other) or random.choice(pieces[:4])


def _sign(first: int | str, second: int | str) -> int:
    return (first > second) - (first < second)  # type: ignore[operator]


# -- dpkg (lib/dpkg/version.c) --------------------------------------------------------------------


def dpkg(first: str, second: str) -> int:
    """By epoch, upstream and revision."""
    for one, other in zip(_dpkg_parts(first), _dpkg_parts(second), strict=True):
        if found := _dpkg_part(one, other):
            return found
    return 0


def _dpkg_parts(version: str) -> tuple[str, str, str]:
    epoch, rest = version.split(":", 1) if ":" in version else ("0", version)
    upstream, revision = rest.rsplit("-", 1) if "-" in rest else (rest, "0")
    return epoch, upstream, revision


def _dpkg_rank(text: str) -> int:
    if not text or text[0].isdigit():
        return 0
    if text[0] == "~":
        return -1
    return ord(text[0]) if text[0].isalpha() else ord(text[0]) + 256


def _dpkg_part(one: str, other: str) -> int:
    while one or other:
        while (one and not one[0].isdigit()) or (other and not other[0].isdigit()):
            if found := _sign(_dpkg_rank(one), _dpkg_rank(other)):
                return found
            one, other = one[1:], other[1:]
        mine, one = _run(one, str.isdigit)
        theirs, other = _run(other, str.isdigit)
        if found := _sign(int(mine or "0"), int(theirs or "0")):
            return found
    return 0


def _run(text: str, belongs: Callable[[str], bool]) -> tuple[str, str]:
    end = next((at for at, sign in enumerate(text) if not belongs(sign)), len(text))
    return text[:end], text[end:]


# -- rpm (rpmio/rpmvercmp.c, lib/rpmver.c) --------------------------------------------------------


def rpm(first: str, second: str) -> int:
    """By epoch, version and release; none is older than any."""
    mine, theirs = _rpm_parts(first), _rpm_parts(second)
    found = _sign(mine[0], theirs[0]) or _rpm_part(mine[1], theirs[1])
    if found or mine[2] is None or theirs[2] is None:
        return found or _sign(mine[2] is not None, theirs[2] is not None)
    return _rpm_part(mine[2], theirs[2])


def _rpm_parts(version: str) -> tuple[int, str, str | None]:
    head, tail = _run(version, lambda sign: sign in "0123456789")
    epoch, rest = (int(head or "0"), tail[1:]) if tail.startswith(":") else (0, version)
    if "-" in rest:
        name, release = rest.rsplit("-", 1)
        return epoch, name, release
    return epoch, rest, None


def _rpm_part(one: str, other: str) -> int:
    def counts(sign: str) -> bool:
        return (sign.isascii() and sign.isalnum()) or sign in "~^"

    while one or other:
        one, other = _run(one, lambda s: not counts(s))[1], _run(other, lambda s: not counts(s))[1]
        if one[:1] == "~" or other[:1] == "~":
            if one[:1] != other[:1]:
                return -1 if one[:1] == "~" else 1
            one, other = one[1:], other[1:]
            continue
        if one[:1] == "^" or other[:1] == "^":
            if one[:1] != other[:1]:
                return _caret(one, other)
            one, other = one[1:], other[1:]
            continue
        if not one or not other:
            break
        kind = str.isdigit if one[0].isdigit() else str.isalpha
        mine, one = _run(one, lambda sign, kind=kind: sign.isascii() and kind(sign))  # type: ignore[misc]
        theirs, other = _run(other, lambda sign, kind=kind: sign.isascii() and kind(sign))  # type: ignore[misc]
        if not theirs:
            return 1 if kind is str.isdigit else -1
        found = _sign(int(mine), int(theirs)) if kind is str.isdigit else _sign(mine, theirs)
        if found:
            return found
    return _sign(len(one) > 0, len(other) > 0)


def _caret(one: str, other: str) -> int:
    """One of them goes on with a caret, and the other does not."""
    if not one or not other:
        return 1 if one else -1
    return 1 if other[0] == "^" else -1


# -- apk (src/version.c of apk-tools 3) -----------------------------------------------------------

_SUFFIXES: Final = ("alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p")
_FIRST, _DIGIT, _LETTER, _SUFFIX, _COUNT, _HASH, _REVISION, _END = range(8)


def apk(first: str, second: str) -> int:
    """Token by token; where the kinds differ, the earlier kind is newer, but for pre-releases."""
    mine, theirs = _apk_tokens(first), _apk_tokens(second)
    for (kind, text), (other_kind, other) in zip(mine, theirs, strict=False):
        if kind == other_kind:
            if found := _apk_token(kind, text, other):
                return found
            continue
        before = _SUFFIXES.index("")
        if kind == _SUFFIX and _SUFFIXES.index(text) < before:
            return -1
        if other_kind == _SUFFIX and _SUFFIXES.index(other) < before:
            return 1
        return _sign(other_kind, kind)
    return 0


def _apk_tokens(version: str) -> list[tuple[int, str]]:
    digits, rest = _run(version, str.isdigit)
    tokens = [(_FIRST, digits)]
    while rest:
        sign, tail = rest[0], rest[1:]
        if sign == ".":
            digits, rest = _run(tail, str.isdigit)
            tokens.append((_DIGIT, digits))
        elif sign == "_":
            suffix, rest = _run(tail, str.isalpha)
            tokens.append((_SUFFIX, suffix))
        elif sign == "~":
            commit, rest = _run(tail, lambda one: one in "0123456789abcdef")
            tokens.append((_HASH, commit))
        elif sign == "-":
            digits, rest = _run(tail[1:], str.isdigit)
            tokens.append((_REVISION, digits))
        elif sign.isdigit():
            digits, rest = _run(rest, str.isdigit)
            after_letter = tokens[-1][0] == _LETTER
            tokens.append((_DIGIT, digits.lstrip("0")) if after_letter else (_COUNT, digits))
        else:
            tokens.append((_LETTER, sign))
            rest = tail
    return [*tokens, (_END, "")]


def _apk_token(kind: int, one: str, other: str) -> int:
    if kind == _SUFFIX:
        return _sign(_SUFFIXES.index(one), _SUFFIXES.index(other))
    if kind in {_LETTER, _HASH, _END} or (kind == _DIGIT and "0" in {one[:1], other[:1]}):
        return _sign(one, other)
    return _sign(int(one or "0"), int(other or "0"))


# -- semver (2.0.0, 11) ---------------------------------------------------------------------------


def semver(first: str, second: str) -> int:
    """Numbers, then the pre-release identifier by identifier."""
    (mine, before), (theirs, other_before) = _semver_parts(first), _semver_parts(second)
    longest = max(len(mine), len(theirs))
    mine += [0] * (longest - len(mine))
    theirs += [0] * (longest - len(theirs))
    if mine != theirs:
        return 1 if mine > theirs else -1
    if not before or not other_before:
        return _sign(not before, not other_before)
    for one, other in zip(before, other_before, strict=False):
        if one.isdigit() and other.isdigit():
            found = _sign(int(one), int(other))
        else:
            found = _sign(other.isdigit(), one.isdigit()) or _sign(one, other)
        if found:
            return found
    return _sign(len(before), len(other_before))


def _semver_parts(version: str) -> tuple[list[int], list[str]]:
    release, _, before = version.lstrip("vV").split("+")[0].partition("-")
    return [int(one) for one in release.split(".")], before.split(".") if before else []


ORACLES: Final[dict[str, Callable[[str, str], int]]] = {
    "dpkg": dpkg,
    "rpm": rpm,
    "apk": apk,
    "semver": semver,
}
