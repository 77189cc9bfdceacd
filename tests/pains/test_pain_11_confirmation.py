"""Pain 11 (rauc/rauc-hawkbit-updater#155): the client lacks confirmation support."""

from __future__ import annotations

import pytest

from allod.agent.main import main
from allod.domain.terms import Consent
from allod.testing.device import TOASTER, FakeDevice, Owner


@pytest.mark.parametrize("act", ["approve", "decline"])
def test_pain_11_the_device_asks_and_keeps_to_the_answer(
    device: FakeDevice, owner: Owner, act: str
) -> None:
    """The owner's own order waits for somebody at the device, where the owner wants it so."""
    owner.replace(owner.document(), terms=(Consent(),))
    second = device.publish("2.0")
    owner.deploy(second)
    device.run(owner.view())
    assert device.version() == "1.0"
    assert second[1] in device.hardware.installer.staged(TOASTER), "ready to run, once agreed to"
    assert main([act, "--state", str(device.state.root), "toaster@2.0"]) == 0
    device.run(owner.view())
    assert device.version() == ("2.0" if act == "approve" else "1.0")
    told = device.said()[-1]
    answers = {change["what"] for change in told["changes"]} & {"agreed", "declined"}
    assert answers == {"agreed" if act == "approve" else "declined"}
    refused = {one["code"] for one in told.get("refusals", [])}
    assert refused == (set() if act == "approve" else {"consent-declined"})
