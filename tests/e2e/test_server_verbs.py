"""`allod server backup|restore|rebuild` on real processes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.e2e.server_process import Served

from allod.testing.server import signed_headers


def listed(server: Served, device: str) -> list[int]:
    """The sequences of a device's reports, as the running server shows them to the owner."""
    rig = server.rig
    path = f"/api/v1/fleets/{rig.fleet}/devices/{device}/reports"
    key = rig.simulator.owner.person
    headers = signed_headers(key, "GET", path, b"", created=int(time.time()))
    status, body = server.ask("GET", path, headers=headers)
    assert status == 200, body
    return [entry["sequence"] for entry in json.loads(body)["reports"]]


@pytest.mark.slow
def test_a_backup_of_a_running_server_comes_back_elsewhere(tmp_path: Path) -> None:
    """Backup while it runs, restore into a new directory, serve: devices, reports and tokens are
    there; what was bound and reported after the backup is handed in again and taken.
    """
    server = Served.make(tmp_path)
    rig = server.rig
    rig.start()
    old, new = rig.bound("old"), rig.device("new")
    rig.server.close()
    reports = f"/f/{rig.fleet}/devices/{{}}/reports"
    archive, again = str(tmp_path / "yesterday.tar.gz"), str(tmp_path / "again")
    try:
        server.start()
        first = old.report()
        assert server.ask("POST", reports.format(old.id), first)[0] == 200
        done = server.run("server", "backup", archive, str(rig.directory))
        assert done.returncode == 0, done.stderr
        binding = new.bind(rig.simulator.invite(id="later"), rig.clock.moment)
        assert server.ask("POST", f"/f/{rig.fleet}/bindings", binding)[0] == 200
        lost = old.report()
        assert server.ask("POST", reports.format(old.id), lost)[0] == 200
        server.close()

        done = server.run("server", "restore", archive, str(rig.directory), "--json")
        assert (done.returncode, json.loads(done.stderr)["error"]["code"]) == (4, "exists")
        done = server.run("server", "restore", archive, again, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["fleets"] == [rig.fleet]
        rig.directory = tmp_path / "again"
        server.start()
        assert listed(server, old.id) == [1]
        # The device bound later is unknown here; it hands its record in again.
        late = new.report()
        assert server.ask("POST", reports.format(new.id), late)[0] == 403
        assert server.ask("POST", f"/f/{rig.fleet}/bindings", binding)[0] == 200
        assert server.ask("POST", reports.format(new.id), late)[0] == 200
        # A report that went with the old server leaves a gap, and no suspicion.
        assert server.ask("POST", reports.format(old.id), old.report())[0] == 200
        assert listed(server, old.id) == [1, 3]
        assert server.ask("POST", reports.format(old.id), lost)[0] == 200
        assert listed(server, old.id) == [1, 2, 3]
    finally:
        server.close()
    rig.settings = rig.settings.__class__(rig.directory, rig.settings.url)
    rig.start()
    assert rig.server.listings.alarms(rig.fleet).alarms == []
    assert not rig.server.listings.device(rig.fleet, old.id).quarantined
    rig.server.close()


def test_a_damaged_database_is_made_again(tmp_path: Path) -> None:
    """The server says what to do about it; `rebuild` does it, and not while a server runs."""
    server = Served.make(tmp_path)
    rig = server.rig
    rig.start()
    device = rig.bound()
    rig.server.receive_report(rig.fleet, device.id, device.report())
    rig.server.close()
    database = rig.settings.layout.database
    database.write_bytes(b"\x00" * 50_000)
    done = server.run("serve", str(rig.directory))
    assert done.returncode == 6
    assert "allod server rebuild" in done.stderr
    try:
        done = server.run("server", "rebuild", str(rig.directory), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["fleets"][rig.fleet] >= 3
        server.start()
        assert listed(server, device.id) == [1]
        done = server.run("server", "rebuild", str(rig.directory), "--json")
        assert (done.returncode, json.loads(done.stderr)["error"]["code"]) == (4, "in-use")
        assert listed(server, device.id) == [1]
    finally:
        server.close()
