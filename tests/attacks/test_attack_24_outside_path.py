"""Attack 24: a delegate signs documents that are not theirs to sign."""

from __future__ import annotations

import pytest
from tests.attacks.delegate_world import DelegateWorld
from tests.attacks.trust_world import CELLAR, KITCHEN, OWN

from allod.domain.ids import group_scope
from allod.testing.owner import role_keys
from allod.trust.device_view import provider_path
from allod.wire.delegation import delegation_path


@pytest.mark.parametrize(
    "path",
    [
        CELLAR.target_path,
        OWN.target_path,
        "by/other/groups/kitchen.json",
        "by/ops/groups/deeper/kitchen.json",
        "fleet.json",
        delegation_path("self"),
        provider_path("evil"),  # type: ignore[arg-type]
        "releases/withdrawn.json",
    ],
)
def test_attack_24_a_document_outside_of_the_path_is_not_found(path: str) -> None:
    """Whatever a delegate lists in their own role: what lies elsewhere is as if it were not."""
    world = DelegateWorld.make()
    before = world.client.accept()
    world.sign(path, world.state(KITCHEN, "6.6"))
    world.client.groups = ("kitchen", "attic")
    view = world.client.accept()
    assert view.refusals == ()
    assert (view.fleet, view.withdrawn) == (before.fleet, before.withdrawn)
    assert {one.author for one in view.documents.values()} == {"owner"}
    assert (set(view.documents), set(view.delegates)) == ({KITCHEN}, {"ops"})
    assert world.wanted(view) == "1.0"


def test_attack_24_a_delegate_is_never_read_as_the_owner() -> None:
    """Not even where the owner's metadata gives them the path of an owner's document."""
    world = DelegateWorld.make()
    draft = world.sim.draft()
    attic = group_scope("attic")
    keys = world.sim.owner.delegates["ops"]
    world.sim.owner.delegates["wide"] = keys
    draft.delegate("delegation-wide", role_keys(keys), ["state/groups/*"])
    world.sim.publish(draft)
    world.sim.set_target(attic.target_path, world.state(attic, "6.6"))
    world.client.groups = ("kitchen", "attic")
    view = world.client.accept()
    assert [(one.code, one.subject) for one in view.refusals] == [("wrong-role", attic.target_path)]
    assert view.documents[attic].packages == {}
    assert world.wanted(view) == "1.0"


def test_attack_24_a_delegates_word_stays_in_its_scope() -> None:
    """The cellar's document under the kitchen's path, another's name, the owner's name."""
    world = DelegateWorld.make()
    path = "by/ops/groups/kitchen.json"
    for document in (
        world.state(CELLAR, "6.6", "ops"),
        world.state(KITCHEN, "6.6", "other"),
        world.state(KITCHEN, "6.6"),
    ):
        world.sign(path, document)
        view = world.client.accept()
        assert [(one.code, one.subject) for one in view.refusals] == [("wrong-scope", path)]
        assert world.wanted(view) is None
    world.sign(path, world.state(KITCHEN, "1.1", "ops"))
    assert world.wanted() == "1.1"
