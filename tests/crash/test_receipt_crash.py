"""A receipt is stored with the change before it is carried out: no crash loses or exchanges it."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.crash.test_engine_crash import left_behind

from allod import durable
from allod.domain.desired import Restart
from allod.domain.ids import Digest
from allod.testing.device import TOASTER, FakeDevice, Owner
from allod.testing.faults import Faults, Killed, Strike, frail_disk
from allod.testing.machine import START

ORDERED = 2  #: the change, and so the index of the entry, under which version 2 is ordered


def begun(place: Path) -> tuple[FakeDevice, Owner, Digest]:
    """Version 1 runs, version 2 is ordered."""
    device, owner = FakeDevice(place), Owner()
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    second = device.publish("2.0")
    owner.deploy(second)
    assert owner.changes == ORDERED
    return device, owner, second[1]


def cut(device: FakeDevice, owner: Owner, faults: Faults, patch: pytest.MonkeyPatch) -> None:
    """One run under the order, struck somewhere."""
    with patch.context() as disk:
        for name, stand_in in frail_disk(faults).items():
            disk.setattr(durable, name, stand_in)
        with contextlib.suppress(Killed):
            device.run(owner.view(), faults)


def activations(device: FakeDevice, digest: Digest) -> list[dict[str, Any]]:
    """The receipts of every activation of a release that was reported."""
    return [
        change["authority"]
        for report in device.said()
        for change in report.get("changes", [])
        if change["what"] == "activated" and change.get("after") == digest
    ]


def test_a_receipt_outlives_a_kill_at_every_moment(
    swift_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the kill the log has grown, and the agent starts with a newer view. The activation is
    told once, with a whole receipt; of what ran before the kill it is the receipt of then.
    """
    device, owner, digest = begun(swift_directory / "whole")
    counted = Faults(look=lambda: left_behind(device))
    cut(device, owner, counted, monkeypatch)
    assert len(activations(device, digest)) == 1
    acted_before = 0
    for at in counted.telling:
        device, owner, digest = begun(swift_directory / str(at))
        cut(device, owner, Faults(at, Strike.KILL_BEFORE), monkeypatch)
        ran = device.runs()
        acted = ran is not None and ran[0] == digest
        acted_before += acted
        owner.changes += 5  # others changed other things meanwhile
        for _ in range(3):
            device.pass_time(minutes=10)
            device.run(owner.view())
        (receipt,) = activations(device, digest)
        assert receipt["logIndex"] in {ORDERED, owner.changes}
        assert receipt["checkpoint"]["size"] == receipt["logIndex"] + 1
        assert receipt["version"] == receipt["change"] == receipt["logIndex"]
        if acted:
            assert receipt["logIndex"] == ORDERED, f"struck at {at}"
    assert acted_before


def test_restarts_and_healing_give_receipts(swift_directory: Path) -> None:
    """A restart names the order under which it was begun, though the log has grown when the
    machine is up again; healing names what decides on the package.
    """
    device, owner = FakeDevice(swift_directory / "restart"), Owner()
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    restart = Restart("r1", START, START + timedelta(hours=1))
    owner.replace(owner.document(), restarts=(restart,))
    owner.changes += 1
    ordered = owner.changes
    device.run(owner.view())
    assert device.hardware.restarter.reasons
    owner.changes += 5
    device.reboot()
    device.run(owner.view())
    receipt = told(device, "restarted")
    assert receipt["logIndex"] == ordered
    assert receipt["checkpoint"]["size"] == ordered + 1

    running = device.runs()
    assert running is not None
    device.hardware.installer.damage(TOASTER, running[0])
    device.pass_time(days=2)
    device.run(owner.view())
    assert told(device, "healed")["logIndex"] == owner.changes


def told(device: FakeDevice, what: str) -> dict[str, Any]:
    """The receipt of the one change of a kind."""
    (found,) = [
        change["authority"]
        for report in device.said()
        for change in report.get("changes", [])
        if change["what"] == what
    ]
    return dict(found)
