"""Attack 26 without delegation: somebody lost the daily key, and the server hides it."""

from __future__ import annotations

from tests.attacks.trust_world import World, wants

from allod.testing.authority import AuthorityLog
from allod.testing.repository import key_from


def test_attack_26_what_a_revoked_key_signs_later_counts_no_more() -> None:
    """The server serves the targets of before, and what the old key makes of it; the log has the
    rotation, so neither holds, and the entry of the revoked key is ignored and reported.
    """
    world = World.make(AuthorityLog(witnesses=1))
    thief = world.sim.snapshot_state()
    world.sim.rotate_targets([key_from("next/targets")])
    assert world.sim.log is not None
    entries = list(world.sim.log.entries)
    thief.set_state(wants(thief, "6.6"))
    assert thief.log is not None
    thief.log.entries = [*entries, thief.log.entries[-1]]
    thief.publish_log()
    world.client.source = thief
    assert world.refusal() == "root-withheld"
    thief.files["tuf/2.root.json"] = world.sim.files["tuf/2.root.json"]
    assert world.refusal() == "mix-and-match"
    world.client.source = world.sim
    world.sim.log.entries = list(thief.log.entries)
    world.sim.publish_log()
    view = world.client.accept()
    assert [alarm.code for alarm in view.alarms] == ["log-entry-ignored"]
    assert world.wanted() == "1.0"
