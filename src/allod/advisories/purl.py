"""Package URLs (purl-spec, ECMA-427): read strictly, whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from allod.errors import InvalidInput

MOST: Final = 8192  #: characters of a purl
_TYPE: Final = re.compile(r"[a-z][a-z0-9.+-]{0,63}")
_KEY: Final = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_BROKEN: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Purl:
    """The parts of a purl, decoded."""

    type: str  #: lower case
    namespace: str  #: segments joined by "/"; empty: none
    name: str
    version: str = ""
    qualifiers: Mapping[str, str] = field(default_factory=dict)
    subpath: str = ""


def parse(text: str) -> Purl:
    """Read a purl. Raises InvalidInput `bad-purl` with what is wrong with it."""
    if len(text) > MOST:
        raise _refusal(text, f"it has more than {MOST} characters")
    scheme, colon, rest = text.strip().partition(":")
    if not colon or scheme.lower() != "pkg":
        raise _refusal(text, "it does not begin with pkg:")
    rest, _, subpath = rest.partition("#")
    rest, _, query = rest.partition("?")
    kind, slash, path = rest.strip("/").partition("/")
    kind = kind.lower()
    if not slash or not _TYPE.fullmatch(kind):
        raise _refusal(text, "it does not say of which type it is")
    version = ""
    at = path.rfind("@")
    scope = kind == "npm" and (at == 0 or path[at - 1 : at] == "/")
    if at >= 0 and not scope:
        path, version = path[:at], _decoded(path[at + 1 :], text)
    segments = [_decoded(one, text) for one in path.split("/") if one]
    if not segments:
        raise _refusal(text, "it has no name")
    return Purl(
        kind,
        "/".join(segments[:-1]),
        segments[-1],
        version,
        _qualifiers(query, text) if query else {},
        _decoded(subpath.strip("/"), text),
    )


def _qualifiers(query: str, text: str) -> dict[str, str]:
    """What follows "?"; a key without value says nothing."""
    found: dict[str, str] = {}
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        key = key.lower()
        if not pair:
            continue
        if not _KEY.fullmatch(key):
            raise _refusal(text, f"{key[:40]!r} is no key of a qualifier")
        if key in found:
            raise _refusal(text, f"it says {key!r} twice")
        found[key] = _decoded(value, text)
    return {key: value for key, value in found.items() if value}


def _decoded(part: str, text: str) -> str:
    """A part without percent signs."""
    if "%" in part:
        if _BROKEN.search(part):
            raise _refusal(text, "a percent sign is not followed by two hexadecimal digits")
        try:
            part = unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            raise _refusal(text, "what its percent signs stand for is not UTF-8") from None
    if not part.isprintable():
        raise _refusal(text, "it has a sign that cannot be seen")
    return part


def _refusal(text: str, why: str) -> InvalidInput:
    return InvalidInput(
        "bad-purl", f"cannot read the package URL {text[:120]!r}: {why}", purl=text[:120]
    )
