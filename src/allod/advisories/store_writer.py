"""Writing one source into the store, within one transaction of the caller's."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from allod.advisories import tables
from allod.advisories.advisory import Advisory
from allod.advisories.finding import Epss, Exploited, VexStatement
from allod.errors import InvalidInput

_BATCH: Final = 20_000  #: rows that wait to be written together
_PACKAGES: Final = 100_000  #: packages whose numbers are remembered


class Seen(Enum):
    """How a file stands to what the store knows."""

    NEW = auto()
    CHANGED = auto()
    UNCHANGED = auto()
    TWICE = auto()  #: it was there before in this very import


@dataclass(slots=True)
class Counts:
    """What became of the entries: records, or lines of a list."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0


class SourceWriter:
    """Takes a source's files one by one; what is not taken again is gone at the end.

    Args:
        connection: within a transaction.
        name: the source.
        normalise: a package's name as its ecosystem compares it.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        name: str,
        normalise: Callable[[str, str], str],
    ) -> None:
        self.counts = Counts()
        self._do = connection.execute
        self._many = connection.executemany
        self._normalise = normalise
        self.source, reader = self._enter(name)
        self._afresh = reader != tables.READER
        self.generation = self._raise_generation()
        self._file = self._next("files")
        self._record = self._next("records")
        self._package = self._next("packages")
        self._packages: dict[tuple[str, str], int] = {}
        self._waiting: dict[str, list[tuple[object, ...]]] = {key: [] for key in _INSERTS}
        self._do("CREATE TEMP TABLE IF NOT EXISTS seen (file INTEGER PRIMARY KEY)")
        self._do("DELETE FROM seen")

    def _enter(self, name: str) -> tuple[int, int]:
        row = self._do("SELECT id, reader FROM sources WHERE name = ?", (name,)).fetchone()
        if row is not None:
            return int(row[0]), int(row[1])
        made = self._do(
            "INSERT INTO sources (name, kinds, licence, origin, revision, counts, at, reader,"
            " records, refused, ignored) VALUES (?, '', '', '', '', 1, '', ?, 0, 0, 0)",
            (name, tables.READER),
        )
        return int(made.lastrowid or 0), tables.READER

    def _raise_generation(self) -> int:
        self._do("UPDATE store SET value = value + 1 WHERE key = 'generation'")
        return int(self._do("SELECT value FROM store WHERE key = 'generation'").fetchone()[0])

    def _next(self, table: str) -> int:
        newest = self._do(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]
        return int(newest) + 1

    def file(self, path: str, data: bytes) -> tuple[int, Seen]:
        """Enter a file by its content; unless it is unchanged, its entries are to be given next."""
        digest = hashlib.sha256(data).digest()
        row = self._do(
            "SELECT id, digest, code FROM files WHERE source = ? AND path = ?", (self.source, path)
        ).fetchone()
        if row is None:
            number = self._file
            self._file += 1
            self._do(
                "INSERT INTO files (id, source, path, digest) VALUES (?, ?, ?, ?)",
                (number, self.source, path, digest),
            )
            self._do("INSERT INTO seen VALUES (?)", (number,))
            return number, Seen.NEW
        number, known, code = row
        if self._do("INSERT OR IGNORE INTO seen VALUES (?)", (number,)).rowcount == 0:
            return number, Seen.TWICE
        if known == digest and not code and not self._afresh:
            return number, Seen.UNCHANGED
        self._do("UPDATE files SET digest = ?, code = '', why = '' WHERE id = ?", (digest, number))
        return number, Seen.CHANGED

    def refuse(self, path: str, error: InvalidInput) -> None:
        """A file that can't be read; what was read of it by an earlier import stays."""
        row = self._do(
            "SELECT id FROM files WHERE source = ? AND path = ?", (self.source, path)
        ).fetchone()
        if row is None:
            number = self._file
            self._file += 1
            self._do(
                "INSERT INTO files (id, source, path, digest) VALUES (?, ?, ?, x'')",
                (number, self.source, path),
            )
        else:
            number = row[0]
        self._do("INSERT OR IGNORE INTO seen VALUES (?)", (number,))
        self._do(
            "UPDATE files SET code = ?, why = ? WHERE id = ?", (error.code, error.message, number)
        )

    def advisory(self, file: int, said: Advisory, *, new: bool) -> None:
        """The record of a file, in place of what the file held."""
        replaced = 0 if new else self._clear(file)
        self.counts.changed += min(replaced, 1)
        self.counts.added += replaced == 0
        record = self._record
        self._record += 1
        add = self._waiting
        add["records"].append(
            (
                record,
                file,
                self.source,
                said.id,
                said.withdrawn,
                self.generation,
                tables.pack_record(said),
            )
        )
        names = {(said.id, tables.ITSELF): None}
        for how, others in (
            (tables.ALIAS, said.aliases),
            (tables.UPSTREAM, said.upstream),
            (tables.RELATED, said.related),
        ):
            names |= dict.fromkeys((one, how) for one in others)
        add["names"].extend((name, record, how) for name, how in names)
        add["affected"].extend(
            (
                self._package_of(one.ecosystem, one.name),
                record,
                one.place,
                tables.pack_affected(one),
            )
            for one in said.affected
        )
        if len(add["affected"]) + len(add["names"]) > _BATCH:
            self._flush()

    def _package_of(self, ecosystem: str, name: str) -> int:
        key = ecosystem, name
        known = self._packages.get(key)
        if known is not None:
            return known
        normal = ecosystem, self._normalise(ecosystem, name)
        row = self._do(
            "SELECT id FROM packages WHERE ecosystem = ? AND name = ?", normal
        ).fetchone()
        if row is None:
            number = self._package
            self._package += 1
            self._do("INSERT INTO packages VALUES (?, ?, ?)", (number, *normal))
        else:
            number = int(row[0])
        if len(self._packages) >= _PACKAGES:
            self._packages.clear()
        self._packages[key] = number
        return number

    def _flush(self) -> None:
        for table, rows in self._waiting.items():
            self._many(_INSERTS[table], rows)
            rows.clear()

    def _clear(self, file: int) -> int:
        """Forget what a file held; how many entries that were."""
        self._flush()
        gone = 0
        records = "(SELECT id FROM records WHERE file = ?)"
        statements = "(SELECT id FROM statements WHERE file = ?)"
        self._do(f"DELETE FROM affected WHERE record IN {records}", (file,))
        self._do(f"DELETE FROM names WHERE record IN {records}", (file,))
        self._do(f"DELETE FROM statement_flaws WHERE statement IN {statements}", (file,))
        for table in ENTRIES:
            gone += self._do(f"DELETE FROM {table} WHERE file = ?", (file,)).rowcount
        return gone

    def exploited(self, file: int, said: Sequence[Exploited]) -> None:
        """The list of a file; what stood in it before keeps its age."""
        known = {
            row[0]: row[1:]
            for row in self._do(
                "SELECT cve, added, due, ransomware, generation FROM exploited WHERE file = ?",
                (file,),
            )
        }
        self._clear(file)
        rows = []
        for one in {entry.cve: entry for entry in said}.values():
            values = (one.added, one.due, int(one.ransomware))
            before = known.pop(one.cve, None)
            same = before is not None and before[:3] == values
            self._count(new=before is None, same=same)
            generation = before[3] if same and before is not None else self.generation
            rows.append((one.cve, file, self.source, generation, *values))
        self.counts.removed += len(known)
        self._many("INSERT INTO exploited VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def epss(self, file: int, said: Iterable[Epss]) -> None:
        """The scores of a file."""
        replaced = self._clear(file)
        before = self._do("SELECT count(*) FROM epss").fetchone()[0]
        self._many(
            "INSERT OR REPLACE INTO epss VALUES (?, ?, ?, ?, ?, ?)",
            ((one.cve, file, self.source, one.score, one.percentile, one.at) for one in said),
        )
        now = self._do("SELECT count(*) FROM epss").fetchone()[0] - before
        self.counts.changed += min(replaced, now)
        self.counts.added += max(0, now - replaced)
        self.counts.removed += max(0, replaced - now)

    def statements(self, file: int, said: Sequence[VexStatement]) -> None:
        """The statements of a document; what stood in it before keeps its age."""
        known = dict(
            self._do("SELECT said, generation FROM statements WHERE file = ?", (file,)).fetchall()
        )
        self._clear(file)
        for one in said:
            packed = tables.pack_statement(one)
            before = known.pop(packed, None)
            self._count(new=before is None, same=before is not None)
            made = self._do(
                "INSERT INTO statements (file, source, generation, at, said)"
                " VALUES (?, ?, ?, ?, ?)",
                (file, self.source, before or self.generation, one.at, packed),
            )
            self._many(
                "INSERT OR IGNORE INTO statement_flaws VALUES (?, ?)",
                [(flaw, made.lastrowid) for flaw in one.flaws],
            )
        self.counts.removed += len(known)

    def _count(self, *, new: bool, same: bool) -> None:
        self.counts.added += new
        self.counts.changed += not new and not same

    def finish(
        self, *, at: str, origin: str, revision: str, licence: str | None, ignored: int
    ) -> None:
        """Forget what is no longer there, and write down what the source is now."""
        self._flush()
        gone = self._do(
            "SELECT id FROM files WHERE source = ? AND id NOT IN (SELECT file FROM seen)",
            (self.source,),
        ).fetchall()
        for (file,) in gone:
            self.counts.removed += self._clear(file)
            self._do("DELETE FROM files WHERE id = ?", (file,))
        if gone or self.counts.changed:
            forget_packages(self._do)
        kinds, total = [], 0
        for table, kind in ENTRIES.items():
            found = self._do(f"SELECT count(*) FROM {table} WHERE source = ?", (self.source,))
            count = found.fetchone()[0]
            total += count
            if count:
                kinds.append(kind)
        self.counts.unchanged = max(0, total - self.counts.added - self.counts.changed)
        self._do(
            "UPDATE sources SET kinds = ?, origin = ?, revision = ?, at = ?, reader = ?,"
            " records = ?, ignored = ?, licence = coalesce(?, licence), refused ="
            " (SELECT count(*) FROM files WHERE source = ?1 AND code <> '') WHERE id = ?1".replace(
                "?1", str(self.source)
            ),
            (" ".join(kinds), origin, revision, at, tables.READER, total, ignored, licence),
        )
        self._do("DROP TABLE seen")


def forget_packages(do: Callable[[str], object]) -> None:
    """Packages that nobody speaks of any more."""
    do("DELETE FROM packages WHERE NOT EXISTS (SELECT 1 FROM affected WHERE package = packages.id)")


#: Tables of entries, and the kind of source that has them.
ENTRIES: Final = {"records": "osv", "exploited": "kev", "epss": "epss", "statements": "vex"}
_INSERTS: Final = {
    "records": "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)",
    "names": "INSERT INTO names VALUES (?, ?, ?)",
    "affected": "INSERT INTO affected VALUES (?, ?, ?, ?)",
}
