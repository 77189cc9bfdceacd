"""The store: what it answers, of whom, and what it says has changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from allod.advisories.finding import Advisories, Exploited
from allod.advisories.intake import Intake, import_source
from allod.advisories.osv import decode_advisory
from allod.advisories.store import AdvisoryStore
from allod.advisories.store_sources import entries, let_count, remove_source
from allod.errors import Conflict, InvalidInput, Unavailable

NOW = datetime(2026, 5, 1, tzinfo=UTC)
VECTORS = Path(__file__).parents[2] / "vectors" / "advisories"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AdvisoryStore]:
    with AdvisoryStore(tmp_path / "a" / "advisories.sqlite3") as made:
        yield made


def record(name: str, *packages: tuple[str, str], **members: Any) -> dict[str, Any]:
    events = [{"introduced": "0"}, {"fixed": "2"}]
    return {
        "id": name,
        "modified": "2026-01-01T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": ecosystem, "name": package},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }
            for ecosystem, package in packages
        ],
        **members,
    }


def take(store: AdvisoryStore, source: str, **files: Any) -> Intake:
    """Import files, written down as JSON."""
    place = store.path.parent.parent / "in" / source
    place.mkdir(parents=True, exist_ok=True)
    for path in place.iterdir():
        path.unlink()
    for name, value in files.items():
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        (place / f"{name}.json").write_bytes(data)
    return import_source(store, place, source=source, now=NOW)


def ids(store: AdvisoryStore, ecosystem: str, name: str) -> list[str]:
    found = store.about([(ecosystem, name)])
    return sorted(one.advisory.id for one in found.get((ecosystem, name), ()))


def test_what_was_read_is_answered_whole(store: AdvisoryStore) -> None:
    """Every published record comes out of the store as it was read, but for its packages' names."""
    import_source(store, VECTORS / "osv", source="osv", now=NOW)
    for path in sorted((VECTORS / "osv").iterdir()):
        said = decode_advisory(path.read_bytes(), source="osv", file=path.name)
        (kept,) = [one for one in store.records(said.id) if one.file == path.name]
        names = [one.name for one in kept.affected]
        assert [name.lower() for name in names] == [one.name.lower() for one in said.affected]
        assert kept.severity == said.severity
        for ours, theirs in zip(kept.affected, said.affected, strict=True):
            assert (ours.ranges, ours.versions, ours.severity, ours.ecosystem, ours.place) == (
                theirs.ranges,
                theirs.versions,
                theirs.severity,
                theirs.ecosystem,
                theirs.place,
            )
        assert (kept.aliases, kept.upstream, kept.related, kept.withdrawn, kept.licence) == (
            said.aliases,
            said.upstream,
            said.related,
            said.withdrawn,
            said.licence,
        )


def test_a_package_is_found_by_the_name_of_its_ecosystem(store: AdvisoryStore) -> None:
    """Names are compared as the ecosystem does; a record without release speaks of all of them."""
    known: Advisories = store
    take(
        store,
        "s",
        a=record("A", ("PyPI", "Ruamel.YAML"), ("PyPI", "other")),
        b=record("B", ("Debian:12", "curl")),
        c=record("C", ("Debian", "curl")),
        d=record("D", ("Debian:11", "curl")),
    )
    assert ids(store, "PyPI", "ruamel-yaml") == ["A"]
    assert ids(store, "Debian:12", "curl") == ["B", "C"]
    assert ids(store, "Debian:13", "curl") == ["C"]
    assert ids(store, "Debian", "curl") == ["C"]
    many = [("PyPI", f"p{number}") for number in range(500)]
    found = known.about([*many, ("PyPI", "ruamel-yaml"), ("Debian:11", "curl")])
    assert {key: len(some) for key, some in found.items()} == {
        ("PyPI", "ruamel-yaml"): 1,
        ("Debian:11", "curl"): 2,
    }
    (one,) = found["PyPI", "ruamel-yaml"]
    assert one.advisory.affected == ()
    assert one.affected.place == 0


def test_one_id_in_several_files_and_packages(store: AdvisoryStore) -> None:
    """Each file of an id counts; so does each place of a package within one record."""
    take(
        store,
        "s",
        a=record("A", ("AlmaLinux:8", "curl"), ("AlmaLinux:8", "curl")),
        b=record("A", ("AlmaLinux:9", "curl"), ("AlmaLinux:8", "curl")),
    )
    assert ids(store, "AlmaLinux:8", "curl") == ["A", "A", "A"]
    assert ids(store, "AlmaLinux:9", "curl") == ["A"]
    assert [one.file for one in store.records("A")] == ["a.json", "b.json"]


