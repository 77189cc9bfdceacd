"""Pain 14: a third party may update some of a device, and only that (rauc/rauc#571)."""

from __future__ import annotations

from tests.unit.domain.plan_world import (
    BUTLER,
    Level,
    World,
    delegation,
    did,
    document,
    entry,
    managed,
    order,
    ordering,
    refused,
)
from tests.unit.domain.term_facts import TOASTER

from allod.domain.condition import Verb


def test_pain_14_a_third_party_is_limited_to_its_own_packages() -> None:
    """Its orders for the owner's packages are nobody's, and it may stage without running."""
    third = delegation("third", verbs=frozenset({Verb.TRANSFER, Verb.INSTALL}))
    words = {
        TOASTER: entry(order("2.0.1"), order("2.0.2", Level.INSTALLED), change="theirs"),
        BUTLER: entry(order("3.0.0"), change="theirs"),
    }
    owners = document({TOASTER: managed("third"), BUTLER: entry(order("2.0.1"))})
    world = World().owns(owners).delegates_to(ordering(third, words))
    assert world.resolved.packages[BUTLER].software.manager == "owner"
    found = world.plan()
    assert "Transfer" in did(found)
    assert all(action.package in {TOASTER, BUTLER} for action in found.actions)
    named = {one.order.version for one in found.actions if hasattr(one, "order")}
    assert "3.0.0" not in named
    runs = (
        World()
        .owns(owners)
        .delegates_to(ordering(third, {TOASTER: entry(order("2.0.2"), change="theirs")}))
    )
    assert "outside-verbs" in refused(runs.plan())
