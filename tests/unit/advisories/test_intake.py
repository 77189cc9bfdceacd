"""Taking sources in: from every form of them, again and again, and with hostile files in them."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from allod.advisories import intake_archives, tables
from allod.advisories.intake import Intake, Kind, import_source
from allod.advisories.intake_git import revision_of
from allod.advisories.store import AdvisoryStore
from allod.errors import InvalidInput, Refused

NOW = datetime(2026, 5, 1, tzinfo=UTC)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
Files = dict[str, bytes]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AdvisoryStore]:
    with AdvisoryStore(tmp_path / "advisories.sqlite3") as made:
        yield made


def record(name: str, **members: Any) -> bytes:
    package = {"ecosystem": "PyPI", "name": name.lower()}
    said = {"id": name, "modified": "2026", "affected": [{"package": package, "versions": ["1"]}]}
    return json.dumps({**said, **members}).encode()


GOOD: Files = {"README.md": b"hello", "a/A.json": record("A"), "b.d/B.json": record("B")}


def directory(place: Path, files: Files) -> Path:
    for name, data in files.items():
        (place / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "tree" / name).write_bytes(data)
    return place / "tree"


def tar_bytes(files: Files, *more: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in more:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return out.getvalue()


def tar(place: Path, files: Files) -> Path:
    return written(place / "x.tar", tar_bytes(files))


def tar_gz(place: Path, files: Files) -> Path:
    return written(place / "x.tar.gz", gzip.compress(tar_bytes(files)))


def tar_zst(place: Path, files: Files) -> Path:
    return written(place / "x.tar.zst", zstandard.compress(tar_bytes(files)))


def zipped(place: Path, files: Files) -> Path:
    with zipfile.ZipFile(place / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return place / "x.zip"


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def take(store: AdvisoryStore, path: Path, **options: Any) -> Intake:
    return import_source(store, path, source="s", now=NOW, **options)


def content(store: AdvisoryStore) -> dict[str, str]:
    """File -> id, of all that answers."""
    rows = store.connection.execute(
        "SELECT path, name FROM records JOIN files ON files.id = file ORDER BY path"
    )
    return dict(rows.fetchall())


FORMS = [directory, tar, tar_gz, tar_zst, zipped]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_source(
    store: AdvisoryStore, tmp_path: Path, form: Callable[[Path, Files], Path]
) -> None:
    """A directory and archives say the same; what is no data is counted; again changes nothing."""
    path = form(tmp_path, GOOD)
    done = take(store, path)
    assert (done.added, done.ignored, done.refused) == (2, 1, ())
    assert content(store) == {"a/A.json": "A", "b.d/B.json": "B"}
    assert store.about([("PyPI", "a")])["PyPI", "a"][0].advisory.file == "a/A.json"
    for other in FORMS:
        (tmp_path / other.__name__).mkdir()
        again = take(store, other(tmp_path / other.__name__, GOOD))
        assert (again.added, again.changed, again.removed, again.unchanged) == (0, 0, 0, 2)


def test_a_source_is_brought_up_to_date(store: AdvisoryStore, tmp_path: Path) -> None:
    """New, changed, gone and unchanged are told apart by content; nothing old is left behind."""
    place = directory(tmp_path, {**GOOD, "C.json": record("C")})
    take(store, place, licence="CC0-1.0")
    (place / "C.json").unlink()
    (place / "D.json").write_bytes(record("D"))
    (place / "a" / "A.json").write_bytes(record("A", aliases=["CVE-1-1"], summary="now"))
    done = take(store, place)
    assert (done.added, done.changed, done.removed, done.unchanged) == (1, 1, 1, 1)
    assert content(store) == {"D.json": "D", "a/A.json": "A", "b.d/B.json": "B"}
    assert store.about([("PyPI", "c")]) == {}
    assert store.records("CVE-1-1")[0].summary == "now"
    (source,) = store.sources()
    assert (source.records, source.licence, source.kinds) == (3, "CC0-1.0", ("osv",))


def test_a_bad_file_stops_nothing_and_takes_nothing_away(
    store: AdvisoryStore, tmp_path: Path
) -> None:
    """What can't be read is listed with its reason each time; what it said before stays."""
    place = directory(tmp_path, GOOD)
    take(store, place)
    (place / "a" / "A.json").write_bytes(b'{"id": "A"')
    (place / "new.json").write_bytes(b"{}")
    (place / "reports.yaml").write_bytes(b"id: C")
    for _ in range(2):
        done = take(store, place)
        assert (done.added, done.changed, done.removed, done.unchanged) == (0, 0, 0, 2)
        assert [(one.file, one.code) for one in done.refused] == [
            ("new.json", "bad-document"),
            ("reports.yaml", "bad-document"),
            ("a/A.json", "bad-json"),
        ]
        assert sorted(store.refused("s"), key=lambda one: one.file) == sorted(
            done.refused, key=lambda one: one.file
        )
        assert list(store.about([("PyPI", "a")])) == [("PyPI", "a")]
        assert store.sources()[0].refused == 3
    (place / "a" / "A.json").write_bytes(record("A"))
    (place / "new.json").unlink()
    (place / "reports.yaml").unlink()
    assert take(store, place).refused == ()
    assert store.refused("s") == []
    with pytest.raises(InvalidInput, match="cannot find a source"):
        store.refused("t")


