"""Pain 4 (eclipse-hawkbit/hawkbit#693): no timeout; a device that is 'proceeding' for ever."""

from __future__ import annotations

from pathlib import Path

from tests.unit.server.rollout_rig import OLD, RolloutRig

from allod.testing.server import ServerRig


def test_pain_04_a_device_that_says_nothing_more_has_an_end(tmp_path: Path) -> None:
    """One device goes silent in the midst of it: the rollout halts by itself, and says which stage."""
    rig = ServerRig.make(tmp_path / "server")
    fleet = RolloutRig(rig)
    fleet.name_gate_key()
    fleet.bind("one", "two")
    fleet.order(
        fleet.plan(
            fleet.stage(canaries=["one", "two"], timeout_seconds=3600),
            fleet.stage(100, max_silent=10),
        )
    )
    fleet.look()
    fleet.says("one", changed=True)
    fleet.says("two", OLD)  # it has begun; then its power goes
    assert fleet.look(minutes=59).state == "running"
    shown = fleet.look(minutes=2)
    assert (shown.state, shown.stages[1].opened) == ("halted", None)
    assert "1 of 2 devices are silent" in shown.why
    alarms = rig.server.listings.alarms(rig.fleet).alarms
    assert [one.code for one in alarms] == ["rollout-halted"]
    rig.server.close()
