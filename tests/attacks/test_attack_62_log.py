"""Attack 62 with logs: the log itself is restored, lost, or kept under another key."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import Home
from tests.e2e.owner_machine import Machine, ServerProcess, WalkingDevice, begin

from allod.cli.passphrase import Passphrase
from allod.server.keys import load_log_key
from allod.server.layout import ServerDirectory


def in_force(answer: Any) -> bool:
    """Whether the command proved what it published."""
    return bool(answer["force"]["state"] == "in-force")


@pytest.mark.slow
def test_attack_62_log_directory_lost(tmp_path: Path) -> None:
    """The disk lost both logs: a real device keeps what it runs and changes nothing, the owner
    signs nothing but the successor; under it the device takes the next release, and reports.
    """
    home = Home(tmp_path)
    try:
        device = home.device("oven", "kitchen")
        home.do("deploy", "kitchen", home.app("toaster", "1"), "-y")
        device.converge()
        home.server.stop()
        directory = ServerDirectory(home.server.directory).fleet(home.fleet().id)
        for room in ("log", "sequencers"):
            shutil.rmtree(directory.root / room)
        home.server.start()
        device.converge()
        release = home.app("toaster", "2")
        assert home.refused("deploy", "kitchen", release, "-y") == "withheld"
        assert in_force(home.do("trust", "log", "succeed", "-y"))
        home.do("deploy", "kitchen", release, "-y")
        device.converge()
        device.converge()
        (package,) = home.status(device)["packages"]
        assert package["active"] == "2", package
        WalkingDevice.bound_now(home.machine).accept()
    finally:
        home.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Any:
    """An owner's machine, and its server."""
    machine, server = begin(tmp_path)
    yield machine, server
    server.stop(signal.SIGKILL)


@pytest.mark.slow
def test_attack_62_log_under_a_new_key(fleet: tuple[Machine, ServerProcess]) -> None:
    """The log's key may be stolen: the server makes another, and a successor is kept under it.
    Whoever has the old key can sign nothing that a device goes by any more.
    """
    machine, server = fleet
    device = WalkingDevice.bound_now(machine)
    device.accept()
    stolen = load_log_key(ServerDirectory(server.directory))
    offer = ("--server-offer", server.directory / "offer.json")
    machine.do("server", "new-keys", server.directory)
    assert in_force(machine.do("trust", "log", "succeed", *offer, "--yes"))
    repository = device.accept()
    assert repository.statement is not None
    assert stolen is not None
    newest = {log.origin: log.key for log in repository.statement.logs[-2:]}
    assert all(origin.endswith("/2") for origin in newest)
    waiting = load_log_key(ServerDirectory(server.directory), waiting=True)
    assert waiting is not None
    assert waiting.public != stolen.public
    machine.do("keys", "rotate", "online", *offer, "--yes")
    server.stop()
    assert machine.do("server", "settle-keys", server.directory)["log"] is True
    server.start()
    assert in_force(machine.do("group", "add", "kitchen", "--yes"))
    device.accept()
    WalkingDevice.bound_now(machine).accept()


@pytest.mark.slow
def test_attack_62_log_restored_with_no_loss(
    fleet: tuple[Machine, ServerProcess], tmp_path: Path
) -> None:
    """Even a backup that lacks nothing is not gone on with: nobody can know that it lacks nothing."""
    machine, server = fleet
    machine.do("group", "add", "kitchen", "--yes")
    machine.do("server", "backup", tmp_path / "now.tar.gz", server.directory)
    server.stop()
    shutil.rmtree(server.directory)
    machine.do("server", "restore", tmp_path / "now.tar.gz", server.directory)
    server.start()
    assert machine.refused("group", "add", "attic", "--yes") == "floors-unknown"
    machine.do("server", "floors")
    assert machine.refused("group", "add", "attic", "--yes") == "log-restored"
    assert in_force(machine.do("trust", "log", "succeed", "--yes"))
    assert in_force(machine.do("group", "add", "attic", "--yes"))
    WalkingDevice.bound_now(machine).accept()


