"""Attack 63: the laptop with the daily key is lost; the server's TLS authority is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.e2e.owner_machine import Machine, WalkingDevice, begin


@pytest.mark.slow
def test_attack_63_laptop_lost_recovery_key_on_paper(tmp_path: Path) -> None:
    """With the sheet and the server's offer another machine makes a new root and a new daily key;
    devices go on; whoever finds the laptop, passphrase included, can do nothing with it.
    """
    machine, server = begin(tmp_path)
    try:
        machine.do("group", "add", "kitchen", "--yes")
        device = WalkingDevice.bound_now(machine)
        before = device.accept().root
        found = Machine(tmp_path / "found")
        shutil.copytree(machine.home / "fleets", found.home / "fleets")

        new = Machine(tmp_path / "new-laptop")
        offer = server.directory / "offer.json"
        restore = (
            "keys",
            "restore",
            "--recovery-file",
            tmp_path / "paper",
            "--server-offer",
            offer,
        )
        new.do(*restore, "--yes")
        after = device.accept().root
        lost = set(before.roles["targets"].keyids) | set(before.roles["root"].keyids)
        kept = lost & (set(after.roles["targets"].keyids) | set(after.roles["root"].keyids))
        assert len(kept) == 1, "the recovery key alone"
        new.do("group", "add", "garden", "--yes")
        device.accept()
        WalkingDevice.bound_now(new).accept()

        for verb in (("group", "add", "attic"), ("keys", "rotate", "root"), ("keys", "renew")):
            assert found.refused(*verb, "--yes") in {"unauthenticated", "key-elsewhere"}
        assert new.refused(*restore, "--yes") == "exists"
    finally:
        server.stop()


@pytest.mark.slow
def test_attack_63_wrong_sheet_and_wrong_server(tmp_path: Path) -> None:
    """A sheet that was replaced, or of another fleet, or a damaged one, recovers nothing."""
    machine, server = begin(tmp_path)
    try:
        offer = server.directory / "offer.json"
        machine.do("keys", "rotate", "root", "--new-recovery-file", tmp_path / "paper2", "--yes")
        new = Machine(tmp_path / "new-laptop")
        restore = ("keys", "restore", "--server-offer", offer, "--yes", "--recovery-file")
        assert new.refused(*restore, tmp_path / "paper") == "not-a-root-key"
        text = (tmp_path / "paper2").read_text()
        line = next(line for line in text.splitlines() if line.startswith("    3"))
        wrong = line[:-1] + ("2" if line[-1] != "2" else "3")
        (tmp_path / "slip").write_text(text.replace(line, wrong))
        assert new.refused(*restore, tmp_path / "slip") == "bad-paper"
        new.do(*restore, tmp_path / "paper2")
        WalkingDevice.bound_now(new).accept()
    finally:
        server.stop()


@pytest.mark.slow
def test_attack_63_server_lost_its_authority(tmp_path: Path) -> None:
    """The spare authority, pinned since the first day, certifies the server anew: devices and
    owner go on; then the server's own new authority is pinned by a trust statement.
    """
    machine, server = begin(tmp_path)
    try:
        device = WalkingDevice.bound_now(machine)
        device.accept()
        server.stop()
        shutil.rmtree(server.directory / "tls")
        machine.do("keys", "certify", tmp_path / "new")
        parts = [tmp_path / "new" / name for name in ("chain.pem", "key.pem", "authority.pem")]
        machine.do("server", "certificate", *parts, server.directory)
        server.start()
        device.accept()
        machine.do("group", "add", "kitchen", "--yes")
        offer = server.directory / "offer.json"
        machine.do("keys", "rotate", "tls", "--server-offer", offer, "--yes")
        device.accept()
        assert len(device.locations[0].pins) == 2
        machine.do("group", "add", "garden", "--yes")
    finally:
        server.stop()
