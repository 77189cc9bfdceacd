"""Pain 16 (rauc/rauc#651): an expired key stops updates, or worse."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from allod.domain.desired import When
from allod.testing.device import FakeDevice, Owner


def test_pain_16_expiry_stops_change_and_never_operation(device: FakeDevice, owner: Owner) -> None:
    """Years after everything expired, what was accepted holds: services run, and a restart that
    was prepared by a signature of its time is still carried out.
    """
    second = device.publish("2.0")
    owner.deploy(second, when=When.RESTART)
    device.run(owner.view())
    stale = owner.view()
    stale = replace(stale, trust=msgspec.structs.replace(stale.trust, stale=True))
    device.hardware.source.online = False
    device.pass_time(days=3650)
    device.hardware.services.runs.clear()
    device.run(stale)
    assert device.version() == "1.0"
    assert device.said()[-1]["trust"]["stale"] is True
    device.reboot()
    device.run(stale)
    assert device.version() == "2.0"
