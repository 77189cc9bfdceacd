"""The forms in which an invite reaches a device: a file, or an `allod:` URL (typed or scanned)."""

from __future__ import annotations

import base64
import binascii
import zlib
from pathlib import Path
from typing import Final

from allod.errors import InvalidInput
from allod.trust.invite import INVITE_CAP

SCHEME: Final = "allod:"
_URL_CAP: Final = 64 * 1024


def read_invite(given: str) -> bytes:
    """The JSON of the invite that `given` names: a path, or the URL itself.

    Raises:
        InvalidInput: `bad-invite`.
    """
    if given.startswith(SCHEME):
        return _unpack(given)
    try:
        with Path(given).open("rb") as file:
            data = file.read(INVITE_CAP + 1)
    except OSError as error:
        raise InvalidInput(
            "bad-invite",
            f"cannot read the invite {given}: {error.strerror}; give a file, or a URL 'allod:…'",
        ) from error
    text = data.strip()
    if text.startswith(SCHEME.encode()):
        return _unpack(text.decode("ascii", "replace"))
    return data


def _unpack(url: str) -> bytes:
    """`allod:` and base64url of zlib of the JSON; unpacked no further than an invite may be."""
    packed = "".join(url[len(SCHEME) : _URL_CAP].split())
    unpacker = zlib.decompressobj()
    try:
        raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        data = unpacker.decompress(raw, _URL_CAP)
    except (ValueError, binascii.Error, zlib.error) as error:
        raise _incomplete() from error
    if not unpacker.eof or unpacker.unused_data:
        raise _incomplete()
    return data


def _incomplete() -> InvalidInput:
    return InvalidInput(
        "bad-invite", "cannot read the invite: the URL is incomplete or was altered; copy it whole"
    )
