"""Ranges of bytes (RFC 9110 §14): one range a request; anything else means the whole."""

from __future__ import annotations

import re
from typing import Final

from allod.errors import InvalidInput

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """Offset and length of what is asked for; None for the whole.

    Raises:
        InvalidInput: `range-not-satisfiable`.
    """
    match = _RANGE.fullmatch(text.replace(" ", ""))
    if match is None or match.group() == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        offset = size - length
    else:
        offset = int(first)
        end = min(int(last), size - 1) if last else size - 1
        if last and int(last) < offset:
            return None
        length = end - offset + 1
    if length <= 0 or offset >= size:
        raise InvalidInput(
            "range-not-satisfiable", f"cannot give {text[:60]}: there are {size} bytes"
        )
    return offset, length
