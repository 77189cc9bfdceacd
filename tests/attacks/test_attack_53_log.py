"""Attack 53 with a log: entries and logs of the previous owner say nothing to the next."""

from __future__ import annotations

from tests.attacks.trust_world import World

from allod.testing.authority import AuthorityLog
from allod.testing.repository import RepositorySimulator, TestOwner


def test_attack_53_a_previous_owners_log_and_entries_count_for_nothing() -> None:
    """Served as the new owner's log it is refused; slipped into that one its entries are ignored."""
    world = World.make(AuthorityLog(witnesses=1))
    seller = RepositorySimulator(TestOwner("seller"), log=AuthorityLog(witnesses=1))
    assert world.sim.log is not None
    assert seller.log is not None
    honest = world.sim.files["log/authority/checkpoint"]
    world.sim.files["log/authority/checkpoint"] = seller.files["log/authority/checkpoint"]
    assert world.refusal() == "note-signature"
    world.sim.files["log/authority/checkpoint"] = honest
    world.sim.log.entries += seller.log.entries
    world.sim.publish_log()
    before = world.client.floors.counted
    view = world.client.accept()
    assert [alarm.code for alarm in view.alarms] == ["log-entry-ignored"]
    assert world.client.floors.counted == before
