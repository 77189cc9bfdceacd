"""The store's tables, and its rows: as little as answers a question, in few bytes.

A row of `affected` holds what one record says of one package, packed; rows of a package lie
together, so that a question reads one stretch of the file and decodes nothing else.
"""

from __future__ import annotations

from typing import Final

import msgspec

from allod.advisories.advisory import Advisory, Affected, Bound, Event, Range, RangeKind, Severity
from allod.advisories.finding import VexStatement, VexStatus

#: Of the tables and of what is packed into them; another number: everything is taken in anew.
FORMAT: Final = 1
#: Of the readers; another number: files that are unchanged are read again all the same.
READER: Final = 1

TABLES: Final = """
CREATE TABLE store (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sources (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kinds TEXT NOT NULL, licence TEXT NOT NULL,
  origin TEXT NOT NULL, revision TEXT NOT NULL, counts INTEGER NOT NULL, at TEXT NOT NULL,
  reader INTEGER NOT NULL, records INTEGER NOT NULL, refused INTEGER NOT NULL,
  ignored INTEGER NOT NULL);
CREATE TABLE files (
  id INTEGER PRIMARY KEY, source INTEGER NOT NULL, path TEXT NOT NULL, digest BLOB NOT NULL,
  code TEXT NOT NULL DEFAULT '', why TEXT NOT NULL DEFAULT '', UNIQUE (source, path));
CREATE TABLE records (
  id INTEGER PRIMARY KEY, file INTEGER NOT NULL, source INTEGER NOT NULL, name TEXT NOT NULL,
  withdrawn TEXT NOT NULL, generation INTEGER NOT NULL, said BLOB NOT NULL);
CREATE INDEX records_by_file ON records (file);
CREATE INDEX records_by_generation ON records (generation);
CREATE TABLE names (
  name TEXT NOT NULL, record INTEGER NOT NULL, how INTEGER NOT NULL,
  PRIMARY KEY (name, record, how)) WITHOUT ROWID;
CREATE INDEX names_by_record ON names (record);
CREATE TABLE packages (
  id INTEGER PRIMARY KEY, ecosystem TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (ecosystem, name));
CREATE TABLE affected (
  package INTEGER NOT NULL, record INTEGER NOT NULL, place INTEGER NOT NULL, said BLOB NOT NULL,
  PRIMARY KEY (package, record, place)) WITHOUT ROWID;
CREATE INDEX affected_by_record ON affected (record);
CREATE TABLE exploited (
  cve TEXT NOT NULL, file INTEGER NOT NULL, source INTEGER NOT NULL, generation INTEGER NOT NULL,
  added TEXT NOT NULL, due TEXT NOT NULL, ransomware INTEGER NOT NULL,
  PRIMARY KEY (cve, file)) WITHOUT ROWID;
CREATE INDEX exploited_by_file ON exploited (file);
CREATE TABLE epss (
  cve TEXT NOT NULL, file INTEGER NOT NULL, source INTEGER NOT NULL, score REAL NOT NULL,
  percentile REAL NOT NULL, at TEXT NOT NULL, PRIMARY KEY (cve, file)) WITHOUT ROWID;
CREATE TABLE statements (
  id INTEGER PRIMARY KEY, file INTEGER NOT NULL, source INTEGER NOT NULL,
  generation INTEGER NOT NULL, at TEXT NOT NULL, said BLOB NOT NULL);
CREATE INDEX statements_by_file ON statements (file);
CREATE INDEX statements_by_generation ON statements (generation);
CREATE TABLE statement_flaws (
  flaw TEXT NOT NULL, statement INTEGER NOT NULL, PRIMARY KEY (flaw, statement)) WITHOUT ROWID;
CREATE INDEX flaws_by_statement ON statement_flaws (statement);
"""

#: How a record comes to a name.
ITSELF: Final = 0
ALIAS: Final = 1
UPSTREAM: Final = 2
RELATED: Final = 3

_KINDS: Final = tuple(RangeKind)
_BOUNDS: Final = tuple(Bound)
_KIND: Final = {kind: at for at, kind in enumerate(_KINDS)}
_BOUND: Final = {bound: at for at, bound in enumerate(_BOUNDS)}

_PackedRange = tuple[int, list[tuple[int, str]], str]
_PackedAffected = tuple[list[_PackedRange], list[str], list[tuple[str, str]]]
_PackedRecord = tuple[str, str, list[str], list[str], list[str], str, list[tuple[str, str]], str]
_ENCODER: Final = msgspec.msgpack.Encoder()
_AFFECTED: Final = msgspec.msgpack.Decoder(_PackedAffected)
_RECORD: Final = msgspec.msgpack.Decoder(_PackedRecord)


def pack_affected(said: Affected) -> bytes:
    """All but the package's name."""
    ranges = [
        (
            _KIND[one.kind],
            [(_BOUND[event.bound], event.version) for event in one.events],
            one.repository,
        )
        for one in said.ranges
    ]
    return _ENCODER.encode((ranges, sorted(said.versions), said.severity))


def unpack_affected(data: bytes, ecosystem: str, name: str, place: int) -> Affected:
    """The inverse of `pack_affected`."""
    ranges, versions, severity = _AFFECTED.decode(data)
    return Affected(
        ecosystem,
        name,
        tuple(
            Range(
                _KINDS[kind],
                tuple([Event(_BOUNDS[bound], version) for bound, version in events]),
                repository,
            )
            for kind, events, repository in ranges
        ),
        frozenset(versions),
        tuple([Severity(*one) for one in severity]),
        place,
    )


def pack_record(said: Advisory) -> bytes:
    """All but its names, its time of withdrawal and its packages."""
    return _ENCODER.encode(
        (
            said.modified,
            said.published,
            said.aliases,
            said.upstream,
            said.related,
            said.summary,
            said.severity,
            said.licence,
        )
    )


def unpack_record(
    data: bytes,
    *,
    name: str,
    source: str,
    withdrawn: str,
    file: str,
) -> Advisory:
    """The inverse of `pack_record`, without `affected`."""
    modified, published, aliases, upstream, related, summary, severity, licence = _RECORD.decode(
        data
    )
    return Advisory(
        id=name,
        source=source,
        modified=modified,
        published=published,
        withdrawn=withdrawn,
        aliases=tuple(aliases),
        upstream=tuple(upstream),
        related=tuple(related),
        summary=summary,
        severity=tuple([Severity(*one) for one in severity]),
        file=file,
        licence=licence,
    )


_PackedStatement = tuple[list[str], list[str], str, str, str, str, str, list[str], str]
_STATEMENT: Final = msgspec.msgpack.Decoder(_PackedStatement)


def pack_statement(said: VexStatement) -> bytes:
    """All but its source."""
    return _ENCODER.encode(
        (
            said.flaws,
            said.products,
            said.status,
            said.author,
            said.at,
            said.justification,
            said.says,
            said.subcomponents,
            said.document,
        )
    )


def unpack_statement(data: bytes, source: str) -> VexStatement:
    """The inverse of `pack_statement`."""
    flaws, products, status, author, at, why, says, parts, document = _STATEMENT.decode(data)
    return VexStatement(
        tuple(flaws),
        tuple(products),
        VexStatus(status),
        author,
        at,
        why,
        says,
        tuple(parts),
        document,
        source,
    )
