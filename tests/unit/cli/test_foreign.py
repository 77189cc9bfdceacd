"""Devices that are only on record: put there, corrected, let go; and never given an order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Owner

from allod.cli.device_records import Records, Row, rows_of_directory, rows_of_table
from allod.cli.floors import known
from allod.cli.foreign import sbom_of
from allod.cli.picture import take
from allod.domain.foreign import foreign_id
from allod.errors import Untrusted

WAITRESS = {
    "type": "library",
    "name": "waitress",
    "version": "2.1.1",
    "purl": "pkg:pypi/waitress@2.1.1",
}


def sbom(path: Path, *parts: dict[str, str]) -> Path:
    """A bill of materials in a file."""
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "components": [*parts],
    }
    path.write_text(json.dumps(document))
    return path


def on_record(owner: Owner) -> dict[str, dict[str, Any]]:
    """What `device list` says of devices on record, by name."""
    return {one["label"]: one for one in owner.do("device", "list")["foreign"]}


def test_a_device_goes_on_record_is_corrected_and_let_go(begun: Owner, tmp_path: Path) -> None:
    """Vendor, model, groups and SBOM are signed; what a correction does not say stays."""
    file = sbom(tmp_path / "mr.json", WAITRESS)
    done = begun.do(
        "device", "import", "--name", "mr-1", "--vendor", "Acme", "--model", "MR 7", "--sbom", file,
        "--group", "radiology", "--yes",
    )  # fmt: skip
    assert "the vendor controls it" in done["remarks"][0]
    assert "names 1 part." in done["remarks"][0]
    assert not any("invite" in one["says"] for one in done["differences"])
    assert done["consequences"] == []
    said = on_record(begun)["mr-1"]
    assert said["device"] == foreign_id(begun.fleet().id, "mr-1")
    assert (said["vendor"], said["model"], said["groups"]) == ("Acme", "MR 7", ["radiology"])
    assert (said["controlled"], said["constraints"]) == ("vendor", ["controlled-by-vendor"])
    begun.do("device", "import", "--name", "mr-1", "--controlled", "nobody", "--yes")
    now = on_record(begun)["mr-1"]
    assert now == {**said, "controlled": "nobody", "constraints": ["controlled-by-nobody"]}
    shown = begun.do("device", "show", "mr-1")
    assert (shown["parts"], shown["retired"]) == (1, False)
    begun.do("device", "retire", "mr-1", "--yes")
    assert on_record(begun)["mr-1"]["retired"]
    begun.do("device", "import", "--name", "mr-1", "--model", "MR 8", "--yes")
    again = on_record(begun)["mr-1"]
    assert (again["retired"], again["model"], again["sbom"]) == (False, "MR 8", said["sbom"])


def test_an_undo_takes_it_off_the_record(begun: Owner) -> None:
    """A first import that was a mistake leaves nothing on record, and can be made again."""
    wanted = ("device", "import", "--name", "ct", "--vendor", "V", "--model", "M", "--yes")
    number = begun.do(*wanted)["number"]
    begun.do("undo", str(number), "--yes")
    assert on_record(begun) == {}
    begun.do(*wanted)
    assert on_record(begun)["ct"]["sbom"] is None


def test_nothing_is_ordered_there(begun: Owner) -> None:
    """Verbs that need an agent are refused by name, and nothing is signed."""
    begun.do("device", "import", "--name", "ct", "--vendor", "V", "--model", "M", "--yes")
    assert begun.refused("status", "ct") == "foreign-device"
    assert begun.refused("hold", "ct", "--why", "x", "--yes") == "foreign-device"
    assert begun.refused("device", "rename", "ct", "ct2", "--yes") == "foreign-device"
    assert begun.refused("device", "replace", "ct", "ct", "--yes") == "foreign-device"
    assert begun.do("status")["foreign"][0]["label"] == "ct"


def test_many_at_once_from_a_table(begun: Owner, tmp_path: Path) -> None:
    """Good rows go in with one change; each faulty one is named with its line and reason."""
    sbom(tmp_path / "pump.json", WAITRESS)
    (tmp_path / "bad.json").write_text('{"bomFormat": "CycloneDX", "specVersion": "9"}')
    (tmp_path / "all.csv").write_text(
        "\ufeffName;Vendor;Model;Groups;SBOM\n"
        "pump-1;Acme;P3;icu ward-2;pump.json\n"
        "pump-2;Acme;P3;icu;pump.json\n"
        "pump-3;Acme;P3;icu;bad.json\n"
        "pump-4;;P3;icu;\n"
        "pump-5;Acme;P3;icu;../no.json\n"
        "pump-1;Acme;P4;icu;\n"
    )
    table = ("device", "import", "--table", tmp_path / "all.csv", "--yes")
    assert begun.refused(*table) == "partly-refused"
    assert all(f"all.csv, line {line}: " in begun.said for line in (4, 5, 6, 7))
    found = on_record(begun)
    assert sorted(found) == ["pump-1", "pump-2"]
    assert found["pump-1"]["groups"] == ["icu", "ward-2"]
    assert found["pump-1"]["sbom"] == found["pump-2"]["sbom"]
    assert begun.do("status")["changes"][-1]["number"] == 1, "one change for all"
    (tmp_path / "bad.json").unlink()
    begun.run("device", "import", "--table", tmp_path / "all.csv", "--model", "P4", "--dry-run")
    assert "Nothing to change" in begun.out
    (tmp_path / "two.csv").write_text("name,model\npump-1,P3\npump-2,P4\n")
    begun.run("device", "import", "--table", tmp_path / "two.csv", "--yes")
    assert "device pump-2:" in begun.said
    assert "pump-1" not in begun.said, "what is as it is said is not told again"


def test_many_at_once_from_a_directory(tmp_path: Path) -> None:
    """A file a device, called like it."""
    for name in ("b.cdx.json", "a.json"):
        sbom(tmp_path / name, WAITRESS)
    (tmp_path / "notes.txt").write_text("no")
    rows = rows_of_directory(tmp_path, Row("", "Acme", "X"))
    assert [(row.name, row.vendor) for row in rows] == [("a", "Acme"), ("b", "Acme")]


@pytest.mark.parametrize(
    "text",
    ["vendor,model\nA,B\n", "name,colour\nx,red\n", "name,name\nx,y\n", "name\nx,y\n", "", 'name\n"x\n'],
)  # fmt: skip
def test_a_table_that_cannot_be_read_is_refused_whole(tmp_path: Path, text: str) -> None:
    """Unknown, missing and doubled columns, too many cells, open quotes: nothing is guessed."""
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(Exception, match="cannot read t.csv") as caught:
        list(rows_of_table(tmp_path / "t.csv", Row("")))
    assert getattr(caught.value, "code", "") == "bad-table"


def test_a_name_is_taken_once(begun: Owner, tmp_path: Path) -> None:
    """In one import, and beside the devices that are bound."""
    records = Records(
        (Row("x", "V", "M", place="line 1"), Row("x", "V", "M", place="line 2"))
    ).read()
    assert [row.place for row in records.rows] == ["line 1"]
    assert [(f.place, f.code) for f in records.faulty] == [("line 2", "exists")]
    assert begun.refused(
        "device", "import", "--name", "a\nb", "--vendor", "V", "--model", "M", "--yes"
    )
    assert begun.refused("device", "import", "--vendor", "V", "--yes") == "bad-arguments"
    assert begun.refused("device", "import", "--name", "x", "--yes") == "partly-refused"


def test_another_sbom_than_the_signed_one_is_not_believed(begun: Owner, tmp_path: Path) -> None:
    """A server that swaps the SBOM of a device, to hide its flaws, is found out."""
    file = sbom(tmp_path / "mr.json", WAITRESS)
    begun.do(
        "device", "import", "--name", "mr", "--vendor", "V", "--model", "M", "--sbom", file, "--yes"
    )
    digest = on_record(begun)["mr"]["sbom"]["digest"]
    begun.do("export", tmp_path / "devices", "--devices-only")
    assert not list((tmp_path / "devices").rglob("blobs")), "devices need nobody's SBOM"
    begun.do("export", tmp_path / "all")
    assert [path.read_bytes() for path in (tmp_path / "all").rglob("blobs/*")] == [
        file.read_bytes()
    ]
    member = take(begun.fleet(), reports=False).foreign[0]
    fleet = begun.fleet()
    assert len(sbom_of(fleet, member.foreign).components) == 1
    for kept in (begun.home / "fleets").rglob(digest):
        kept.unlink()
    assert len(sbom_of(fleet, member.foreign).components) == 1, "it is fetched again"
    for kept in (begun.home / "fleets").rglob(digest):
        kept.unlink()
    begun.served.lie[f"blobs/{digest}"] = sbom(tmp_path / "clean.json").read_bytes()
    with pytest.raises(Untrusted) as caught:
        sbom_of(fleet, member.foreign)
    assert caught.value.code == "wrong-digest"


def test_a_restored_server_gets_what_devices_need_first(
    begun: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many large SBOMs must not keep the owner from mending a server: configurations are small."""
    fleet = begun.fleet()
    blobs = {f"sha256:{size:064d}": b"x" * size for size in (9, 400, 30)}
    fleet.save_history("blobs", blobs)
    monkeypatch.setattr("allod.cli.floors._ROOM", 100)
    assert sorted(map(len, known(fleet).blobs.values())) == [9, 30]


