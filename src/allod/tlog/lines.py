"""The small grammar that all the text formats share: base64 and decimal numbers, in one spelling.

Whatever is read can be written again with the same bytes, so nothing can be changed in a text
without changing what it says.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from allod.errors import InvalidInput

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_MAX: Final = 2**63 - 1


def write_base64(data: bytes) -> str:
    """RFC 4648 §4, padded."""
    return base64.b64encode(data).decode("ascii")


def read_base64(text: str, what: str, *, code: str) -> bytes:
    """The inverse, strictly. Raises InvalidInput."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(code, f"cannot read {what}: it is no base64") from error
    if write_base64(data) != text:
        raise InvalidInput(code, f"cannot read {what}: its base64 has a second spelling")
    return data


def read_hash(text: str, what: str, *, code: str) -> bytes:
    """A SHA-256 hash in base64. Raises InvalidInput."""
    data = read_base64(text, what, code=code)
    if len(data) != 32:  # noqa: PLR2004 - SHA-256
        raise InvalidInput(code, f"cannot read {what}: a hash has 32 bytes")
    return data


def read_decimal(text: str, what: str, *, code: str) -> int:
    """A whole number below 2^63. Raises InvalidInput."""
    if _DECIMAL.fullmatch(text) is None or int(text) > _MAX:
        raise InvalidInput(code, f"cannot read {what}: it is no decimal number below 2^63")
    return int(text)


def read_text(raw: bytes, what: str, *, cap: int, code: str) -> str:
    """UTF-8 without control characters but newlines, not longer than `cap`. Raises InvalidInput."""
    if len(raw) > cap:
        raise InvalidInput(
            "too-large", f"cannot read {what}: {len(raw)} bytes, at most {cap} are allowed"
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(code, f"cannot read {what}: it is not UTF-8") from error
    if any(character < " " and character != "\n" for character in text):
        raise InvalidInput(code, f"cannot read {what}: it has control characters")
    return text
