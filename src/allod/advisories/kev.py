"""Reading the catalogue of known exploited vulnerabilities (CISA KEV, JSON)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from allod.advisories.finding import Exploited
from allod.advisories.reading import line, named, read_json, read_shape

KEV_CAP: Final = 32 * 1024 * 1024


class _Entry(msgspec.Struct, rename="camel"):
    cve: str = msgspec.field(name="cveID")
    date_added: str
    due_date: str | None = None
    known_ransomware_campaign_use: str | None = None


class _Catalogue(msgspec.Struct):
    vulnerabilities: list[_Entry]


def is_exploited(value: Any) -> bool:
    """Whether a parsed document is meant as the catalogue."""
    return isinstance(value, dict) and "catalogVersion" in value and "vulnerabilities" in value


def decode_exploited(data: bytes, *, file: str) -> tuple[Exploited, ...]:
    """The catalogue. Raises InvalidInput `too-large`, `bad-json`, `bad-document`."""
    return exploited_of(read_json(data, cap=KEV_CAP, file=file), file=file)


def exploited_of(value: Any, *, file: str) -> tuple[Exploited, ...]:
    """The catalogue, parsed already. Raises InvalidInput `bad-document`."""
    said = read_shape(value, _Catalogue, file=file)
    return tuple(
        Exploited(
            cve=named(one.cve, file=file, what=f"$.vulnerabilities[{place}].cveID"),
            added=line(one.date_added, 40),
            due=line(one.due_date, 40),
            ransomware=(one.known_ransomware_campaign_use or "").lower() == "known",
        )
        for place, one in enumerate(said.vulnerabilities)
    )
