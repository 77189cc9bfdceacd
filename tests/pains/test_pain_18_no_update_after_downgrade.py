"""Pain 18 (systemd/systemd#24082): no update after a downgrade."""

from __future__ import annotations

from allod.testing.device import FakeDevice, Owner


def test_pain_18_down_and_up_again_as_the_owner_signs(device: FakeDevice, owner: Owner) -> None:
    """Versions are names, not an order: down, up, the same again, and past a bad one."""
    made = {version: device.publish(version) for version in ("1.0", "2.0", "3.0")}
    for version in ("2.0", "1.0", "2.0", "1.0", "3.0"):
        owner.deploy(made[version])
        device.run(owner.view())
        assert device.version() == version
    bad = device.publish("4.0")
    device.hardware.probe.sick.add(bad[1])
    owner.deploy(bad)
    device.run(owner.view())
    assert device.version() == "3.0"
    for version in ("2.0", "3.0"):
        owner.deploy(made[version])
        device.run(owner.view())
        assert device.version() == version
