"""Pain 3 (eclipse-hawkbit/hawkbit#446): after a fallback, the same version is never offered again."""

from __future__ import annotations

from allod.testing.device import FakeDevice, Owner


def test_pain_03_a_new_signature_tries_the_same_release_again(
    device: FakeDevice, owner: Owner
) -> None:
    """It is not tried again by itself; when the owner signs it anew, it is, and succeeds."""
    second = device.publish("2.0")
    device.hardware.probe.sick.add(second[1])
    owner.deploy(second)
    device.run(owner.view())
    attempts = len(device.hardware.services.starts)
    device.hardware.probe.sick.clear()
    for _ in range(3):
        device.pass_time(days=1)
        device.run(owner.view())
    assert device.version() == "1.0"
    assert len(device.hardware.services.starts) == attempts
    owner.deploy(second)
    device.run(owner.view())
    assert device.version() == "2.0"
