"""What the owner's machine knows of advisories: one SQLite file, made to be asked.

It is a cache of what others published: if it is lost or of another format, the sources are
imported anew. Writing stands in `store_writer`.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from allod.advisories import tables
from allod.advisories.advisory import Advisory, Affected, Severity
from allod.advisories.finding import Candidate, Epss, Exploited, VexStatement
from allod.advisories.names import asked
from allod.durable import make_directory
from allod.errors import Conflict, InvalidInput, Unavailable

_PIECE: Final = 200  #: values of one question
_WAIT: Final = 10.0  #: seconds for somebody else's import to end
_AFRESH: Final = "remove it, and import the sources again"


@dataclass(frozen=True, slots=True)
class Source:
    """Where advisories came from, and what became of it."""

    name: str
    kinds: tuple[str, ...]  #: osv, kev, epss, vex
    licence: str
    origin: str  #: the file or directory, as it was given
    revision: str  #: the commit of a git checkout
    counts: bool  #: whether it answers
    at: str  #: of the last import
    records: int
    refused: int
    ignored: int  #: files that say of themselves that they are none, like a README


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that could not be read."""

    file: str
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Changed:
    """What came in or changed since a mark."""

    mark: str  #: to ask with the next time
    everything: bool  #: the mark is none of this store: all that is there
    flaws: frozenset[str]  #: names of records, and those that KEV and VEX name
    packages: frozenset[tuple[str, str]]  #: (ecosystem as the record has it, normalised name)


