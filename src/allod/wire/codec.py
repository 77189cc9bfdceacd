"""Strict JSON: capped before it is parsed, and nothing ambiguous is let through.

Refused are: more bytes than the cap, not UTF-8, nesting deeper than `MAX_DEPTH`, more than
`MAX_ITEMS` values, duplicate keys, numbers with more than 19 digits, NaN and infinities,
halves of characters, anything after the document (attack 51).
"""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Final, TypeVar

import msgspec

from allod.errors import InvalidInput

MAX_DEPTH: Final = 24
MAX_ITEMS: Final = 1_000_000
_INTEGER_LENGTH: Final = 20  # 19 digits and a sign
_REAL_LENGTH: Final = 40

# Depth is measured without recursion, on what is left of a text without escapes and without all
# that is no bracket or quote. Where a backslash stands outside a string, the parser ends.
_ESCAPE: Final = re.compile(rb"\\.", re.DOTALL)
_STRING: Final = re.compile(rb'"[^"]*+(?:"|\Z)')  # an unfinished one reaches to the end
_NO_SHAPE: Final = bytes(set(range(256)) - set(b'"[]{}'))
_STEPS: Final = tuple((byte in b"[{") - (byte in b"]}") for byte in range(256))
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_SAID: Final = 500  #: characters of a fault that is told: it may quote what somebody else wrote
_T = TypeVar("_T")
_PREPARING: Final = threading.Lock()
_PREPARED: Final[set[object]] = set()


class Document(
    msgspec.Struct, forbid_unknown_fields=True, rename="camel", frozen=True, kw_only=True
):
    """Root of all wire structs: closed, immutable, camelCase on the wire."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known = dict(pairs)
    if len(known) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:40]!r} stands twice")
    return known


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_LENGTH:
        raise ValueError("a number has more than 19 digits")
    return int(digits)


def _real(digits: str) -> float:
    if len(digits) > _REAL_LENGTH:
        raise ValueError("a number has more than 40 digits")
    return float(digits)


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _too_deep(data: bytes) -> bool:
    """Whether a text nests deeper than is read, as far as a parser would come."""
    plain = _ESCAPE.sub(b"", data) if b"\\" in data else data
    brackets = _STRING.sub(b"", plain.translate(None, _NO_SHAPE))
    return any(depth > MAX_DEPTH for depth in accumulate(map(_STEPS.__getitem__, brackets)))


def parse_strict(data: bytes, *, cap: int, what: str = "the document") -> Any:
    """Parse `data` as JSON under the rules above.

    Raises:
        InvalidInput: `too-large`, or `bad-json` with the reason.
    """
    if len(data) > cap:
        raise InvalidInput(
            "too-large", f"cannot read {what}: {len(data)} bytes, at most {cap} are allowed"
        )
    if _too_deep(data):
        raise InvalidInput("bad-json", f"cannot read {what}: nested deeper than {MAX_DEPTH}")
    if data.count(b",") > MAX_ITEMS:
        raise InvalidInput("bad-json", f"cannot read {what}: more than {MAX_ITEMS} values")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_pairs,
            parse_int=_integer,
            parse_float=_real,
            parse_constant=_constant,
        )
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode()  # a lone one is no text, and no UTF-8
    except (ValueError, RecursionError) as error:
        raise InvalidInput("bad-json", f"cannot read {what}: {error}") from error
    return value


def decode(data: bytes, type_: type[_T], *, cap: int, what: str = "the document") -> _T:
    """Parse strictly, then check the shape.

    Raises:
        InvalidInput: `too-large`, `bad-json`, or `bad-document` with the path of the fault.
    """
    return convert(parse_strict(data, cap=cap, what=what), type_, what=what)


def convert(value: Any, type_: type[_T], *, what: str = "the document") -> _T:
    """Check the shape of a parsed value; a document must say its type and format.

    Raises:
        InvalidInput: `bad-document`.
    """
    fields = getattr(type_, "__struct_fields__", ())
    if "format" in fields and isinstance(value, dict) and not {"type", "format"} <= value.keys():
        raise InvalidInput("bad-document", f"cannot read {what}: it lacks its type or its format")
    try:
        return shaped(value, type_)
    except (msgspec.ValidationError, ValueError) as error:
        says = str(error)[:_SAID]
        raise InvalidInput("bad-document", f"cannot read {what}: {says}") from error


def shaped(value: Any, type_: type[_T]) -> _T:
    """`msgspec.convert`, safe in threads.

    A type is prepared when it is first used, and two threads that prepare one at the same time
    can bring the process down (seen with msgspec 0.21): one at a time until it has succeeded.
    """
    if type_ in _PREPARED:
        return msgspec.convert(value, type_)
    with _PREPARING:
        made = msgspec.convert(value, type_)
        _PREPARED.add(type_)
        return made


def encode(value: Any) -> bytes:
    """Write compact JSON with sorted keys: the same value is always the same bytes."""
    return msgspec.json.encode(msgspec.to_builtins(value), order="sorted")


def instant(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds: the only form of time in documents."""
    # `strftime` writes years before 1000 so that nobody can read them again.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def parse_instant(text: str, *, what: str = "a time") -> datetime:
    """The inverse of `instant`. Raises InvalidInput `bad-time`."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise InvalidInput(
            "bad-time", f"cannot read {text[:40]!r} as {what}: it is like 2026-01-31T02:00:00Z"
        ) from error
