"""Pain 1 (eclipse-hawkbit/hawkbit#3185): 'in sync' and success while the old image runs."""

from __future__ import annotations

from allod.domain.desired import When
from allod.testing.device import TOASTER, FakeDevice, Owner


def test_pain_01_what_runs_is_read_from_the_device(device: FakeDevice, owner: Owner) -> None:
    """While the new release only waits, and after it failed, the report names the old one."""
    second = device.publish("2.0")
    owner.deploy(second, when=When.RESTART)
    device.run(owner.view())
    (entry,) = device.said()[-1]["packages"]
    assert {one["version"]: one["level"] for one in entry["releases"]} == {
        "1.0": "active",
        "2.0": "installed",
    }
    assert entry["state"] == "waiting"
    device.hardware.probe.sick.add(second[1])
    device.reboot()
    device.run(owner.view())
    (entry,) = device.said()[-1]["packages"]
    active = [one["version"] for one in entry["releases"] if one["level"] == "active"]
    assert active == ["1.0"]
    assert entry["failed"] == [second[1]]


def test_pain_01_a_link_turned_back_by_hand_shows(device: FakeDevice, owner: Owner) -> None:
    """Somebody puts the old release back behind the agent: the report is not fooled."""
    owner.deploy(device.publish("2.0"))
    device.run(owner.view())
    link = device.state.package(TOASTER) / "current"
    link.unlink()
    (entry,) = device.said()[-1]["packages"]
    link.symlink_to("activations/1")
    owner.replace(owner.document(), hold="look first")
    device.run(owner.view())
    (entry,) = device.said()[-1]["packages"]
    assert [one["version"] for one in entry["releases"] if one["level"] == "active"] == ["1.0"]
