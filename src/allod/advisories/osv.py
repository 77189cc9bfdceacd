"""Reading a record of the OSV schema (1.x, to 1.8): docs/reference/advisories.md.

What a record must have is an id and the time of its last change. Unknown members are left alone;
an unknown kind of range stays visible as one from which nothing follows.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from allod.advisories.advisory import (
    Advisory,
    Affected,
    Bound,
    Event,
    Range,
    RangeKind,
    Severity,
)
from allod.advisories.reading import fault, line, named, read_json, read_shape

RECORD_CAP: Final = 8 * 1024 * 1024  #: bytes of one record
_NAME: Final = 500  #: signs of a package's name
_KINDS: Final = {str(kind): kind for kind in RangeKind}
_BOUNDS: Final = {str(bound): bound for bound in Bound}


class _Package(msgspec.Struct):
    ecosystem: str | None = None
    name: str | None = None


class _Range(msgspec.Struct):
    type: str
    events: list[dict[str, Any]]
    repo: str | None = None


class _Score(msgspec.Struct):
    type: str
    score: str | int | float


class _Affected(msgspec.Struct):
    package: _Package | None = None
    ranges: list[_Range] | None = None
    versions: list[str] | None = None
    severity: list[_Score] | None = None
    database_specific: Any = None
    ecosystem_specific: Any = None


class _Record(msgspec.Struct):
    id: str
    modified: str
    published: str | None = None
    withdrawn: str | None = None
    aliases: list[str] | None = None
    upstream: list[str] | None = None
    related: list[str] | None = None
    summary: str | None = None
    details: str | None = None
    severity: list[_Score] | None = None
    affected: list[_Affected] | None = None
    database_specific: Any = None


def decode_advisory(data: bytes, *, source: str, file: str) -> Advisory:
    """One record.

    Raises:
        InvalidInput: `too-large`, `bad-json`; `bad-document` with the place of the fault.
    """
    return advisory_of(read_json(data, cap=RECORD_CAP, file=file), source=source, file=file)


def is_advisory(value: Any) -> bool:
    """Whether a parsed document is meant as an OSV record."""
    return isinstance(value, dict) and "id" in value and "modified" in value


def advisory_of(value: Any, *, source: str, file: str) -> Advisory:
    """One record, parsed already. Raises InvalidInput `bad-document`."""
    record = read_shape(value, _Record, file=file)
    if "affects" in value and record.affected is None:
        raise fault(file, "it is of the schema before 1.0 ('affects')")
    return Advisory(
        id=named(record.id, file=file, what="its id"),
        source=source,
        modified=line(record.modified, 64),
        published=line(record.published, 64),
        withdrawn=line(record.withdrawn, 64),
        aliases=_names(record.aliases, file, "aliases"),
        upstream=_names(record.upstream, file, "upstream"),
        related=_names(record.related, file, "related"),
        summary=line(record.summary) or line(record.details),
        severity=_severity(record.severity, record.database_specific),
        affected=tuple(
            _affected(one, place, file) for place, one in enumerate(record.affected or ())
        ),
        file=file,
        licence=_word(record.database_specific, "license"),
    )


def _names(names: list[str] | None, file: str, what: str) -> tuple[str, ...]:
    """As written, each once."""
    return tuple(
        named(one, file=file, what=f"$.{what}[{place}]")
        for place, one in enumerate(dict.fromkeys(names or ()))
    )


def _affected(said: _Affected, place: int, file: str) -> Affected:
    package = said.package or _Package()
    return Affected(
        ecosystem=_package(package.ecosystem, f"$.affected[{place}].package.ecosystem", file),
        name=_package(package.name, f"$.affected[{place}].package.name", file),
        ranges=tuple(
            _range(one, f"$.affected[{place}].ranges[{at}]", file)
            for at, one in enumerate(said.ranges or ())
        ),
        versions=frozenset(said.versions or ()),
        severity=_severity(said.severity, said.database_specific, said.ecosystem_specific),
        place=place,
    )


def _package(name: str | None, place: str, file: str) -> str:
    if name and (len(name) > _NAME or not name.isprintable()):
        raise fault(file, f"{name[:40]!r} is no name - at `{place}`")
    return name or ""


def _range(said: _Range, place: str, file: str) -> Range:
    kind = _KINDS.get(said.type, RangeKind.OTHER)
    events = []
    for at, one in enumerate(said.events):
        known = False
        for key, version in one.items():
            bound = _BOUNDS.get(key)
            if bound is None:
                continue
            if not isinstance(version, str):
                raise fault(file, f"expected a text - at `{place}.events[{at}].{key}`")
            events.append(Event(bound, version))
            known = True
        if not known:
            kind = RangeKind.OTHER
    return Range(kind, tuple(events), line(said.repo, 500))


def _severity(said: list[_Score] | None, *others: Any) -> tuple[Severity, ...]:
    """As scored; where nobody did, the word that the database has for it."""
    scored = tuple(Severity(line(one.type, 40), line(str(one.score))) for one in said or ())
    if scored or not any(others):
        return scored
    found = dict.fromkeys(
        Severity(kind, word)
        for kind, key in (("word", "severity"), ("informational", "informational"))
        for one in others
        if (word := _word(one, key))
    )
    return tuple(found)


def _word(said: Any, key: str) -> str:
    word = said.get(key) if isinstance(said, dict) else None
    return line(word, 100) if isinstance(word, str) else ""