def test_nothing_readable_is_no_new_state(store: AdvisoryStore, tmp_path: Path) -> None:
    """An empty directory, or one of other things, does not take a source's records away."""
    take(store, directory(tmp_path, GOOD))
    (tmp_path / "empty").mkdir()
    wrong = directory(tmp_path / "wrong", {"package.json": b'{"name": "x"}', "LICENSE": b""})
    for path in (tmp_path / "empty", wrong):
        with pytest.raises(InvalidInput) as caught:
            take(store, path)
        assert caught.value.code == "nothing-there"
    with pytest.raises(InvalidInput, match="it is not there"):
        take(store, tmp_path / "absent")
    assert len(content(store)) == 2


def test_another_source_under_the_same_name_is_refused(
    store: AdvisoryStore, tmp_path: Path
) -> None:
    """What lacks most of what was there looks like another source: it goes only if that is said."""
    place = directory(tmp_path, {f"{number}.json": record(f"N{number}") for number in range(60)})
    take(store, place)
    for number in range(30):
        (place / f"{number}.json").unlink()
    assert take(store, place).removed == 30
    other = directory(tmp_path / "other", GOOD)
    with pytest.raises(Refused, match="30 of the 30 entries") as caught:
        take(store, other)
    assert caught.value.code == "source-shrinks"
    assert len(content(store)) == 30
    assert take(store, other, shrink=True).removed == 30
    assert sorted(content(store).values()) == ["A", "B"]


def test_kinds_are_seen_or_said(store: AdvisoryStore, tmp_path: Path) -> None:
    """A source may hold several kinds; where one is said, all files have to be of it."""
    vex = {
        "@context": "https://openvex.dev/ns", "@id": "x", "author": "A", "timestamp": "t",
        "statements": [{"vulnerability": "CVE-1-1", "status": "fixed", "products": ["pkg:a/b"]}],
    }  # fmt: skip
    mixed = directory(tmp_path, {**GOOD, "v.vex.json": json.dumps(vex).encode()})
    assert take(store, mixed).added == 3
    assert store.sources()[0].kinds == ("osv", "vex")
    done = import_source(store, mixed, source="t", now=NOW, kind=Kind.OSV)
    assert [one.file for one in done.refused] == ["v.vex.json"]
    scores = b"#model_version:1,score_date:2026-05-01\ncve,epss,percentile\nCVE-2026-1000,0.5,0.5\n"
    packed = written(tmp_path / "epss.csv.gz", gzip.compress(scores))
    assert import_source(store, packed, source="e", now=NOW).added == 1
    assert import_source(store, packed, source="e", now=NOW).unchanged == 1
    more = written(tmp_path / "epss.csv", scores + b"CVE-2026-1001,0.5,0.5\n")
    assert import_source(store, more, source="e", now=NOW).added in {1, 2}
    assert store.epss(["CVE-2026-1001"])["CVE-2026-1001"].at == "2026-05-01"


def test_records_in_yaml(store: AdvisoryStore, tmp_path: Path) -> None:
    """As some databases keep them: the same record as in JSON, each value as it is written."""
    vectors = Path(__file__).parents[2] / "vectors" / "advisories"
    place = directory(
        tmp_path,
        {
            "a.yaml": (vectors / "yaml" / "PYSEC-2022-205.yaml").read_bytes(),
            "b.json": (vectors / "osv" / "PYSEC-2022-205.json").read_bytes(),
        },
    )
    assert take(store, place).refused == ()
    yaml, json_ = store.records("PYSEC-2022-205")
    assert replace(yaml, file="", summary="") == replace(json_, file="", summary="")


