"""Pain 22 (UpstreamDataInc/goosebit#18, #279): stop at an error rate; a first start that is hard."""

from __future__ import annotations

from pathlib import Path

from tests.unit.server.rollout_rig import OLD, RolloutRig

from allod.domain.rollout import Needs
from allod.testing.server import ServerRig


def test_pain_22_a_rollout_stops_at_the_error_rate_that_was_signed(tmp_path: Path) -> None:
    """One of four failed: below the rate it goes on, above it nothing more opens."""
    rig = ServerRig.make(tmp_path / "server")
    fleet = RolloutRig(rig)
    fleet.name_gate_key()
    names = ("one", "two", "three", "four")
    fleet.bind(*names)
    fleet.order(
        fleet.plan(
            fleet.stage(canaries=names),
            fleet.stage(100, max_failed=25, max_silent=50),
            fleet.stage(100, after=24, max_failed=25),
        )
    )
    fleet.look()
    fleet.says("one", OLD, reverted=True)
    assert fleet.look().state == "running"
    fleet.says("two", changed=True)
    fleet.says("three", changed=True)
    assert fleet.look().stages[1].opened is not None, "25 % may fail, and 25 % did"
    fleet.says("four", OLD, reverted=True)
    shown = fleet.look(hours=48)
    assert (shown.state, shown.stages[2].opened) == ("halted", None)
    assert "2 of 4 devices failed; 25 % may" in shown.why
    rig.server.close()


def test_pain_22_the_first_start_is_the_hardest_one(tmp_path: Path) -> None:
    """Of the first stage a single failure suffices, whatever the fleet's size: none of it spreads."""
    rig = ServerRig.make(tmp_path / "server")
    fleet = RolloutRig(rig)
    fleet.name_gate_key()
    fleet.bind("one", "two", "three")
    fleet.order(
        fleet.plan(
            fleet.stage(canaries=["one"]), fleet.stage(100, needs=Needs.SUCCESS, max_failed=2)
        )
    )
    fleet.look()
    fleet.says("one", OLD, reverted=True)
    assert fleet.look().state == "halted"
    assert fleet.gate(1) is None
    rig.server.close()
