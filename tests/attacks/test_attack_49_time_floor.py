"""Attack 49, at the trust level: the clock is wrong by years, either way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.attacks.trust_world import World, wants

from allod.domain.desired import ChangeNote
from allod.errors import Unavailable
from allod.testing.repository import BUILD_TIME
from allod.wire.trust import Repair

LATER = timedelta(days=3650)
FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def test_attack_49_a_clock_in_the_future_stops_change_and_leaves_no_trace() -> None:
    """Everything is stale while the clock is wrong; with the clock right all is as before."""
    world = World.make()
    floors = world.client.floors
    with pytest.raises(Unavailable) as caught:
        world.client.accept(world.sim.now + LATER)
    assert caught.value.code == "stale"
    assert world.client.floors == floors
    assert world.wanted() == "1.0"


def test_attack_49_a_clock_in_1970_shows_nothing_older_than_the_floor() -> None:
    """The floor is the build, or the latest time that the owner signed; what expired before is stale."""
    world = World.make()
    assert world.client.accept(FIRST).decided == world.client.floors.time
    world.sim.pass_time(timedelta(days=60))
    world.sim.add_statement()
    with pytest.raises(Unavailable) as caught:
        world.client.accept(FIRST)
    assert caught.value.code == "stale"
    assert world.client.floors.time == world.sim.now > BUILD_TIME
    world.sim.refresh()
    assert world.client.accept(FIRST).decided == world.sim.now


def test_attack_49_the_owners_wrong_clock_is_taken_back_by_name() -> None:
    """A statement dated ten years ahead makes all stale, until the next repairs the time floor."""
    world = World.make()
    world.sim.add_statement(at=world.sim.now + LATER)
    with pytest.raises(Unavailable):
        world.client.accept()
    assert world.client.floors.time == world.sim.now + LATER
    world.sim.add_statement(repairs=[Repair(time=world.sim.now.strftime("%Y-%m-%dT%H:%M:%SZ"))])
    assert world.wanted() == "1.0"
    assert world.client.floors.time == world.sim.now


def test_attack_49_a_change_from_the_future_moves_no_floor() -> None:
    """A change's time counts only within the life of the timestamp that it came with."""
    world = World.make()
    before = world.client.floors.time
    note = ChangeNote(1, "c-1", world.sim.now + LATER)
    world.sim.set_state(replace(wants(world.sim, "2.0"), change=note))
    assert world.wanted() == "2.0"
    assert world.client.floors.time == before
    world.sim.pass_time(timedelta(hours=2))
    world.sim.set_state(replace(wants(world.sim, "3.0"), change=replace(note, at=world.sim.now)))
    assert world.wanted() == "3.0"
    assert world.client.floors.time == world.sim.now
