"""`allod advisories`: what it says of what it took in, to people and to programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allod.cli.vulnerabilities.known import advisories, anything_known
from allod.errors import Unavailable
from allod.program import main

VECTORS = Path(__file__).parents[2] / "vectors" / "advisories"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Exit status, standard output and error of a verb on an empty machine."""
    monkeypatch.setenv("ALLOD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")  # a narrow terminal breaks long cells

    def act(*words: str | Path) -> tuple[int, str, str]:
        status = main(["advisories", *map(str, words)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return act


def answer(run: Run, *words: str | Path) -> Any:
    status, out, error = run(*words, "--json")
    assert status == 0, error
    return json.loads(out)


def test_import_and_again(run: Run) -> None:
    """It says what came in; the same again says that nothing changed."""
    said = answer(run, "import", VECTORS / "osv", "--source", "osv", "--licence", "various")
    assert {key: said[key] for key in ("source", "added", "changed", "refused")} == {
        "source": "osv", "added": 19, "changed": 0, "refused": [],
    }  # fmt: skip
    assert said["mark"].endswith(":1")
    status, out, _ = run("import", VECTORS / "osv", "--source", "osv")
    assert status == 0
    assert "osv: 0 new, 0 changed, 0 gone, 19 as they were." in out


def test_what_cannot_be_read_is_said(run: Run, tmp_path: Path) -> None:
    """The first of many with the import, all of them with `refused`; the rest is in."""
    place = tmp_path / "in"
    place.mkdir()
    for number in range(12):
        (place / f"{number:02}.json").write_text('{"id": "A", "modified": 7}')
    (place / "good.json").write_text('{"id": "A", "modified": "2026"}')
    (place / "README.md").write_text("hello")
    status, out, _ = run("import", place, "--source", "s")
    assert status == 0
    assert "s: 1 new" in out
    assert "1 file left aside" in out
    assert "12 files not read; what stood there before stays:" in out
    assert (
        "cannot read '00.json': Expected `str`, got `int` - at `$.modified` [bad-document]" in out
    )
    assert "11.json" not in out
    assert "'allod advisories refused s' shows all" in out
    every = answer(run, "refused", "s")["refused"]
    assert [one["file"] for one in every] == [f"{number:02}.json" for number in range(12)]
    assert answer(run, "sources")["sources"][0]["refused"] == 12


def test_sources(run: Run) -> None:
    """Their age, licence and number; which count is the owner's word."""
    assert run("sources") == (0, "No sources yet.\n", "")
    run("import", VECTORS / "kev", "--source", "kev", "--licence", "CC0-1.0")
    run("import", VECTORS / "vex", "--source", "vex")
    said = answer(run, "sources", "--ignore", "vex")["sources"]
    assert [(one["name"], one["counts"], one["licence"], one["kinds"]) for one in said] == [
        ("kev", True, "CC0-1.0", ["kev"]),
        ("vex", False, "", ["vex"]),
    ]
    _, out, _ = run("sources", "--count", "vex")
    assert [line.split()[:4] for line in out.splitlines()[1:]] == [
        ["kev", "yes", "kev", "3"],
        ["vex", "yes", "vex", str(said[1]["records"])],
    ]
    assert run("sources", "--count", "other")[0] == 2


def test_show_tells_all_that_is_known(run: Run) -> None:
    """Records by any of their names, exploitation, scores and VEX; a source that is ignored, too."""
    for kind in ("osv", "kev", "epss", "vex"):
        run("import", VECTORS / kind, "--source", kind)
    run("sources", "--ignore", "osv")
    status, out, _ = run("show", "CVE-2022-31015")
    assert status == 0
    assert "PYSEC-2022-205  (osv, which does not count; PYSEC-2022-205.json)" in out
    assert "also: CVE-2022-31015, GHSA-f5x9-8jwc-25rw" in out
    assert "PyPI waitress: GIT introduced 0" in out
    assert "EPSS 0.004, higher than 62%" in out
    said = answer(run, "show", "CVE-2021-44228")
    assert said["exploited"]["ransomware"] is True
    assert "Exploited, since 2021-12-10" in run("show", "CVE-2021-44228")[1]
    assert "Docker Hardened Images" in run("show", "CVE-2025-4802")[1]
    assert "withdrawn" in run("show", "BELL-CVE-2000-0344")[1]
    assert run("show", "CVE-1900-1")[0] == 2


def test_list_and_remove(run: Run) -> None:
    """What is in a source; and out it goes, after a yes."""
    run("import", VECTORS / "osv", "--source", "osv")
    said = answer(run, "list", "osv", "--package", "waitress")["entries"]
    assert [one["id"] for one in said] == ["PYSEC-2022-205"]
    assert len(answer(run, "list", "osv")["entries"]) == 19
    assert run("remove", "osv")[0] == 2
    assert answer(run, "remove", "osv", "--yes")["removed"] == 19
    assert run("list", "osv")[0] == 2
    assert answer(run, "sources")["sources"] == []


def test_bad_words(run: Run, tmp_path: Path) -> None:
    """A missing path, a bad name, an unknown flaw and an empty machine have their codes."""
    assert "[no-advisories]" in run("show", "CVE-1-1")[2]
    assert "[not-found]" in run("import", tmp_path / "absent", "--source", "s")[2]
    assert "[bad-name]" in run("import", VECTORS, "--source", "not a name")[2]
    assert "[not-found]" in run("show", "CVE-1-1")[2]


def test_a_store_without_sources_that_count_is_no_answer(run: Run, tmp_path: Path) -> None:
    """An import that failed, or a source that is ignored, leaves nothing that could say 'clean'."""
    run("import", tmp_path / "absent", "--source", "s")
    assert not anything_known()
    run("import", VECTORS / "osv", "--source", "s")
    assert anything_known()
    run("sources", "--ignore", "s")
    assert not anything_known()
    with pytest.raises(Unavailable, match="no source of advisories counts"), advisories():
        pass
