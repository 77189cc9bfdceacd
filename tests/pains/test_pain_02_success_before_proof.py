"""Pain 2 (rauc/rauc-hawkbit-updater#161): success reported before the restart is verified."""

from __future__ import annotations

from allod.domain.desired import When
from allod.testing.device import FakeDevice, Owner


def test_pain_02_activated_is_only_said_after_probation(device: FakeDevice, owner: Owner) -> None:
    """No report before the restart, nor from a run that fails its health, says 'activated'."""
    second = device.publish("2.0")
    owner.deploy(second, when=When.RESTART)
    device.run(owner.view())

    def said() -> list[str]:
        return [
            change["what"]
            for report in device.said()
            for change in report.get("changes", [])
            if change.get("after") == second[1]
        ]

    assert said() == ["transferred", "installed"]
    device.hardware.probe.sick.add(second[1])
    device.reboot()
    device.run(owner.view())
    assert said() == ["transferred", "installed", "reverted"]