def test_attack_62_log_put_back_without_a_word(
    fleet: tuple[Machine, ServerProcess], tmp_path: Path
) -> None:
    """The machine's disk was put back as it was yesterday, not by `server restore`: the server
    cannot know. The owner's machine does, and tells it the newest checkpoint that it verified;
    from then on the log is not gone on with, so that it never forks.
    """
    machine, server = fleet
    device = WalkingDevice.bound_now(machine)
    shutil.copytree(server.directory, tmp_path / "yesterday")
    machine.do("group", "add", "kitchen", "--yes")
    device.accept()
    server.stop()
    shutil.rmtree(server.directory)
    shutil.move(tmp_path / "yesterday", server.directory)
    server.start()
    assert device.refusal() == "log-consistency"
    assert machine.refused("group", "add", "attic", "--yes") == "log-consistency"
    machine.do("server", "floors")
    marks = ServerDirectory(server.directory).root.glob("fleets/*/sequencers/authority/1/restored")
    assert list(marks), "it is marked, and only a successor goes on"
    assert in_force(machine.do("trust", "log", "succeed", "--yes"))
    device.accept()
    assert {one["group"] for one in machine.do("group", "list")["groups"]} == {"kitchen"}


@pytest.mark.slow
def test_attack_62_log_floors_survive_a_backup_of_the_keys(
    fleet: tuple[Machine, ServerProcess], tmp_path: Path
) -> None:
    """The laptop is lost too: its backup brings the log's floor back, so that an older log shows."""
    machine, server = fleet
    machine.do("group", "add", "kitchen", "--yes")
    machine.do("keys", "backup", tmp_path / "keys.backup")
    machine.do("server", "backup", tmp_path / "old.tar.gz", server.directory)
    known = (machine.home / "fleets" / "home" / "floors.json").read_bytes()
    shutil.rmtree(machine.home / "fleets")
    machine.do("keys", "restore", tmp_path / "keys.backup")
    from allod.cli.fleet import LocalFleet
    from allod.trust.floors import decode_floors

    secret = Passphrase(machine.home / "passphrase")
    again = LocalFleet.at(machine.home / "fleets" / "home", passphrase=secret).floors
    assert dict(again.logs) == dict(decode_floors(known).logs) != {}


@pytest.mark.slow
def test_attack_62_log_and_keys_lost(fleet: tuple[Machine, ServerProcess], tmp_path: Path) -> None:
    """Server and laptop were one machine, and it is gone. Left are yesterday's backup and the sheet:
    one command makes new keys and names the successor of the log; devices that saw no more than
    the backup go on, and one that did after its floors were taken down by name.
    """
    machine, server = fleet
    behind, ahead = WalkingDevice.bound_now(machine), WalkingDevice.bound_now(machine)
    machine.do("group", "add", "kitchen", "--yes")
    behind.accept()
    machine.do("server", "backup", tmp_path / "old.tar.gz", server.directory)
    machine.do("group", "add", "garden", "--yes")
    ahead.accept()
    server.stop()
    shutil.rmtree(machine.home / "fleets")
    shutil.rmtree(server.directory)
    machine.do("server", "restore", tmp_path / "old.tar.gz", server.directory)
    server.start()
    paper, offer = tmp_path / "paper", server.directory / "offer.json"
    words = ("--recovery-file", paper, "--server-offer", offer, "--name", "home", "--yes")
    assert in_force(machine.do("keys", "restore", *words))
    behind.accept()
    assert ahead.refusal() in {"rollback", "equivocation"}
    names = {one["group"] for one in machine.do("group", "list")["groups"]}
    assert names == {"kitchen"}, "what came after the backup is lost with the machines"
    machine.do("trust", "repair", "targets", "timestamp", "snapshot", "--yes")
    machine.do("group", "add", "garden", "--yes")
    for device in (behind, ahead, WalkingDevice.bound_now(machine)):
        device.accept()
