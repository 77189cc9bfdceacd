"""Attack 32 with a log: a thief of the online keys freezes, mixes, or splits the view."""

from __future__ import annotations

from datetime import timedelta

from tests.attacks.trust_world import CELLAR, World, wants

from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient


def test_attack_32_online_keys_alone_show_nobody_an_older_state() -> None:
    """A device that is new and has no floors is shown old roles beside the newest log, or another
    log without a quorum; it takes neither, and an old log only while its witnessing is young.
    """
    world = World.make(AuthorityLog(witnesses=3, quorum=2, max_age_seconds=24 * 3600))
    old = world.sim.snapshot_state()
    world.sim.set_state(wants(world.sim, "2.0"))
    world.sim.set_state(wants(world.sim, "8.0", CELLAR))
    world.client = SimulatedClient(world.sim)
    world.attacker.show({"targets": old.roles["targets"]})
    assert world.refusal() == "publishing"
    world.sim.pass_time(timedelta(hours=2))
    assert world.refusal() == "withheld"
    world.client = SimulatedClient(world.sim)
    mixed = world.sim.snapshot_state()
    assert mixed.log is not None
    mixed.log.entries = list(old.log.entries) if old.log is not None else []
    mixed.log.cosigners = mixed.log.cosigners[:1]
    mixed.publish_log()
    world.client.source = mixed
    assert world.refusal() == "no-quorum"
    world.sim.pass_time(timedelta(days=1))
    world.show_old(old)
    assert world.refusal() == "stale"
