"""Attack 8, at the trust level: nothing that is missing is ever taken for removed."""

from __future__ import annotations

import pytest
from tests.attacks.trust_world import KITCHEN, World, wants

from allod.errors import Unavailable, Untrusted
from allod.testing.client import SimulatedClient

ANSWERS = {"nothing": None, "empty": b"", "page": b"<html>not found</html>", "null": b"null"}


@pytest.mark.parametrize("kind", sorted(ANSWERS))
def test_attack_08_no_file_that_goes_missing_changes_anything(kind: str) -> None:
    """Each file that a new device asks for is withheld in turn: it refuses, or sees the same."""
    world = World.make()
    world.sim.set_state(wants(world.sim, "2.0"))
    world.sim.asked.clear()
    whole = world.client.accept()
    asked = list(dict.fromkeys(world.sim.asked))
    assert len(asked) > 5
    for path in asked:
        fresh = World(
            world.sim, SimulatedClient(world.sim, device=world.client.device), world.attacker
        )
        world.sim.tamper = {path: lambda _data: ANSWERS[kind]}
        optional = world.sim.files.get(path) is None
        if optional and kind == "nothing":
            view = fresh.client.accept()
            assert view.documents[KITCHEN].packages == whole.documents[KITCHEN].packages
        else:
            with pytest.raises((Unavailable, Untrusted)):
                fresh.client.accept()


def test_attack_08_a_role_file_that_is_withheld_says_so() -> None:
    """What the snapshot lists and the source does not have is `withheld`, to be tried again."""
    world = World.make()
    world.sim.set_state(wants(world.sim, "2.0"))
    number = max(
        int(n.split("/")[1].split(".")[0]) for n in world.sim.files if n.endswith(".targets.json")
    )
    world.sim.tamper[f"tuf/{number}.targets.json"] = lambda _data: None
    with pytest.raises(Unavailable) as caught:
        world.client.accept()
    assert caught.value.code == "withheld"
    world.sim.tamper.clear()
    assert world.wanted() == "2.0"