def test_flaws_are_looked_for_there_like_everywhere(begun: Owner, tmp_path: Path) -> None:
    """By group, by name and in all; a part that nobody can tell is unknown, and so is a device
    without SBOM; who was let go is asked about no more.
    """
    record = {
        "id": "PYSEC-2022-205",
        "modified": "2022-06-01T00:00:00Z",
        "aliases": ["CVE-2022-31015"],
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "waitress"},
                "ranges": [
                    {"type": "ECOSYSTEM", "events": [{"introduced": "2.1.0"}, {"fixed": "2.1.2"}]}
                ],
            }
        ],
    }
    (tmp_path / "osv").mkdir()
    (tmp_path / "osv/a.json").write_text(json.dumps(record))
    begun.do("advisories", "import", tmp_path / "osv", "--source", "pypa")
    file = sbom(tmp_path / "mr.json", WAITRESS, {"type": "library", "name": "firmware"})
    new = ("device", "import", "--vendor", "V", "--model", "M", "--group", "radiology", "--yes")
    begun.do(*new, "--name", "mr", "--sbom", file)
    begun.do(*new, "--name", "ct")
    for asked in ((), ("radiology",), ("mr",)):
        found = begun.do("vulnerabilities", *asked)
        assert [one["id"] for one in found["findings"]] == ["CVE-2022-31015"], found
        assert "firmware" in json.dumps(found["unknown"])
    bare = begun.do("vulnerabilities", "ct")
    assert (bare["findings"], [one["code"] for one in bare["unseen"]]) == ([], ["no-sbom"])
    begun.run("vulnerabilities")
    assert "on 1 device (mr)" in begun.out
    assert "the vendor controls it" in begun.out
    begun.do("device", "retire", "mr", "--yes")
    assert begun.do("vulnerabilities")["findings"] == []
