"""What all readers of published records share: strict JSON, faults with their place, plain text."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from allod.errors import InvalidInput
from allod.wire.codec import parse_strict, shaped

_SAID: Final = 300  #: characters of a fault: it may quote what somebody else wrote
_T = TypeVar("_T")


def read_json(data: bytes, *, cap: int, file: str) -> Any:
    """The JSON value of a file; a mark of byte order in front is let pass.

    Raises:
        InvalidInput: `too-large`, `bad-json`.
    """
    return parse_strict(data.removeprefix(b"\xef\xbb\xbf"), cap=cap, what=f"{file[:200]!r}")


def read_shape(value: Any, type_: type[_T], *, file: str) -> _T:
    """The value in its shape; members that the shape doesn't name are left alone.

    Raises:
        InvalidInput: `bad-document` with the place of the fault.
    """
    try:
        return shaped(value, type_)
    except (msgspec.ValidationError, ValueError) as error:
        raise fault(file, str(error)) from error


def fault(file: str, says: str) -> InvalidInput:
    """A record that does not say what it must, and why."""
    return InvalidInput("bad-document", f"cannot read {file[:200]!r}: {says[:_SAID]}")


def line(text: str | None, most: int = 300) -> str:
    """The first line of a text that has something in it, cut, without control characters."""
    if not text:
        return ""
    if len(text) <= most and text.isprintable():
        return text.strip("# ")
    for one in text.splitlines():
        plain = "".join(sign for sign in one.strip("# \t") if sign.isprintable())
        if plain:
            return plain if len(plain) <= most else plain[: most - 1] + "…"
    return ""


def named(text: str, *, file: str, what: str) -> str:
    """A name that can be shown and looked up: printable, without spaces, at most 300 signs.

    Raises:
        InvalidInput: `bad-document`.
    """
    if not text or len(text) > _SAID or not text.isprintable() or " " in text:
        raise fault(file, f"{what} {text[:40]!r} is no name")
    return text
