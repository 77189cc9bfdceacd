"""Attack 3 with a log: all online keys freeze the world, and witnesses say how old it is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.attacks.trust_world import World, wants

from allod.testing.authority import AuthorityLog


def _frozen(log: AuthorityLog) -> World:
    """The owner went on to 2.0; the server shows 1.0 under ever new snapshots and timestamps."""
    world = World.make(log)
    old = world.sim.snapshot_state()
    world.sim.set_state(wants(world.sim, "2.0"))
    world.show_old(old)
    return world


def _days(world: World, **span: float) -> None:
    world.sim.pass_time(timedelta(**span))
    world.client.source.now, world.client.source.log = world.sim.now, None
    world.client.source.refresh()


def test_attack_03_witnesses_end_a_freeze_at_their_greatest_age() -> None:
    """Fresh signatures of the online keys do not help beyond it; what runs stays accepted, and the
    newest truth is taken as soon as it is shown.
    """
    world = _frozen(AuthorityLog(witnesses=3, quorum=2, max_age_seconds=6 * 3600))
    _days(world, hours=6)
    assert world.wanted() == "1.0"
    _days(world, seconds=1)
    assert world.refusal() == "stale"
    _days(world, days=21)
    assert world.refusal() == "stale"
    world.client.source = world.sim
    world.sim.refresh(above=100)
    assert world.wanted() == "2.0"


@pytest.mark.parametrize("days", [7, 21])
def test_attack_03_without_witnesses_the_log_shortens_no_freeze(days: int) -> None:
    """A log alone says what was signed, not when it is now: the page on guarantees says so."""
    world = _frozen(AuthorityLog())
    _days(world, days=days)
    assert world.wanted() == "1.0"
