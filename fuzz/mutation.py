"""New inputs out of good ones: cut, doubled, spliced; and JSON changed where its structure is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any, Final

LONGEST: Final = 256 * 1024  #: an input grows no further by mutation
_WORDS: Final = (
    b"", b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"{", b"[", b"]" * 50, b"[" * 3000,
    b'{"a":' * 1500, b'"', b"\\", b"\\ud800", b"null", b"-0", b"1e999", b"9" * 25, b"9" * 5000,
    b"NaN", b"../../../etc/passwd", b"%00", b"%2e%2e%2f", b"\r\n", b"\n", b"pkg:", b"@", b"#", b"?",
    b"~", b"0", b":", b"+", b"-", b".", b"=" * 3, "ŉ\u202e٣²".encode(),
)  # fmt: skip
_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**18, 0.5, 1e308, "", "0", "\0", "\ud800", "٣", "²",
    "a" * 5000, "../../x", "pkg:pypi/a@1", "1.0", "2022-01-31T02:00:00Z", "9999-99-99T99:99:99Z",
    [], {}, [[]], [None], {"": None}, {"a": {"a": {}}},
)  # fmt: skip


def mutated(seeds: Sequence[bytes], chance: Random) -> bytes:
    """One new input out of `seeds`, which are not empty."""
    data = chance.choice(seeds)
    if chance.random() < 0.5 and (changed := _json(data, chance)) is not None:
        data = changed
        if chance.random() < 0.8:
            return data[:LONGEST]
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        data = chance.choice(_WAYS)(data, seeds, chance)
    return data[:LONGEST]


def _piece(data: bytes, chance: Random) -> tuple[int, int]:
    at = chance.randint(0, len(data))
    return at, min(len(data), at + chance.choice((0, 1, 1, 2, 4, 16, 64, 1024)))


def _cut(data: bytes, seeds: Sequence[bytes], chance: Random) -> bytes:
    at, to = _piece(data, chance)
    return data[:at] + data[to:]


def _end(data: bytes, seeds: Sequence[bytes], chance: Random) -> bytes:
    return data[: chance.randint(0, len(data))]


def _double(data: bytes, seeds: Sequence[bytes], chance: Random) -> bytes:
    at, to = _piece(data, chance)
    return data[:at] + data[at:to] * chance.choice((2, 2, 3, 40)) + data[to:]


def _word(data: bytes, seeds: Sequence[bytes], chance: Random) -> bytes:
    at, to = _piece(data, chance)
    return data[:at] + chance.choice(_WORDS) + data[to:]


def _bits(data: bytes, seeds: Sequence[bytes], chance: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(min(len(changed), chance.choice((1, 1, 2, 16)))):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _splice(data: bytes, seeds: Sequence[bytes], chance: Random) -> bytes:
    other = chance.choice(seeds)
    at, to = _piece(other, chance)
    place = chance.randint(0, len(data))
    return data[:place] + other[at:to] + data[place:]


_WAYS: Final[tuple[Callable[[bytes, Sequence[bytes], Random], bytes], ...]] = (
    _cut, _end, _double, _word, _word, _bits, _bits, _splice,
)  # fmt: skip


def _json(data: bytes, chance: Random) -> bytes | None:
    """`data` with a few of its values changed; None if it is no JSON with structure."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict | list) or not document:
        return None
    for _ in range(chance.choice((1, 1, 2, 4))):
        _change(document, chance)
    return json.dumps(document, ensure_ascii=chance.random() < 0.9).encode("utf-8", "surrogatepass")


def _change(document: Any, chance: Random) -> None:
    """Walk down some way, and change what is there."""
    holder: Any = document
    while True:
        key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        value = holder[key]
        if not isinstance(value, dict | list) or not value or chance.random() < 0.2:
            break
        holder = value
    match chance.randrange(6):
        case 0 if len(holder) > 1:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.extend(deepcopy(value) for _ in range(chance.choice((1, 3, 200))))
        case 2:
            holder[key] = [value]
        case 3 if isinstance(value, str) and value:
            place = chance.randrange(len(value) + 1)
            put = chance.choice(_WORDS).decode("utf-8", "replace")
            holder[key] = value[:place] + put + value[place + chance.randrange(3) :]
        case 4 if isinstance(holder, dict):
            holder[chance.choice(list(holder)) + chance.choice("x_ ")] = deepcopy(value)
        case _:
            holder[key] = deepcopy(chance.choice(_VALUES))
