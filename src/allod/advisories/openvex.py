"""Reading OpenVEX documents (0.0.x and 0.2.0): docs/reference/advisories.md."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from allod.advisories.finding import VexStatement, VexStatus
from allod.advisories.reading import fault, line, named, read_json, read_shape

VEX_CAP: Final = 16 * 1024 * 1024
_STATUS: Final = {str(status): status for status in VexStatus}


class _Flaw(msgspec.Struct):
    id: str | None = msgspec.field(name="@id", default=None)
    name: str | None = None
    aliases: list[str] | None = None


class _Part(msgspec.Struct):
    id: str | None = msgspec.field(name="@id", default=None)
    identifiers: dict[str, str] | None = None
    hashes: dict[str, str] | None = None


class _Product(_Part):
    subcomponents: list[_Part | str] | None = None


class _Statement(msgspec.Struct):
    vulnerability: _Flaw | str
    status: str
    products: list[_Product | str] | None = None
    subcomponents: list[_Part | str] | None = None
    timestamp: str | None = None
    last_updated: str | None = None
    justification: str | None = None
    impact_statement: str | None = None
    action_statement: str | None = None
    status_notes: str | None = None


class _Document(msgspec.Struct):
    id: str = msgspec.field(name="@id")
    author: str
    timestamp: str
    statements: list[_Statement]
    last_updated: str | None = None


def is_vex(value: Any) -> bool:
    """Whether a parsed document is meant as OpenVEX."""
    context = value.get("@context") if isinstance(value, dict) else None
    return isinstance(context, str) and context.startswith("https://openvex.dev/ns")


def decode_vex(data: bytes, *, source: str, file: str) -> tuple[VexStatement, ...]:
    """The statements of a document.

    Raises:
        InvalidInput: `too-large`, `bad-json`, `bad-document` with the place of the fault.
    """
    return vex_of(read_json(data, cap=VEX_CAP, file=file), source=source, file=file)


def vex_of(value: Any, *, source: str, file: str) -> tuple[VexStatement, ...]:
    """The statements of a document, parsed already. Raises InvalidInput `bad-document`."""
    said = read_shape(value, _Document, file=file)
    if not said.author.strip():
        raise fault(file, "nobody says it: its author is empty")
    since = said.last_updated or said.timestamp
    return tuple(
        statement
        for place, one in enumerate(said.statements)
        for statement in _statements(one, said, since, f"$.statements[{place}]", source, file)
    )


def _statements(
    one: _Statement, document: _Document, since: str, place: str, source: str, file: str
) -> list[VexStatement]:
    """One for the products without parts of their own, and one for each product with some."""
    status = _STATUS.get(one.status)
    if status is None:
        raise fault(file, f"{one.status[:40]!r} is no status - at `{place}.status`")
    flaws = _flaws(one.vulnerability, place, file)
    plain: list[str] = []
    apart: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    shared = tuple(name for part in one.subcomponents or () for name in _names(part))
    for product in one.products or ():
        names = _names(product)
        parts: tuple[str, ...] = ()
        if isinstance(product, _Product):
            parts = tuple(name for part in product.subcomponents or () for name in _names(part))
        if parts:
            apart.append((names, parts))
        else:
            plain.extend(names)
    alone = plain or not apart  # without any product it is kept, and speaks of nothing
    every = [(tuple(dict.fromkeys(plain)), shared)] if alone else []
    return [
        VexStatement(
            flaws=flaws,
            products=products,
            status=status,
            author=line(document.author),
            at=line(one.last_updated or one.timestamp or since, 64),
            justification=line(one.justification, 100),
            says=line(one.impact_statement or one.action_statement or one.status_notes, 1000),
            subcomponents=parts,
            document=line(document.id, 500),
            source=source,
        )
        for products, parts in every + apart
    ]


def _flaws(said: _Flaw | str, place: str, file: str) -> tuple[str, ...]:
    """By name; where only an address is given, its last part."""
    if isinstance(said, str):
        names = [said]
    else:
        first = said.name or (said.id or "").rstrip("/").rpartition("/")[2]
        names = [first, *(said.aliases or ())]
    return tuple(
        named(one, file=file, what=f"{place}.vulnerability") for one in dict.fromkeys(names)
    )


def _names(said: _Part | str) -> tuple[str, ...]:
    """Purls and digests that a product or a part goes by."""
    if isinstance(said, str):
        return (line(said, 1000),)
    names = [said.id or "", *(said.identifiers or {}).values()]
    digests = [
        f"sha256:{digest.lower()}"
        for kind, digest in (said.hashes or {}).items()
        if kind.lower() in {"sha-256", "sha256"}
    ]
    return tuple(dict.fromkeys(line(one, 1000) for one in (*names, *digests) if one))
