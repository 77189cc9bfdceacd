"""Attack 2: the server serves one group's document to the devices of another."""

from __future__ import annotations

import hashlib

import pytest
from tests.attacks.trust_world import CELLAR, KITCHEN, World, wants

from allod.errors import Untrusted
from allod.wire.desired import encode_state


def test_attack_02_swapped_files_are_refused() -> None:
    """The cellar's document under the kitchen's name has another digest than the owner signed."""
    world = World.make()
    world.sim.set_state(wants(world.sim, "2.0"))
    kitchen = encode_state(wants(world.sim, "2.0"))
    cellar = encode_state(wants(world.sim, "7.0", CELLAR))
    digest = hashlib.sha256(kitchen).hexdigest()
    world.sim.files[f"tuf/targets/state/groups/{digest}.kitchen.json"] = cellar
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "mix-and-match"


def test_attack_02_scope_stands_inside_the_signed_bytes() -> None:
    """Even signed under the kitchen's path, a document for the cellar decides nothing there."""
    world = World.make()
    world.sim.set_target(KITCHEN.target_path, encode_state(wants(world.sim, "7.0", CELLAR)))
    view = world.client.accept()
    assert [refusal.code for refusal in view.refusals] == ["wrong-scope"]
    assert view.documents[KITCHEN].packages == {}
    assert view.documents[KITCHEN].hold is not None
