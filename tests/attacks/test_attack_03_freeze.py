"""Attack 3 (and 31): the server freezes the world for weeks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.attacks.trust_world import World

from allod.errors import Unavailable


def test_attack_03_an_old_snapshot_under_new_timestamps_goes_stale() -> None:
    """With the timestamp key alone the freeze ends with the snapshot's life, within a week."""
    world = World.make()
    for _ in range(6):
        world.sim.pass_time(timedelta(days=1))
        world.sim.refresh_timestamp()
        assert world.wanted() == "1.0"
    world.sim.pass_time(timedelta(days=1, seconds=1))
    world.sim.refresh_timestamp()
    with pytest.raises(Unavailable) as caught:
        world.client.accept()
    assert caught.value.code == "stale"
    assert caught.value.details["role"] == "snapshot"


def test_attack_03_all_online_keys_freeze_no_longer_than_the_owner_signed_for() -> None:
    """With every online key the freeze ends with the life of what the owner signed."""
    world = World.make()
    world.sim.pass_time(world.sim.lives.targets + timedelta(seconds=1))
    world.attacker.show({})
    with pytest.raises(Unavailable) as caught:
        world.client.accept()
    assert caught.value.code == "stale"
    assert caught.value.details["role"] == "targets"


def test_attack_03_silence_goes_stale_and_heals() -> None:
    """The same timestamp served on and on is stale after its life; a new one ends that."""
    world = World.make()
    world.sim.pass_time(timedelta(days=3))
    with pytest.raises(Unavailable, match="expired"):
        world.client.accept()
    world.sim.refresh()
    assert world.wanted() == "1.0"