def test_a_newer_reader_reads_everything_again(
    store: AdvisoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an older program could not read, or read otherwise, is not skipped as unchanged."""
    place = directory(tmp_path, GOOD)
    take(store, place)
    monkeypatch.setattr(tables, "READER", tables.READER + 1)
    assert take(store, place).changed == 2
    assert take(store, place).unchanged == 2


def test_archives_in_a_directory(store: AdvisoryStore, tmp_path: Path) -> None:
    """A stick with an archive an ecosystem is one source; a damaged one of them refuses it all."""
    place = directory(tmp_path, {"kev.json": record("K")})
    for name, form in (("npm", zipped), ("pypi", tar_zst)):
        (place / name).mkdir()
        form(place / name, {"A.json": record("A"), "x.txt": b""})
    scores = b"cve,epss,percentile\nCVE-2026-1000,0.5,0.5\n"
    written(place / "epss.csv.gz", gzip.compress(scores))
    done = take(store, place)
    assert (done.added, done.ignored, done.refused) == (4, 2, ())
    assert sorted(content(store)) == ["kev.json", "npm/x.zip/A.json", "pypi/x.tar.zst/A.json"]
    zipped(place / "npm", {"../A.json": record("A")})
    with pytest.raises(InvalidInput, match="leads out of it"):
        take(store, place)
    assert len(content(store)) == 3


def test_a_directory_that_cannot_be_listed_takes_nothing_away(
    store: AdvisoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records below it would seem to be gone: the import is refused."""
    place = directory(tmp_path, GOOD)
    take(store, place)
    listing = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("b.d"):
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InvalidInput, match="b.d: Permission denied"):
        take(store, place)
    assert len(content(store)) == 2


def test_a_git_checkout(store: AdvisoryStore, tmp_path: Path) -> None:
    """What git keeps for itself is left alone; the commit is told, from a loose or packed one."""
    git = {".git/HEAD": b"ref: refs/heads/main\n", ".git/x.json": record("X")}
    place = directory(tmp_path, {**GOOD, **git, ".git/refs/heads/main": COMMIT.encode() + b"\n"})
    assert take(store, place).revision == COMMIT
    assert "X" not in content(store).values()
    (place / ".git" / "refs" / "heads" / "main").unlink()
    assert revision_of(place) == ""
    packed = f"# pack-refs\n{'f' * 40} refs/heads/other\n{COMMIT} refs/heads/main\n"
    (place / ".git" / "packed-refs").write_text(packed)
    assert take(store, place).revision == COMMIT
    (place / ".git" / "HEAD").write_text(COMMIT)
    assert revision_of(place) == COMMIT
    for hostile in ("ref: refs/../../secret", "ref: /etc/passwd", "rubbish", "ref: \xff"):
        (place / ".git" / "HEAD").write_text(hostile)
        assert revision_of(place) == ""


def test_links_and_special_files_are_not_followed(store: AdvisoryStore, tmp_path: Path) -> None:
    """Neither in a directory nor in an archive; they are listed."""
    place = directory(tmp_path, GOOD)
    secret = written(tmp_path / "secret.json", record("SECRET"))
    (place / "link.json").symlink_to(secret)
    (tmp_path / "other").mkdir()
    written(tmp_path / "other" / "o.json", record("SECRET"))
    (place / "away").symlink_to(tmp_path / "other")
    os.mkfifo(place / "pipe.json")
    done = take(store, place)
    assert [(one.file, one.code) for one in done.refused] == [
        ("away", "bad-file"),
        ("link.json", "bad-file"),
        ("pipe.json", "bad-file"),
    ]
    soft = tarfile.TarInfo("soft.json")
    soft.type, soft.linkname = tarfile.SYMTYPE, str(secret)
    hard = tarfile.TarInfo("hard.json")
    hard.type, hard.linkname = tarfile.LNKTYPE, "a/A.json"
    done = take(store, written(tmp_path / "l.tar", tar_bytes(GOOD, soft, hard)))
    assert [one.file for one in done.refused] == ["soft.json", "hard.json"]
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        linked = zipfile.ZipInfo("link.json")
        linked.external_attr = 0o120777 << 16
        archive.writestr(linked, str(secret))
        archive.writestr("A.json", record("A"))
    assert [one.file for one in take(store, tmp_path / "l.zip").refused] == ["link.json"]
    assert "SECRET" not in content(store).values()


def test_a_file_that_stands_twice(store: AdvisoryStore, tmp_path: Path) -> None:
    """The second of one name in an archive is listed: nobody can say which is meant."""
    first = tar_bytes({"A.json": record("A")})
    twice = first[:1024] + tar_bytes({"A.json": record("B")})
    done = take(store, written(tmp_path / "t.tar", twice))
    assert [(one.file, one.code) for one in done.refused] == [("A.json", "bad-file")]
    assert content(store) == {"A.json": "A"}


