"""What an owner decides of whole sources: which count, which go; and what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from allod.advisories.store import AdvisoryStore, transaction
from allod.advisories.store_writer import ENTRIES, forget_packages
from allod.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a source."""

    id: str
    kind: str  #: osv, kev, epss, vex
    file: str
    withdrawn: str = ""


def let_count(store: AdvisoryStore, name: str, *, counts: bool) -> None:
    """Let a source answer, or not. What begins to count is new to whoever asks what changed.

    Raises:
        InvalidInput: `not-found`.
    """
    store.open(readonly=False)
    with store.faults(), transaction(store.connection):
        do = store.connection.execute
        number, before = _find(store, name)
        if before == counts:
            return
        do("UPDATE sources SET counts = ? WHERE id = ?", (counts, number))
        do("UPDATE store SET value = value + 1 WHERE key = 'generation'")
        if counts:
            for table in ("records", "exploited", "statements"):
                do(
                    f"UPDATE {table} SET generation ="
                    " (SELECT value FROM store WHERE key = 'generation') WHERE source = ?",
                    (number,),
                )


def remove_source(store: AdvisoryStore, name: str) -> int:
    """Take a source out with all that came from it; how many entries that were.

    Raises:
        InvalidInput: `not-found`.
    """
    store.open(readonly=False)
    with store.faults(), transaction(store.connection):
        do = store.connection.execute
        row = _find(store, name)[:1]
        records = "(SELECT id FROM records WHERE source = ?)"
        statements = "(SELECT id FROM statements WHERE source = ?)"
        do(f"DELETE FROM affected WHERE record IN {records}", row)
        do(f"DELETE FROM names WHERE record IN {records}", row)
        do(f"DELETE FROM statement_flaws WHERE statement IN {statements}", row)
        gone = sum(do(f"DELETE FROM {table} WHERE source = ?", row).rowcount for table in ENTRIES)
        do("DELETE FROM files WHERE source = ?", row)
        do("DELETE FROM sources WHERE id = ?", row)
        do("UPDATE store SET value = value + 1 WHERE key = 'generation'")
        forget_packages(do)
    return gone


def entries(store: AdvisoryStore, source: str, package: str = "") -> Sequence[Listed]:
    """What is in a source, by id; of records only those about a package, if one is named.

    Raises:
        InvalidInput: `not-found`.
    """
    number, _ = _find(store, source)
    about = (
        " AND e.id IN (SELECT a.record FROM affected a JOIN packages p ON p.id = a.package"
        " WHERE p.name = ?)"
    )
    with store.faults():
        do = store.connection.execute
        question = (
            "SELECT e.name, f.path, e.withdrawn FROM records e JOIN files f ON f.id = e.file"
            f" WHERE e.source = ?{about if package else ''} ORDER BY e.name, f.path"
        )
        values = (number, package) if package else (number,)
        found = [Listed(name, "osv", file, gone) for name, file, gone in do(question, values)]
        if package:
            return found
        for kind, question in (
            ("kev", "SELECT cve, path FROM exploited e JOIN files f ON f.id = file"),
            ("epss", "SELECT cve, path FROM epss e JOIN files f ON f.id = file"),
            (
                "vex",
                "SELECT DISTINCT flaw, path FROM statement_flaws"  # noqa: ISC004
                " JOIN statements e ON e.id = statement JOIN files f ON f.id = file",
            ),
        ):
            rows = do(f"{question} WHERE e.source = ? ORDER BY 1, 2", (number,))
            found.extend(Listed(name, kind, file) for name, file in rows)
    return found


def _find(store: AdvisoryStore, name: str) -> tuple[int, bool]:
    with store.faults():
        row = store.connection.execute(
            "SELECT id, counts FROM sources WHERE name = ?", (name,)
        ).fetchone()
    if row is None:
        raise InvalidInput(
            "not-found", f"cannot find a source {name[:60]!r}: see 'allod advisories sources'"
        )
    return int(row[0]), bool(row[1])
