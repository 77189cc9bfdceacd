"""Attack 61, at the trust level: what is missing, empty or moved is never 'delete'."""

from __future__ import annotations

import pytest
from tests.attacks.trust_world import KITCHEN, OWN, World, wants

from allod.domain.desired import DeviceRecord, StateDocument
from allod.domain.ids import GroupName
from allod.errors import InvalidInput, Untrusted
from allod.wire.codec import encode
from allod.wire.trust import ProviderDocument


def test_attack_61_groups_once_accepted_stay_without_the_document() -> None:
    """The owner's document of the device vanishes: its groups stay those it named."""
    world = World.make()
    record = DeviceRecord(1, groups=(GroupName("cellar"),))
    world.sim.set_state(StateDocument(world.sim.fleet, OWN, device=record))
    assert world.client.accept().groups == ("cellar",)
    world.sim.remove_target(OWN.target_path)
    view = world.client.accept()
    assert view.groups == ("cellar",)
    assert OWN not in view.documents


def test_attack_61_a_newer_document_can_give_the_groups_back_to_the_invite() -> None:
    """A document that names no groups says: those of the invite."""
    world = World.make()
    for groups, expected in [((GroupName("cellar"),), ("cellar",)), (None, ("kitchen",))]:
        record = DeviceRecord(1, groups=groups)
        world.sim.set_state(StateDocument(world.sim.fleet, OWN, device=record))
        assert world.client.accept().groups == expected


def test_attack_61_a_removed_document_is_absent_and_not_empty() -> None:
    """Nobody names the package any more: there is no document, so nothing to delete by."""
    world = World.make()
    assert KITCHEN in world.client.accept().documents
    world.sim.remove_target(KITCHEN.target_path)
    view = world.client.accept()
    assert KITCHEN not in view.documents
    assert view.refusals == ()


def test_attack_61_an_unreadable_document_holds_and_does_not_stop_the_others() -> None:
    """The scope is on hold with its reason, so that no other scope decides in its place."""
    world = World.make()
    world.sim.set_target(OWN.target_path, b"{}")
    view = world.client.accept()
    assert [refusal.code for refusal in view.refusals] == ["bad-document"]
    assert view.documents[OWN].hold is not None
    assert view.documents[KITCHEN].packages


def test_attack_61_without_fleet_json_or_with_a_bad_one_nothing_changes() -> None:
    """What holds for the whole fleet is needed whole."""
    world = World.make()
    world.sim.set_target("fleet.json", b"[]")
    with pytest.raises(InvalidInput):
        world.client.accept()
    world.sim.remove_target("fleet.json")
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "no-fleet-document"


def test_attack_61_a_provider_that_cannot_be_read_is_refused_alone() -> None:
    """Its releases have no provider; everything else goes on."""
    world = World.make()
    assert set(world.client.accept().providers) == {"me"}
    world.sim.set_target("providers/me.json", b"{}")
    view = world.client.accept()
    assert dict(view.providers) == {}
    assert [refusal.subject for refusal in view.refusals] == ["providers/me.json"]
    world.sim.remove_target("providers/me.json")
    world.sim.set_state(wants(world.sim, "2.0"))
    assert dict(world.client.accept().providers) == {}


def test_attack_61_a_provider_of_another_name_stops_everything() -> None:
    """The owner's own keys signed one provider under another's name: nothing changes."""
    world = World.make()
    document = ProviderDocument(fleet=world.sim.fleet, provider="you", keys=[], namespaces=[])
    world.sim.set_target("providers/me.json", encode(document))
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "wrong-address"
