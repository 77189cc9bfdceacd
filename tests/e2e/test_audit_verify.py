"""`allod audit verify` on real processes: at the server, and from an export by somebody else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.e2e.home import Home
from tests.e2e.owner_machine import Machine

pytestmark = pytest.mark.timeout(240)


@pytest.mark.slow
def test_an_honest_fleet_is_proved_to_owner_and_auditor(tmp_path: Path) -> None:
    """After deployments, configuration and a rotation of keys nothing is found, and it says what
    was proved; an auditor with an export and the fleet's id alone proves the same, and finds it
    when a file of the export is another one.
    """
    home = Home(tmp_path)
    try:
        device = home.device("one", "kitchen")
        home.do("deploy", "kitchen", home.app("toaster", "1"), "-y")
        device.converge()
        first = home.do("audit", "verify")
        home.do("deploy", "kitchen", home.app("toaster", "2"), "-y")
        device.converge()
        home.do("keys", "rotate", "targets", "-y")
        device.converge()
        second = home.do("audit", "verify")
        told = home.machine.run("audit", "verify", "--scratch")
        exported = home.do("export", home.place / "stick")
    finally:
        home.close()
    fleet = first["fleet"]
    assert (first["findings"], first["unchecked"]) == ([], [])
    assert {log["origin"].rpartition("/")[2] for log in first["logs"]} == {"authority", "activity"}
    assert first["counts"]["devices"] == 1
    assert first["counts"]["receipts"] >= 1
    assert (second["findings"], second["unchecked"]) == ([], [])
    assert all(log["proved"] and 0 < log["new"] < log["entries"] for log in second["logs"])
    assert told.returncode == 0, told.stdout
    assert "without witnesses this does not prove that others are shown the same" in told.stdout
    assert "Nothing was found." in told.stdout
    assert exported["written"] > 50

    stranger = Machine(tmp_path / "auditor")
    words = ("audit", "verify", "--from", home.place / "stick", "--fleet-id", fleet)
    proved = stranger.do(*words)
    assert (proved["findings"], proved["unchecked"]) == ([], [])
    assert proved["counts"]["reports"] == second["counts"]["reports"] + first["counts"]["reports"]

    (report,) = (home.place / "stick" / "f" / fleet / "devices").glob("*/reports/1/1.*.json")
    report.unlink()
    tile = home.place / "stick" / "f" / fleet / "log" / "authority" / "tile" / "0"
    for path in [*tile.rglob("*")]:
        if path.is_file():
            path.write_bytes(bytes(path.stat().st_size))
    found = stranger.run(*words, "--scratch", "--json")
    assert found.returncode == 7
    codes = [one["code"] for one in json.loads(found.stdout)["findings"]]
    assert sorted(set(codes)) == ["bad-tile", "withheld"]
