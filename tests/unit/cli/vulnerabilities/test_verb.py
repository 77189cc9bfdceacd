"""`allod vulnerabilities FILE`, as it is typed: no fleet, no network, real advisories."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.vulnerabilities.shop import FLAW, sbom, waitress

from allod.advisories.intake import import_source
from allod.advisories.store import AdvisoryStore
from allod.cli.vulnerabilities.counting import count_flaws, flaws_say
from allod.cli.vulnerabilities.known import anything_known
from allod.domain.sbom import Sbom
from allod.program import main

ADVISORIES = Path(__file__).resolve().parents[4] / "demo" / "advisories"
KEV = {
    "catalogVersion": "2026.01.01",
    "vulnerabilities": [
        {"cveID": FLAW, "dateAdded": "2026-01-01", "knownRansomwareCampaignUse": "Known"}
    ],
}
EPSS = "#model_version:v1,score_date:2026-01-02T00:00:00+0000\ncve,epss,percentile\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that knows no fleet."""
    monkeypatch.setenv("ALLOD_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def bill(home: Path) -> Path:
    """A machine with advisories, and an SBOM of three parts on it."""
    store = AdvisoryStore(home / "home" / "advisories" / "advisories.sqlite3")
    (home / "kev.json").write_text(json.dumps(KEV))
    (home / "epss.csv").write_text(f"{EPSS}{FLAW},0.25,0.9\n")
    for name, path in (
        ("pypa", ADVISORIES),
        ("kev", home / "kev.json"),
        ("epss", home / "epss.csv"),
    ):
        import_source(store, path, source=name, now=datetime(2026, 5, 1, tzinfo=UTC))
    store.close()
    npm = {"type": "library", "name": "left-pad", "version": "1", "purl": "pkg:npm/left-pad@1.0.0"}
    path = home / "toaster.cdx.json"
    path.write_bytes(sbom(waitress("2.1.1"), {"type": "library", "name": "blob"}, npm))
    return path


def run(*words: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Status, and what it said."""
    status = main(["vulnerabilities", *map(str, words)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_programs_get_everything(bill: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One flaw under three names is one finding, with all that is known of it and its record."""
    status, out, _ = run(bill, "--json", capsys=capsys)
    found: dict[str, Any] = json.loads(out)
    assert (status, found["about"]) == (0, {"kind": "sbom", "name": str(bill)})
    (one,) = found["findings"]
    assert (one["id"], one["aliases"]) == (FLAW, ["GHSA-f5x9-8jwc-25rw", "PYSEC-2022-205"])
    assert one["exploited"] == {"added": "2026-01-01", "due": "", "ransomware": True}
    assert one["epss"]["score"] == 0.25
    (record,) = one["records"]
    assert (record["id"], record["source"]) == ("PYSEC-2022-205", "pypa")
    assert (one["fixed"], one["releases"], one["devices"]) == (["2.1.2"], [], [])
    assert [(part["code"], part["name"]) for part in found["unknown"]] == [("no-purl", "blob")]
    assert (found["unasked"], found["parts"], found["clean"]) == ({"npm": 1}, 3, 0)
    assert [source["name"] for source in found["sources"]] == ["epss", "kev", "pypa"]


def test_people_read_the_worst_first_and_what_is_unknown_last(
    bill: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every line that matters is there."""
    out = run(bill, capsys=capsys)[1]
    for line in (
        "also GHSA-f5x9-8jwc-25rw, PYSEC-2022-205",
        "! known to be exploited since 2026-01-01, by ransomware too (KEV)",
        "exploited with a likelihood of 25.0% within 30 days, above 90% of all (EPSS)",
        "introduced 2.1.0, fixed 2.1.2 (PyPI, by PYSEC-2022-205 of pypa)",
        "? unknown (no-purl): blob",
        "? no source that counts says anything of npm: 1 part unasked",
        "Nothing is known of 2 parts: unknown is not clean.",
    ):
        assert line in out, out
    assert out.startswith(f"{FLAW} (severity unknown) waitress 2.1.1: ")
    assert "? blob, in toaster.cdx.json: " in run(bill, "--all", capsys=capsys)[1]


def test_a_build_can_fail(bill: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A flaw that nobody scored may be critical."""
    assert run(bill, "--fail-on", "critical", capsys=capsys)[0] == 7
    bill.write_bytes(sbom(waitress("2.1.2")))
    assert run(bill, "--fail-on", "low", capsys=capsys)[0] == 0


def test_other_tools_get_cyclonedx(bill: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The flaw is in the file, and the part of which nothing is known."""
    assert run(bill, "--cyclonedx", bill.parent / "vex.json", capsys=capsys)[0] == 0
    written = json.loads((bill.parent / "vex.json").read_bytes())
    assert [one["id"] for one in written["vulnerabilities"]] == [FLAW]
    unknown = {one["name"] for one in written["components"] if one.get("properties")}
    assert unknown == {"blob", "left-pad"}  # said to be unknown, and not clean
    assert len(written["components"]) == 3


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["absent.cdx.json"], "no-sbom-file"),
        (["toaster.cdx.json", "--fail-on", "no"], "bad-arguments"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    bill: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: str
) -> None:
    """With a code, and nothing on standard output."""
    status, out, said = run(bill.parent / words[0], *words[1:], capsys=capsys)
    assert (status, out) == (2, "")
    assert f"[{code}]" in said


def test_without_advisories_there_is_no_answer(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody ever imported any: that is said, and nothing is called clean."""
    (home / "a.cdx.json").write_bytes(sbom(waitress("2.1.1")))
    status, _, said = run(home / "a.cdx.json", capsys=capsys)
    assert status == 6
    assert "[no-advisories]" in said


def test_damaged_advisories_stop_the_look_and_nothing_else(bill: Path) -> None:
    """The status and previews go on, and say why flaws are not known."""
    store = bill.parent / "home" / "advisories" / "advisories.sqlite3"
    store.write_bytes(b"no database" * 1000)
    assert anything_known()
    counted = count_flaws(None)  # type: ignore[arg-type] — it does not come to the fleet
    assert counted is not None
    assert counted.says().startswith("! flaws: cannot use ")
    assert "cannot use " in flaws_say(Sbom("CycloneDX 1.6", ()))
