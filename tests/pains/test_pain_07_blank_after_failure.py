"""Pain 7 (eclipse-hawkbit/hawkbit#1399): no factory version to state; blank after a failure."""

from __future__ import annotations

from pathlib import Path

from allod.testing.device import FakeDevice, Owner


def test_pain_07_a_device_always_says_what_it_has(tmp_path: Path) -> None:
    """Before anything was ordered it names the machine's own software; after a failure, both."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    device.run(owner.view())
    first = device.said()[-1]
    assert first["inventory"]["dpkg"][0] == {"name": "bash", "version": "5.2"}
    sick = device.publish("1.0")
    device.hardware.probe.sick.add(sick[1])
    owner.deploy(sick)
    device.run(owner.view())
    (entry,) = device.said()[-1]["packages"]
    assert entry["failed"] == [sick[1]]
    assert [one["level"] for one in entry["releases"]] == ["installed"]
    assert entry["state"] == "installed"
