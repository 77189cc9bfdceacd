"""Attack 7 with a log: a root that the log has cannot be withheld."""

from __future__ import annotations

from tests.attacks.trust_world import World

from allod.testing.authority import AuthorityLog
from allod.testing.repository import key_from


def test_attack_07_the_log_tells_of_a_root_that_is_not_served() -> None:
    """The entry of root 2 is signed by root 1; a device that never saw root 2 knows of it, and
    remembers: the log cannot lose the entry again.
    """
    world = World.make(AuthorityLog(witnesses=1))
    old = world.sim.snapshot_state()
    world.sim.rotate_root([key_from("next")])
    world.sim.rotate_targets([key_from("next/targets")])
    for version in (2, 3):
        world.sim.tamper[f"tuf/{version}.root.json"] = lambda _data: None
    assert world.refusal() == "root-withheld"
    world.show_old(old)
    assert world.refusal() == "log-consistency"
    world.client.source = world.sim
    world.sim.tamper.clear()
    assert world.wanted() == "1.0"
    assert world.client.floors.root_version == 3
