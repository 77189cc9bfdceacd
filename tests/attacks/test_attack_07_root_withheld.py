"""Attack 7, as far as it needs no log: roots that were seen before are withheld later."""

from __future__ import annotations

import pytest
from tests.attacks.trust_world import World

from allod.errors import Untrusted
from allod.testing.repository import key_from


def test_attack_07_a_device_that_lost_its_cache_notices_withheld_roots() -> None:
    """The floor remembers the newest root; without it the revoked keys would be good again."""
    world = World.make()
    world.sim.rotate_root([key_from("next")])
    world.sim.rotate_targets([key_from("next/targets")])
    assert world.wanted() == "1.0"
    assert world.client.floors.root_version == 3
    world.client.cached.clear()
    world.sim.tamper["tuf/3.root.json"] = lambda _data: None
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "root-withheld"
    world.sim.tamper.clear()
    assert world.wanted() == "1.0"