class AdvisoryStore:
    """Implements `finding.Advisories`. Opens when it is first used, for reading.

    Raises:
        Unavailable: `no-advisories`: there is no such file.
        InvalidInput: `bad-advisories`: it is damaged, or of another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    def open(self, *, readonly: bool = True) -> Self:
        """Open it; for writing it is made if it is not there."""
        self.close()
        if not readonly:
            make_directory(self.path.parent)
        elif not self.path.exists():
            raise Unavailable(
                "no-advisories",
                "cannot look anything up: no advisories are here; "
                "see 'allod advisories import --help'",
            )
        mode = "rwc" if not readonly else "rw" if os.access(self.path, os.W_OK) else "ro"
        with self.faults():
            connection = sqlite3.connect(
                f"file:{quote(str(self.path.absolute()))}?mode={mode}",
                uri=True,
                timeout=_WAIT,
                isolation_level=None,
            )
            try:
                self._prepare(connection, readonly=readonly)
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        return self

    def _prepare(self, connection: sqlite3.Connection, *, readonly: bool) -> None:
        if readonly:
            connection.execute("PRAGMA query_only = 1")
            connection.execute("PRAGMA mmap_size = 268435456")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA cache_size = -65536")
            connection.execute("PRAGMA temp_store = MEMORY")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found == 0 and not readonly:
            with transaction(connection):
                for statement in tables.TABLES.split(";\n"):
                    connection.execute(statement)
                values = [("id", secrets.token_hex(8)), ("generation", "0")]
                connection.executemany("INSERT INTO store VALUES (?, ?)", values)
                connection.execute(f"PRAGMA user_version = {tables.FORMAT}")
        elif found != tables.FORMAT:
            raise InvalidInput(
                "bad-advisories", f"cannot use {self.path}: it has another format; {_AFRESH}"
            )

    @contextmanager
    def faults(self) -> Iterator[None]:
        """What goes wrong with the file, in our words."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise Conflict(
                    "advisories-busy",
                    "cannot write advisories: another import is under way; wait for it",
                ) from error
            raise Unavailable("local-io", f"cannot use {self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise InvalidInput(
                "bad-advisories", f"cannot use {self.path}: {error}; {_AFRESH}"
            ) from error

    def close(self) -> None:
        """Close it; the next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """The open database."""
        if self._connection is None:
            self.open()
        assert self._connection is not None  # noqa: S101 — open() made it
        return self._connection

    def _ask(self, question: str, values: Sequence[Any] = ()) -> list[Any]:
        connection = self.connection
        with self.faults():
            return connection.execute(question, values).fetchall()

    def _ask_all(self, question: str, values: Iterable[str]) -> Iterator[Any]:
        """Ask with all values, some at a time; `{}` stands for their places."""
        every = list(dict.fromkeys(values))
        for at in range(0, len(every), _PIECE):
            some = every[at : at + _PIECE]
            yield from self._ask(question.format(", ".join("?" * len(some))), some)

    def about(
        self, packages: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Sequence[Candidate]]:
        """The records about these, and about the ecosystem where no release of it is named."""
        found: dict[tuple[str, str], list[Candidate]] = {}
        advisories: dict[int, Advisory] = {}
        wanted: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for package in set(packages):
            for ecosystem in asked(package[0]):
                wanted.setdefault((ecosystem, package[1]), []).append(package)
        for row in self._rows_about(wanted):
            advisory = advisories.get(row[4]) or _advisory(row[4:])
            advisories[row[4]] = advisory
            affected = tables.unpack_affected(row[3], row[0], row[1], row[2])
            for package in wanted[row[0], row[1]]:
                found.setdefault(package, []).append(Candidate(advisory, affected))
        return found

    def _rows_about(self, packages: Iterable[tuple[str, str]]) -> Iterator[Any]:
        names = dict.fromkeys(packages)
        every = list(names)
        for at in range(0, len(every), _PIECE):
            some = every[at : at + _PIECE]
            values = ", ".join(["(?, ?)"] * len(some))
            yield from self._ask(_ABOUT.format(values), [part for one in some for part in one])

    def told_of(self, ecosystems: Iterable[str]) -> frozenset[str]:
        """Those of these ecosystems (with release) that any record is about."""
        return frozenset(
            one
            for one in set(ecosystems)
            if self._ask(
                "SELECT 1 FROM packages p JOIN affected a ON a.package = p.id"
                " JOIN records r ON r.id = a.record JOIN sources s ON s.id = r.source"
                " WHERE p.ecosystem = ? AND s.counts AND r.withdrawn = '' LIMIT 1",
                (one,),
            )
        )

    def exploited(self, cves: Iterable[str]) -> Mapping[str, Exploited]:
        """What is known to be exploited of these."""
        rows = self._ask_all(
            "SELECT cve, added, due, ransomware FROM exploited JOIN sources s ON s.id = source"
            " WHERE s.counts AND cve IN ({}) ORDER BY cve, added DESC",
            cves,
        )
        return {cve: Exploited(cve, added, due, bool(worse)) for cve, added, due, worse in rows}

    def epss(self, cves: Iterable[str]) -> Mapping[str, Epss]:
        """How likely these are to be exploited, by the newest run of the model."""
        rows = self._ask_all(
            "SELECT cve, score, percentile, e.at FROM epss e JOIN sources s ON s.id = source"
            " WHERE s.counts AND cve IN ({}) ORDER BY cve, e.at",
            cves,
        )
        return {row[0]: Epss(*row) for row in rows}

    def statements(self, flaws: Iterable[str]) -> Sequence[VexStatement]:
        """VEX statements that name any of these flaws, oldest first."""
        rows = self._ask_all(
            "SELECT t.at, t.id, t.said, s.name FROM statement_flaws f"
            " JOIN statements t ON t.id = f.statement JOIN sources s ON s.id = t.source"
            " WHERE s.counts AND f.flaw IN ({})",
            flaws,
        )
        return [tables.unpack_statement(said, source) for _, _, said, source in sorted(set(rows))]

    def sources(self) -> Sequence[Source]:
        """All sources, by name."""
        rows = self._ask(
            "SELECT name, kinds, licence, origin, revision, counts, at, records, refused, ignored"
            " FROM sources ORDER BY name"
        )
        return [
            Source(name, tuple(kinds.split()), licence, origin, revision, bool(counts), *rest)
            for name, kinds, licence, origin, revision, counts, *rest in rows
        ]

    def refused(self, source: str) -> Sequence[RefusedFile]:
        """What could not be read of a source, by file. Raises InvalidInput `not-found`."""
        if all(one.name != source for one in self.sources()):
            raise InvalidInput(
                "not-found", f"cannot find a source {source[:60]!r}: see 'allod advisories sources'"
            )
        rows = self._ask(
            "SELECT path, code, why FROM files WHERE code <> '' AND source ="
            " (SELECT id FROM sources WHERE name = ?) ORDER BY path",
            (source,),
        )
        return [RefusedFile(*row) for row in rows]

    def records(self, name: str) -> Sequence[Advisory]:
        """Every record that names this, also of sources that don't count, and withdrawn ones."""
        rows = self._ask(
            f"SELECT {_RECORD} FROM records r JOIN files f ON f.id = r.file"
            " JOIN sources s ON s.id = r.source WHERE r.id IN"
            " (SELECT record FROM names WHERE name = ?) ORDER BY s.name, f.path",
            (name,),
        )
        return [replace(_advisory(row), affected=self._packages_of(row[0])) for row in rows]

    def _packages_of(self, record: int) -> tuple[Affected, ...]:
        rows = self._ask(
            "SELECT a.said, p.ecosystem, p.name, a.place FROM affected a"
            " JOIN packages p ON p.id = a.package WHERE a.record = ? ORDER BY a.place",
            (record,),
        )
        return tuple(tables.unpack_affected(*row) for row in rows)

    def aliases(self, names: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """By which names the records that have one of these as id or alias call the same flaw."""
        found: dict[str, set[str]] = {}
        for name, other in self._ask_all(
            "SELECT n.name, o.name FROM names n JOIN names o ON o.record = n.record"
            " JOIN records r ON r.id = n.record JOIN sources s ON s.id = r.source"
            " WHERE n.how <= 1 AND o.how <= 1 AND s.counts AND r.withdrawn = '' AND n.name IN ({})",
            names,
        ):
            found.setdefault(name, set()).add(other)
        return {name: frozenset(others) for name, others in found.items()}

    def scores(self, names: Iterable[str]) -> Mapping[str, Sequence[Severity]]:
        """How bad records call the flaws of these names, as a whole."""
        found: dict[str, dict[Severity, None]] = {}
        for name, how, *row in self._ask_all(
            f"SELECT n.name, n.how, {_RECORD} FROM names n JOIN records r ON r.id = n.record"
            " JOIN files f ON f.id = r.file JOIN sources s ON s.id = r.source"
            " WHERE n.how <= 2 AND s.counts AND r.withdrawn = '' AND n.name IN ({})",
            names,
        ):
            advisory = _advisory(row)
            if advisory.severity and (how != tables.UPSTREAM or len(advisory.upstream) == 1):
                found.setdefault(name, {}).update(dict.fromkeys(advisory.severity))
        return {name: tuple(sorted(scores)) for name, scores in found.items()}

    def mark(self) -> str:
        """Where the store stands now, for `changed_since`."""
        values = dict(self._ask("SELECT key, value FROM store"))
        return f"{values['id']}:{values['generation']}"

    def changed_since(self, mark: str) -> Changed:
        """What was added or changed by the imports after a mark; of sources that count."""
        now = self.mark()
        store, _, generation = mark.partition(":")
        ours, _, newest = now.partition(":")
        known = store == ours and generation.isdecimal() and int(generation) <= int(newest)
        since = int(generation) if known else -1
        counted = "JOIN sources s ON s.id = {}.source WHERE s.counts AND {}.generation > ?"
        records = counted.format("r", "r") + " AND r.withdrawn = ''"
        flaws = {
            row[0]
            for question in (
                f"SELECT r.name FROM records r {records}",
                f"SELECT e.cve FROM exploited e {counted.format('e', 'e')}",
                "SELECT f.flaw FROM statement_flaws f JOIN statements t ON t.id = f.statement "
                + counted.format("t", "t"),
            )
            for row in self._ask(question, (since,))
        }
        packages = self._ask(
            "SELECT DISTINCT p.ecosystem, p.name FROM records r JOIN affected a ON a.record = r.id"
            f" JOIN packages p ON p.id = a.package {records}",
            (since,),
        )
        return Changed(now, not known, frozenset(flaws), frozenset(packages))


_RECORD: Final = "r.id, r.name, r.withdrawn, r.said, s.name, f.path"
_ABOUT: Final = (
    "WITH asked (ecosystem, name) AS (VALUES {}) "
    f"SELECT p.ecosystem, p.name, a.place, a.said, {_RECORD} FROM asked"
    " CROSS JOIN packages p ON p.ecosystem = asked.ecosystem AND p.name = asked.name"
    " CROSS JOIN affected a ON a.package = p.id CROSS JOIN records r ON r.id = a.record"
    " JOIN files f ON f.id = r.file JOIN sources s ON s.id = r.source"
    " WHERE s.counts AND r.withdrawn = ''"
)


def _advisory(row: Sequence[Any]) -> Advisory:
    _, name, withdrawn, said, source, file = row
    return tables.unpack_record(said, name=name, source=source, withdrawn=withdrawn, file=file)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; nobody else writes meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
