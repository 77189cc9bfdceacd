"""Attack 55 with a log: a lagging device and a state that is signed, unexpired, and undone."""

from __future__ import annotations

from datetime import timedelta

from tests.attacks.trust_world import World, wants

from allod.testing.authority import AuthorityLog


def test_attack_55_an_undone_state_is_shown_no_longer_than_witnesses_are_believed() -> None:
    """Three epochs: the device knows the first, the server shows the second, the third undid it.
    With every online key it works for the greatest age that the owner named, and not after.
    """
    world = World.make(AuthorityLog(witnesses=3, quorum=2, max_age_seconds=3600))
    world.sim.set_state(wants(world.sim, "2.0"))
    second = world.sim.snapshot_state()
    world.sim.set_state(wants(world.sim, "3.0"))
    world.sim.pass_time(timedelta(minutes=61))
    world.show_old(second)
    assert world.refusal() == "stale"
    world.client.source = world.sim
    world.sim.refresh()
    assert world.wanted() == "3.0"


def test_attack_55_a_device_wakes_after_400_days() -> None:
    """Rotations of every key, hundreds of changes: it catches up in one look, all files verified."""
    world = World.make(AuthorityLog(witnesses=1))
    for month in range(13):
        for _ in range(8):
            world.sim.pass_time(timedelta(days=30) / 8)
            world.sim.set_state(wants(world.sim, f"{month + 2}.0"))
        world.rotate(month)
    world.sim.pass_time(timedelta(days=10))
    world.sim.refresh()
    assert world.wanted() == "14.0"
    assert world.sim.log is not None
    assert world.client.floors.counted["root"].version == world.client.floors.root_version
