"""Attack 31: a thief of the timestamp key freezes the world, without and with a log."""

from __future__ import annotations

from datetime import timedelta

from tests.attacks.trust_world import World, wants

from allod.testing.authority import AuthorityLog
from allod.testing.repository import RepositorySimulator


def _show(world: World, old: RepositorySimulator, **span: float) -> None:
    """The old snapshot under a new timestamp: all that this one key can make."""
    world.sim.pass_time(timedelta(**span))
    old.now = world.sim.now
    old.refresh_timestamp()
    world.client.source = old


def test_attack_31_a_freeze_ends_with_what_the_key_cannot_sign() -> None:
    """Without a log it lasts as long as the snapshot lives, and not a second more."""
    world = World.make()
    old = world.sim.snapshot_state()
    world.sim.set_state(wants(world.sim, "2.0"))
    _show(world, old, days=6)
    assert world.wanted() == "1.0"
    _show(world, old, days=1, seconds=1)
    assert world.refusal() == "stale"


def test_attack_31_with_witnesses_it_ends_at_their_greatest_age() -> None:
    """The key signs no checkpoint; the old one grows old."""
    world = World.make(AuthorityLog(witnesses=2, quorum=2, max_age_seconds=3600))
    old = world.sim.snapshot_state()
    world.sim.set_state(wants(world.sim, "2.0"))
    _show(world, old, hours=1)
    assert world.wanted() == "1.0"
    _show(world, old, seconds=1)
    assert world.refusal() == "stale"


def test_attack_31_beside_the_true_log_it_is_seen_at_once() -> None:
    """Who has the timestamp key alone cannot hide the log: the device knows that there is more,
    takes the old state for no minute, and calls it withheld after an hour.
    """
    world = World.make(AuthorityLog())
    old = world.sim.snapshot_state()
    world.sim.set_state(wants(world.sim, "2.0"))
    old.files = world.sim.files | {"tuf/timestamp.json": old.files["tuf/timestamp.json"]}
    _show(world, old, minutes=1)
    assert world.refusal() == "publishing"
    _show(world, old, minutes=61)
    assert world.refusal() == "withheld"
    world.client.source = world.sim
    world.sim.refresh(above=100)
    assert world.wanted() == "2.0"