def test_withdrawn_and_ignored_do_not_answer(store: AdvisoryStore) -> None:
    """A withdrawn record, and a source that does not count, are kept, shown, and say nothing."""
    take(store, "s", a=record("A", ("PyPI", "x")), b=record("B", ("PyPI", "x"), withdrawn="2026"))
    take(store, "t", a=record("C", ("PyPI", "x"), aliases=["CVE-1-1"]))
    assert ids(store, "PyPI", "x") == ["A", "C"]
    let_count(store, "t", counts=False)
    assert ids(store, "PyPI", "x") == ["A"]
    assert store.aliases(["C"]) == {}
    assert [one.name for one in store.sources() if one.counts] == ["s"]
    assert [one.id for one in store.records("CVE-1-1")] == ["C"]
    assert store.records("B")[0].withdrawn == "2026"
    let_count(store, "t", counts=True)
    assert ids(store, "PyPI", "x") == ["A", "C"]
    with pytest.raises(InvalidInput, match="cannot find a source 'u'"):
        let_count(store, "u", counts=True)


def test_aliases(store: AdvisoryStore) -> None:
    """Aliases of a name are told from both sides; upstream and related join nothing."""
    take(
        store,
        "s",
        a=record("A", aliases=["CVE-1-1"], upstream=["CVE-1-2"], related=["CVE-1-3"]),
        b=record("B", aliases=["CVE-1-1"]),
        c=record("C", aliases=["CVE-1-1"], withdrawn="2026"),
    )
    assert store.aliases(["CVE-1-1", "A", "CVE-1-2", "CVE-1-3"]) == {
        "CVE-1-1": {"A", "B", "CVE-1-1"},
        "A": {"A", "CVE-1-1"},
    }


def test_lists_answer(store: AdvisoryStore) -> None:
    """KEV, EPSS and VEX are told of the flaws that are asked for, and only if they count."""
    for kind in ("kev", "epss", "vex"):
        import_source(store, VECTORS / kind, source=kind, now=NOW)
    assert [one.kinds for one in store.sources()] == [("epss",), ("kev",), ("vex",)]
    asked = ["CVE-2025-48384", "CVE-2021-44228", "CVE-2025-4802", "CVE-1-1"]
    assert store.exploited(asked)["CVE-2025-48384"] == Exploited(
        "CVE-2025-48384", "2025-08-25", "2025-09-15"
    )
    assert store.epss(asked)["CVE-2021-44228"].score == 0.94358
    said = store.statements(asked)
    assert {one.flaws for one in said} == {("CVE-2025-4802",)}
    assert {one.source for one in said} == {"vex"}
    for kind in ("kev", "epss", "vex"):
        let_count(store, kind, counts=False)
    assert (store.exploited(asked), store.epss(asked), store.statements(asked)) == ({}, {}, [])


def test_vex_comes_oldest_first(store: AdvisoryStore) -> None:
    """The last word is the last."""

    def said(at: str, status: str) -> dict[str, Any]:
        return {
            "@context": "https://openvex.dev/ns/v0.2.0",
            "@id": at,
            "author": "Anna",
            "timestamp": at,
            "statements": [{"vulnerability": "CVE-1-1", "status": status, "products": ["pkg:a/b"]}],
        }

    take(store, "v", a=said("2026-02-01", "fixed"), b=said("2026-01-01", "affected"))
    assert [one.status for one in store.statements(["CVE-1-1"])] == ["affected", "fixed"]


def test_what_changed_since_a_mark(store: AdvisoryStore) -> None:
    """New and changed entries of sources that count, once; an unknown mark means everything."""
    take(store, "s", a=record("A", ("PyPI", "x")), b=record("B", ("PyPI", "y")))
    first = store.mark()
    quiet = store.changed_since(first)
    assert (quiet.everything, quiet.flaws, quiet.packages) == (False, set(), set())
    everything = store.changed_since("elsewhere:7")
    assert everything.everything
    assert everything.flaws == {"A", "B"}
    newer = record("B", ("PyPI", "y"), modified="2026-02-01")
    gone = record("D", ("PyPI", "w"), withdrawn="2026")
    take(store, "s", a=record("A", ("PyPI", "x")), b=newer, c=record("C", ("PyPI", "z")), d=gone)
    changed = store.changed_since(first)
    assert not changed.everything
    assert changed.flaws == {"B", "C"}
    assert changed.packages == {("PyPI", "y"), ("PyPI", "z")}
    assert changed.mark == store.mark() != first
    let_count(store, "s", counts=False)
    assert store.changed_since(first).flaws == set()
    second = store.mark()
    let_count(store, "s", counts=True)
    assert store.changed_since(second).flaws == {"A", "B", "C"}
    ours, _, newest = store.mark().partition(":")
    for strange in (f"{ours}:{int(newest) + 1}", f"{ours}:", f"{ours}:-1", ""):
        assert store.changed_since(strange).everything, strange


