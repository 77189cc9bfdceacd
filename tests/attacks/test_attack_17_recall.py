"""Attack 17: a release that was recalled comes onto devices all the same, or what runs is torn away."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.server.rollout_rig import NEW, RolloutRig

from allod.domain.desired import Level, When
from allod.domain.rollout import Needs
from allod.errors import Conflict
from allod.testing.device import TOASTER, FakeDevice, Owner
from allod.testing.server import ServerRig
from allod.wire.trust import Withdrawal


def test_attack_17_what_lies_on_the_device_is_blocked_and_what_runs_stays(tmp_path: Path) -> None:
    """Installed, armed for a restart, or only ordered: none becomes active; what runs runs on."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    first, second = device.publish("1.0"), device.publish("2.0")
    owner.deploy(first)
    device.run(owner.view())
    owner.deploy(second, when=When.RESTART, keep=(first,))
    device.run(owner.view())
    owner.withdrawn = {second[1]: "it burns"}
    device.run(owner.view())
    device.reboot()
    device.run(owner.view())
    assert device.version() == "1.0"
    refusals = device.said()[-1]["refusals"]
    assert any(one["code"] == "withdrawn" and one["subject"] == TOASTER for one in refusals)
    owner.withdrawn = {first[1]: "it burns too"}
    owner.deploy(first, level=Level.ACTIVE)
    device.run(owner.view())
    assert device.version() == "1.0", "a recall stops nothing that runs"
    assert any(one["code"] == "withdrawn-runs" for one in device.said()[-1]["alarms"])


def test_attack_17_a_server_cannot_go_on_with_a_recalled_rollout(tmp_path: Path) -> None:
    """The recall halts it, also when the canaries were well, and resuming does not help."""
    rig = ServerRig.make(tmp_path / "server")
    fleet = RolloutRig(rig)
    fleet.name_gate_key()
    fleet.bind("one", "two")
    fleet.order(
        fleet.plan(fleet.stage(canaries=["one"]), fleet.stage(100, after=1, needs=Needs.SUCCESS))
    )
    fleet.look()
    fleet.says("one", changed=True)
    rig.change(rig.simulator.withdraw(Withdrawal(digest=NEW, why="it burns")))
    assert fleet.look(hours=2).state == "halted"
    rig.server.rollouts.resume(rig.fleet, "r1", "", "owner")
    assert fleet.look().state == "halted"
    assert fleet.gate(1) is None
    rig.restart()
    assert fleet.look().state == "halted"
    rig.change(rig.simulator.withdraw())
    rig.server.rollouts.resume(rig.fleet, "r1", "", "owner")
    assert fleet.look().stages[1].opened is not None, "taken back, it goes on"
    with pytest.raises(Conflict):
        rig.server.rollouts.resume(rig.fleet, "r1", "", "owner")
    rig.server.close()
