"""Pain 20 (Azure/iot-hub-device-update#129, #286): user consent, as a medical device needs it."""

from __future__ import annotations

from allod.agent.main import main
from allod.domain.ids import Purl
from allod.domain.terms import Consent
from allod.testing.device import FakeDevice, Owner

MONITOR = Purl("pkg:generic/acme/monitor")


def answer(device: FakeDevice, act: str, package: str) -> int:
    """Somebody at the device answers."""
    return main([act, "--state", str(device.state.root), package])


def test_pain_20_nothing_changes_under_somebodys_hands(device: FakeDevice, owner: Owner) -> None:
    """For days, over restarts of the machine, until somebody agrees to just this; all is on record."""
    owner.grant("acme", Consent())
    owner.speak("acme", device.publish("2.0"))
    for _ in range(5):
        device.run(owner.view())
        device.pass_time(days=1)
        device.reboot()
    assert device.version() == "1.0"

    owner.deploy(device.publish("7.0", MONITOR))
    device.run(owner.view())
    assert device.version(MONITOR) == "7.0", "what nobody has to agree to goes its way"

    owner.speak("acme", device.publish("2.1"))
    assert answer(device, "approve", "toaster") == 0  # they saw 2.0
    device.run(owner.view())
    assert device.version() == "1.0", "2.1 was never shown to them"

    assert answer(device, "approve", "toaster@2.1") == 0
    device.reboot()  # the power goes before the agent looks
    device.run(owner.view())
    assert device.version() == "2.1"
    record = [
        (change["what"], change.get("after"))
        for report in device.said()
        for change in report.get("changes", [])
        if change["package"].endswith("toaster") and change["what"] in {"agreed", "activated"}
    ]
    assert [what for what, _ in record[1:]] == ["agreed", "agreed", "activated"]
    assert record[-1][1] == record[-2][1], "what was agreed to is what was done"