def test_only_new_lines_of_a_list_are_new(store: AdvisoryStore) -> None:
    """A catalogue that grew by a line is new by that line."""
    lines = [{"cveID": "CVE-1-1", "dateAdded": "d"}, {"cveID": "CVE-1-2", "dateAdded": "d"}]
    kev = {"catalogVersion": "1", "vulnerabilities": lines[:1]}
    take(store, "kev", k=kev)
    mark = store.mark()
    done = take(store, "kev", k={**kev, "vulnerabilities": lines})
    assert (done.added, done.changed, done.removed, done.unchanged) == (1, 0, 0, 1)
    assert store.changed_since(mark).flaws == {"CVE-1-2"}
    let_count(store, "kev", counts=False)
    assert store.changed_since(mark).flaws == set()
    let_count(store, "kev", counts=True)
    done = take(store, "kev", k={**kev, "vulnerabilities": lines[1:]})
    assert (done.added, done.changed, done.removed, done.unchanged) == (0, 0, 1, 1)


def test_a_source_goes_with_all_that_came_from_it(store: AdvisoryStore) -> None:
    """Nothing of it answers or is left behind; the others stay."""
    for kind in ("osv", "kev", "epss", "vex"):
        import_source(store, VECTORS / kind, source=kind, now=NOW)
    take(store, "s", a=record("A", ("PyPI", "waitress")))
    for kind in ("osv", "kev", "epss", "vex"):
        assert remove_source(store, kind) > 0
    rows = {
        table: store.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in (
            "sources",
            "files",
            "records",
            "names",
            "packages",
            "affected",
            "exploited",
            "epss",
            "statements",
            "statement_flaws",
        )
    }
    assert rows == {
        "sources": 1,
        "files": 1,
        "records": 1,
        "names": 1,
        "packages": 1,
        "affected": 1,
        "exploited": 0,
        "epss": 0,
        "statements": 0,
        "statement_flaws": 0,
    }
    with pytest.raises(InvalidInput, match="cannot find a source 'osv'"):
        remove_source(store, "osv")


def test_nothing_is_left_behind_by_what_changed(store: AdvisoryStore) -> None:
    """Rows of the state before don't pile up: after changes it is as if taken in afresh."""
    take(store, "s", a=record("A", ("PyPI", "x"), aliases=["CVE-1-1"]), b=record("B", ("npm", "y")))
    take(store, "s", a=record("A", ("PyPI", "z"), aliases=["CVE-1-2"]))
    ask = store.connection.execute
    assert ask("SELECT name FROM names ORDER BY name").fetchall() == [("A",), ("CVE-1-2",)]
    assert ask("SELECT ecosystem, name FROM packages").fetchall() == [("PyPI", "z")]
    assert ask("SELECT count(*) FROM affected").fetchall() == [(1,)]
    assert ask("SELECT count(*) FROM records").fetchall() == [(1,)]


def test_what_is_in_a_source(store: AdvisoryStore) -> None:
    """All its entries, or those about one package."""
    take(store, "s", a=record("A", ("PyPI", "x")), b=record("B", ("PyPI", "y"), withdrawn="2026"))
    assert [(one.id, one.kind, one.file, one.withdrawn) for one in entries(store, "s")] == [
        ("A", "osv", "a.json", ""),
        ("B", "osv", "b.json", "2026"),
    ]
    assert [one.id for one in entries(store, "s", "y")] == ["B"]
    import_source(store, VECTORS / "vex", source="vex", now=NOW)
    assert {one.kind for one in entries(store, "vex")} == {"vex"}


def test_files_that_are_no_store(store: AdvisoryStore) -> None:
    """No file, a damaged one, and one of another format are told apart, with what to do."""
    with pytest.raises(Unavailable) as absent:
        store.sources()
    assert absent.value.code == "no-advisories"
    take(store, "s", a=record("A", ("PyPI", "x")))
    store.connection.execute("PRAGMA user_version = 99")
    with pytest.raises(InvalidInput, match="another format; remove it"):
        store.open()
    store.close()
    store.path.write_bytes(b"no database at all, but long enough" * 100)
    with pytest.raises(InvalidInput) as damaged:
        store.sources()
    assert damaged.value.code == "bad-advisories"


def test_a_reader_changes_nothing_and_two_imports_exclude_each_other(
    store: AdvisoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks up cannot write; whoever imports while another does is told to wait."""
    take(store, "s", a=record("A", ("PyPI", "x")))
    reader = AdvisoryStore(store.path).open()
    with pytest.raises(Exception, match="readonly"):
        reader.connection.execute("DELETE FROM records")
    store.connection.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("allod.advisories.store._WAIT", 0.01)
    other = AdvisoryStore(store.path)
    with pytest.raises(Conflict) as busy:
        take(other, "s", a=record("A", ("PyPI", "x")))
    assert busy.value.code == "advisories-busy"
    assert ids(reader, "PyPI", "x") == ["A"]
    store.connection.execute("ROLLBACK")
    reader.close()
    other.close()
