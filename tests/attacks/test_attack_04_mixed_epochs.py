"""Attack 4 (and 32): whoever holds the online keys mixes roles of different times."""

from __future__ import annotations

import pytest
from tests.attacks.trust_world import OWN, World

from allod.domain.desired import DeviceRecord, StateDocument
from allod.errors import Untrusted
from allod.trust.metadata import BINS


@pytest.mark.parametrize("role", ["targets", "devices"])
def test_attack_04_an_old_role_in_a_new_snapshot_is_refused(role: str) -> None:
    """Every role has a floor of its own, whatever the snapshot says."""
    world = World.make()
    old = world.sim.roles[role]
    draft = world.sim.draft()
    draft.set_target(OWN.target_path, b"{}")
    draft.set_target("fleet-note", b"x")
    draft._dirty.add("devices")
    world.sim.publish(draft)
    world.client.descend()
    world.client.drive(world.client.descend().load_all())
    world.attacker.show({role: old})
    floors = world.client.floors
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "rollback"
    assert caught.value.details["role"] == role
    assert world.client.floors.roles[role] == floors.roles[role]


def test_attack_04_a_role_that_vanishes_is_refused() -> None:
    """A role that was ever verified cannot leave the snapshot: it might restrain somebody."""
    world = World.make()
    world.attacker.show({"devices": None})
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "role-missing"


def test_attack_04_one_role_shown_as_another_proves_nothing() -> None:
    """Bins share keys with `targets`; an empty bin shown as another hides no document."""
    world = World.make()
    own = StateDocument(world.sim.fleet, OWN, hold="stay", device=DeviceRecord(1))
    world.sim.set_state(own)
    assert world.client.accept().documents[OWN].hold == "stay"
    mine = next(
        role
        for role, data in world.sim.roles.items()
        if role.startswith(BINS) and OWN.name.encode() in data
    )
    other = next(role for role in world.sim.roles if role.startswith(BINS) and role != mine)
    draft = world.sim.draft()
    draft._dirty.add(other)
    draft._published[other] = 5
    empty = draft.sign(world.sim.now, world.sim.owner.signers).roles[other]
    world.attacker.show({mine: empty})
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "wrong-role"
    with pytest.raises(Untrusted) as again:
        world.client.accept()
    assert again.value.code == "wrong-role"


def test_attack_04_one_version_with_two_contents_is_an_alarm() -> None:
    """The owner's keys signed version 5 twice: the device keeps the first and says so."""
    world = World.make()
    number = world.client.floors.roles["targets"]
    draft = world.sim.draft()
    draft.set_target("x", b"other")
    draft._published["targets"] = number - 1
    twin = draft.sign(world.sim.now, world.sim.owner.signers).roles["targets"]
    world.attacker.show({"targets": twin})
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "equivocation"
