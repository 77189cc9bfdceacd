"""An advisory: what an OSV record says (OSV schema 1.8), without its prose.

Unknown fields, kinds of severity and ecosystems are carried along or left alone, never a fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class RangeKind(StrEnum):
    """By which order a range is meant."""

    ECOSYSTEM = "ECOSYSTEM"
    SEMVER = "SEMVER"
    GIT = "GIT"
    OTHER = "OTHER"  #: of a kind, or with events, that nobody here knows: nothing follows from it


class Bound(StrEnum):
    """What an event says of its version."""

    INTRODUCED = "introduced"
    FIXED = "fixed"
    LAST_AFFECTED = "last_affected"
    LIMIT = "limit"


class Event(NamedTuple):
    """One end of a range; events come unsorted."""

    bound: Bound
    version: str  #: "0" of `introduced`: from the beginning


@dataclass(frozen=True, slots=True)
class Range:
    """Versions between events."""

    kind: RangeKind
    events: tuple[Event, ...]
    repository: str = ""  #: of GIT


class Severity(NamedTuple):
    """How bad, as somebody scored it."""

    kind: str  #: CVSS_V2, CVSS_V3, CVSS_V4, or another's name; `word`: the database's own
    score: str  #: a CVSS vector, or a word


@dataclass(frozen=True, slots=True)
class Affected:
    """What one record says of one package."""

    ecosystem: str  #: empty: none was said
    name: str
    ranges: tuple[Range, ...] = ()
    versions: frozenset[str] = frozenset()  #: enumerated, as written
    severity: tuple[Severity, ...] = ()  #: of this package; empty: that of the record
    place: int = 0  #: its index in the record, for people who look there


@dataclass(frozen=True, slots=True)
class Advisory:
    """One record of one source. The same id may stand in several, with different packages."""

    id: str
    source: str  #: by which name the owner took it in
    modified: str
    published: str = ""
    withdrawn: str = ""  #: empty: it holds
    aliases: tuple[str, ...] = ()  #: the same flaw under other names
    upstream: tuple[str, ...] = ()  #: the flaws whose fixes it brings
    related: tuple[str, ...] = ()  #: not the same flaw
    summary: str = ""
    severity: tuple[Severity, ...] = ()
    affected: tuple[Affected, ...] = ()
    file: str = ""  #: where in the source it stands
    licence: str = ""  #: of this record, where it says one itself
