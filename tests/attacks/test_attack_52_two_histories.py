"""Attack 52: the operator of the log shows two devices two histories."""

from __future__ import annotations

from tests.attacks.trust_world import DEVICE, World, wants

from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient


def test_attack_52_two_histories_never_meet_again() -> None:
    """Without witnesses two devices can be kept apart, and from then on for ever: neither takes
    the other's log, cut or longer. With a quorum only one history has its cosignatures.
    """
    world = World.make(AuthorityLog())
    other = SimulatedClient(world.sim.snapshot_state(), device=DEVICE)
    world.sim.set_state(wants(world.sim, "2.0"))
    other.source.set_state(wants(other.source, "3.0"))
    assert world.wanted() == "2.0"
    other.accept()
    first, second = world.sim, other.source
    world.client.source = second
    assert world.refusal() == "log-consistency"
    second.set_state(wants(second, "3.1"))
    assert world.refusal() == "log-consistency"
    other.source = first
    world.client = other
    assert world.refusal() == "log-consistency"


def test_attack_52_what_is_not_in_the_log_is_not_acted_on() -> None:
    """Non-inclusion: the file is signed and served, its entry was left out; so nothing changes."""
    world = World.make(AuthorityLog(witnesses=1))
    assert world.sim.log is not None
    log = world.sim.log
    world.sim.log = None
    world.sim.set_state(wants(world.sim, "2.0"))
    world.sim.log = log
    world.sim.publish_log()
    assert world.refusal() == "publishing"
    log.entries = log.entries[:-3]
    world.sim.publish_log()
    assert world.refusal() == "log-consistency"
