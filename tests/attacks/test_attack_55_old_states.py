"""Attack 55, as far as it needs no witness: which signed pasts a lagging device can be shown."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.attacks.trust_world import DEVICE, World, wants

from allod.errors import Unavailable, Untrusted
from allod.testing.client import SimulatedClient


def test_attack_55_three_epochs_of_which_only_the_floor_and_later_are_possible() -> None:
    """A device that saw 2.0 is never led back to 1.0; one that lags can be led to 2.0, no further.

    This is the window that the page on guarantees states; witnesses will narrow it.
    """
    world = World.make()
    first = dict(world.sim.roles)
    world.sim.set_state(wants(world.sim, "2.0"))
    second = dict(world.sim.roles)
    lagging = SimulatedClient(world.sim, device=DEVICE)
    lagging.accept()
    world.sim.set_state(wants(world.sim, "3.0"))
    assert world.wanted() == "3.0"

    world.attacker.show({"targets": second["targets"]})
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "rollback"
    # The online keys make a snapshot that an honest device could not tell from a fresh one,
    # if the device saw nothing newer.
    behind = World(world.sim, lagging, world.attacker)
    assert behind.wanted() == "2.0"
    world.attacker.show({"targets": first["targets"]})
    with pytest.raises(Untrusted):
        lagging.accept()


def test_attack_55_a_state_that_expired_can_be_shown_to_nobody() -> None:
    """Not even to a device that never saw anything newer than its root."""
    world = World.make()
    fresh = SimulatedClient(world.sim, device=DEVICE)
    world.sim.pass_time(world.sim.lives.targets + timedelta(days=1))
    world.attacker.show({})
    with pytest.raises(Unavailable) as caught:
        fresh.accept()
    assert caught.value.code == "stale"
