"""Pain 5 (eclipse-hawkbit/hawkbit#3251): automatic retries with back-off."""

from __future__ import annotations

from pathlib import Path

from tests.unit.server.rollout_rig import NEW, OLD, RolloutRig

from allod.agent.engine_wish import next_wish
from allod.domain.desired import Software
from allod.domain.rollout import Rollout, Stage
from allod.testing.device import TOASTER, FakeDevice, Owner
from allod.testing.server import ServerRig


def test_pain_05_a_rollout_tries_again_with_longer_pauses(device: FakeDevice, owner: Owner) -> None:
    """What was sick twice is well the third time; the pauses grow, and nobody had to do anything."""
    before = owner.document().packages[TOASTER].software or Software()
    second = device.publish("2.0")
    device.hardware.probe.sick.add(second[1])
    now = device.hardware.clock.wall
    plan = Rollout("r1", (Stage(now, 100),), before=before, retries=3)
    owner.deploy(second, rollout=plan)
    pauses = []
    for _ in range(2):
        outcome = device.run(owner.view())
        assert device.version() == "1.0", "it went back"
        assert device.said()[-1]["packages"][0]["failed"] == [], "it is tried again"
        wish = next_wish(outcome, device.hardware.clock.wall)
        assert wish is not None
        pauses.append(wish - device.hardware.clock.wall)
        device.pass_time(seconds=pauses[-1].total_seconds())
    assert pauses[0] < pauses[1]
    device.hardware.probe.sick.clear()
    device.run(owner.view())
    assert device.version() == "2.0"


def test_pain_05_the_controller_waits_for_the_last_try(tmp_path: Path) -> None:
    """A device that went back and tries again is no failure yet; when it gives up, it is one."""
    fleet = RolloutRig(ServerRig.make(tmp_path / "server"))
    fleet.name_gate_key()
    fleet.bind("one")
    fleet.order(fleet.plan(fleet.stage(canaries=["one"]), fleet.stage(100), retries=1))
    fleet.look()
    fleet.says("one", OLD, reverted=True)
    assert fleet.look().stages[0].failed == 0
    fleet.says("one", OLD, reverted=True, failed=True)
    shown = fleet.look()
    assert (shown.state, shown.stages[0].failed) == ("halted", 1)
    fleet.says("one", NEW, changed=True)
    assert fleet.look().stages[0].failed == 0
    fleet.rig.server.close()
