"""Attack 49 with witnesses: their time is a floor; no clock shows an old truth as new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.attacks.trust_world import World, wants

from allod.errors import Unavailable
from allod.testing.authority import AuthorityLog


def test_attack_49_a_clock_that_is_wrong_is_put_right_by_a_quorum() -> None:
    """In 1970 the device goes by its witnesses; ten years ahead all is stale and no floor moves."""
    world = World.make(AuthorityLog(witnesses=2, quorum=2, max_age_seconds=24 * 3600))
    old = world.sim.snapshot_state()
    world.sim.pass_time(timedelta(days=10))
    world.sim.set_state(wants(world.sim, "2.0"))
    world.client.accept(now=datetime(1970, 1, 1, tzinfo=UTC))
    assert world.client.floors.time == world.sim.now
    for years in (10, 100):
        with pytest.raises(Unavailable) as caught:
            world.client.accept(now=world.sim.now + timedelta(days=365 * years))
        assert caught.value.code == "stale"
        assert world.client.floors.time == world.sim.now
    assert world.wanted() == "2.0"
    world.show_old(old)
    assert world.refusal() == "log-consistency"


def test_attack_49_the_root_repairs_a_time_that_witnesses_ran_up() -> None:
    """A quorum whose clocks were wrong locks nobody out for good: the root names the time."""
    world = World.make(AuthorityLog(witnesses=1, max_age_seconds=24 * 3600))
    world.sim.now += timedelta(days=3650)
    world.sim.publish_log()
    assert world.refusal() == "stale"
    world.sim.now -= timedelta(days=3650)
    world.sim.publish_log()
    assert world.refusal() == "stale"
    world.sim.add_statement(repairs=[world.repair_of_time()])
    assert world.wanted() == "1.0"
