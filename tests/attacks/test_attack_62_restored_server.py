"""Attack 62: the server is restored from yesterday's backup, and the fleet goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.owner_machine import ServerProcess, WalkingDevice, begin


@pytest.mark.slow
def test_attack_62_server_restored_from_yesterdays_backup(tmp_path: Path) -> None:
    """The backup lacks a new daily key, a new root and a group. Devices refuse the old state and
    keep what they have; the server publishes nothing before the owner brought the newest files,
    and does not go on with the log of its backup; under the successor that the root names devices
    that saw everything, and newcomers, accept, and the next change works.
    """
    machine, server = begin(tmp_path)
    restored = ServerProcess(tmp_path / "again", machine.env)
    try:
        machine.do("group", "add", "kitchen", "--yes")
        machine.do("server", "backup", tmp_path / "yesterday.tar.gz", server.directory)
        machine.do("keys", "rotate", "targets", "--yes")
        machine.do("keys", "rotate", "root", "--yes")
        machine.do("group", "add", "garden", "--yes")
        device = WalkingDevice.bound_now(machine)
        seen = device.accept().versions
        server.stop()

        machine.do("server", "restore", tmp_path / "yesterday.tar.gz", restored.directory)
        restored.start()
        went_back = {"root-withheld", "rollback", "log-consistency"}
        assert device.refusal() in went_back
        assert machine.refused("group", "add", "attic", "--yes") in went_back
        assert machine.do("server", "floors")["then"] == "allod trust log succeed"
        assert device.refusal() == "log-consistency"
        machine.do(
            "trust", "log", "succeed", "--server-offer", restored.directory / "offer.json", "--yes"
        )

        after = device.accept().versions
        assert all(after[role] >= version for role, version in seen.items())
        assert after["timestamp"] > seen["timestamp"]
        WalkingDevice.bound_now(machine).accept()
        names = {one["group"] for one in machine.do("group", "list")["groups"]}
        assert names == {"kitchen", "garden"}
        machine.do("group", "add", "attic", "--yes")
        device.accept()
    finally:
        server.stop()
        restored.stop()
