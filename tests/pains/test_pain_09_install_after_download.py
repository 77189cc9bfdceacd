"""Pain 9 (eclipse-hawkbit/hawkbit#1039): cannot install after 'download only'."""

from __future__ import annotations

from allod.domain.desired import Level, Software
from allod.testing.device import TOASTER, FakeDevice, Owner


def test_pain_09_a_transferred_release_is_installed_without_network(
    device: FakeDevice, owner: Owner
) -> None:
    """First transferred only, then wanted active: nothing is fetched twice, not even needed."""
    second = device.publish("2.0")
    before = owner.document().packages[TOASTER].software
    assert before is not None
    owner.deploy(second, level=Level.TRANSFERRED)
    wanted = owner.document().packages[TOASTER].software
    assert wanted is not None
    owner.sign(software=Software(releases=(*before.releases, *wanted.releases)))
    device.run(owner.view())
    assert device.version() == "1.0"
    device.hardware.source.online = False
    owner.deploy(second)
    device.run(owner.view())
    assert device.version() == "2.0"
    assert device.hardware.source.fetched.count(second[1]) == 1