@pytest.mark.parametrize("name", ["../A.json", "/A.json", "x/../../A.json", "..\\A.json"])
@pytest.mark.parametrize("form", [tar, tar_zst, zipped])
def test_an_archive_that_leads_out_is_refused(
    store: AdvisoryStore, tmp_path: Path, form: Callable[[Path, Files], Path], name: str
) -> None:
    """As a whole, whatever else is in it; the state before stays."""
    take(store, directory(tmp_path, GOOD))
    with pytest.raises(InvalidInput, match="leads out of it") as caught:
        take(store, form(tmp_path, {"C.json": record("C"), name: record("D")}))
    assert caught.value.code == "bad-archive"
    assert sorted(content(store).values()) == ["A", "B"]


@pytest.mark.parametrize("form", [tar, tar_gz, tar_zst, zipped])
def test_a_cut_archive_is_refused(
    store: AdvisoryStore, tmp_path: Path, form: Callable[[Path, Files], Path]
) -> None:
    """Wherever it is cut, nothing of it is taken, and nothing is removed."""
    take(store, directory(tmp_path, GOOD))
    noise = {
        f"n{number}.json": record(f"N{number}", x=os.urandom(300).hex()) for number in range(9)
    }
    path = form(tmp_path, noise)
    whole = path.read_bytes()
    if form is tar:
        whole = whole[: len(noise) * 1536]  # without what follows the last member
    for length in (len(whole) // 3, len(whole) // 2, len(whole) * 2 // 3, len(whole) - 30):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidInput):
            take(store, path)
        assert sorted(content(store).values()) == ["A", "B"]


@pytest.mark.parametrize("form", [tar_gz, tar_zst, zipped])
def test_a_bomb_is_refused(
    store: AdvisoryStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: Callable[[Path, Files], Path],
) -> None:
    """What grows out of proportion is stopped on the way, in files that are read and in others."""
    monkeypatch.setattr(intake_archives, "_START", 100_000)
    path = form(
        tmp_path, {"A.json": record("A"), "z.json": b" " * 2_000_000, "B.json": record("B")}
    )
    with pytest.raises(InvalidInput, match="times its size") as caught:
        take(store, path)
    assert caught.value.code == "bad-archive"


def test_caps(store: AdvisoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is too large is listed, in every form; a source that is too large is refused."""
    monkeypatch.setattr(intake_archives, "FILE_CAP", 1000)
    files = {**GOOD, "large.json": record("L", x="x" * 1000)}
    for form in FORMS:
        done = take(store, form(tmp_path, files))
        assert [(one.file, one.code) for one in done.refused] == [("large.json", "too-large")]
    monkeypatch.setattr(intake_archives, "FILES_CAP", 1)
    for form in FORMS:
        with pytest.raises(InvalidInput, match="more than 1 files"):
            take(store, form(tmp_path, files))


def test_headers_of_a_tar_cannot_fill_the_memory(store: AdvisoryStore, tmp_path: Path) -> None:
    """A huge or endlessly nested extended header is refused before it is read."""
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE):
        large = tarfile.TarInfo("x")
        large.type, large.size = kind, 100_000
        with pytest.raises(InvalidInput, match="header is too large"):
            take(store, written(tmp_path / "h.tar", large.tobuf() + b"x" * 200_000))
    nested = tarfile.TarInfo("x")
    nested.type, nested.size = tarfile.XGLTYPE, 0
    with pytest.raises(InvalidInput, match="cannot import"):
        take(store, written(tmp_path / "n.tar", nested.tobuf() * 5000 + b"\0" * 1024))


def test_the_directory_of_a_zip_cannot_fill_the_memory(
    store: AdvisoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is too large is refused before it is read."""
    path = zipped(tmp_path, {f"{number}.json": record("A") for number in range(50)})
    monkeypatch.setattr(intake_archives, "_DIRECTORY_CAP", 2000)
    with pytest.raises(InvalidInput, match="its directory is too large"):
        take(store, path)


def test_odd_names_are_kept_readable(store: AdvisoryStore, tmp_path: Path) -> None:
    """A name that is not UTF-8 is shown, and no fault of the record's."""
    place = directory(tmp_path, GOOD)
    (place / os.fsdecode(b"\xff.json")).write_bytes(record("F"))
    assert take(store, place).added == 3
    assert "\N{REPLACEMENT CHARACTER}.json" in content(store)
