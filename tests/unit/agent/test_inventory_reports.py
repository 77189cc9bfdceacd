"""What a report tells of software that Allod does not manage: all that there is room for."""

from __future__ import annotations

from pathlib import Path

from allod.agent.engine_report import INVENTORY_ROOM
from allod.agent.inventory import MAX_PACKAGES
from allod.testing.device import FakeDevice, Owner
from allod.wire.codec import encode
from allod.wire.report import REPORT_CAP, HostPackage


def hosts(count: int) -> tuple[HostPackage, ...]:
    """So many packages, each with all that can be said of one."""
    return tuple(
        HostPackage(
            name=f"lib{number:06d}-dev",
            version="1:2.36-9+deb12u4",
            architecture="amd64",
            source=f"source{number:06d}",
            source_version="1:2.36-9",
        )
        for number in range(count)
    )


def test_a_host_with_too_much_software_still_reports(tmp_path: Path) -> None:
    """A report that no server takes would silence the device: it tells what fits, and how much did
    not; what is left out is unknown, and never clean.
    """
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    device.hardware.host.dpkg = hosts(MAX_PACKAGES)
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    assert device.report is not None
    told = device.report.inventory
    assert told is not None
    assert told.dpkg
    assert len(told.dpkg) + told.left_out == MAX_PACKAGES
    assert INVENTORY_ROOM * 0.9 < len(encode(told)) <= INVENTORY_ROOM + 1024
    assert len(encode(device.report)) < REPORT_CAP
    device.pass_time(hours=2)
    device.run(owner.view())
    assert device.report.inventory is not None
    assert device.report.inventory.dpkg is None, "the lists are sent once"


def test_a_usual_host_is_told_whole(tmp_path: Path) -> None:
    """Nothing is left out, and nothing is written that says nothing."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    assert device.report is not None
    told = device.report.inventory
    assert told is not None
    assert (told.dpkg, told.left_out) == (list(device.hardware.host.dpkg), 0)
    assert b"source" not in encode(told)
