"""Attack 16: a provider's next release asks for more than the one that runs has."""

from __future__ import annotations

import pytest
from tests.unit.domain.plan_world import (
    Accepts,
    World,
    delegation,
    did,
    document,
    entry,
    followed,
    following,
    handed,
    managed,
    order,
    refused,
)
from tests.unit.domain.term_facts import TOASTER, release

from allod.domain.release import Constraint
from allod.domain.terms import NewAccess

MORE = (
    "microphone",
    "camera",
    "root",
    "network.outbound",
    "network.listen:tcp/4444",
    "privilege:CAP_SYS_ADMIN",
    "device:/dev/mem",
    "path.write:/etc",
)


def releases(name: str) -> dict[str, object]:
    """What runs, and a successor that needs one thing more."""
    return {"2.0.1": release("2.0.1"), "2.0.2": release("2.0.2", name)}


@pytest.mark.parametrize("name", MORE)
def test_attack_16_new_access_is_stopped_whoever_orders_it(name: str) -> None:
    """By the owner's word, a delegate's or a channel's: nothing of it is fetched."""
    owners = World().owns(document({TOASTER: entry(order("2.0.2"))}))
    for world in (owners, handed(), followed()):
        found = world.plan(releases=releases(name))
        assert did(found) == []
        assert "access-not-accepted" in refused(found)


@pytest.mark.parametrize("name", MORE)
def test_attack_16_what_is_accepted_by_name_may_come(name: str) -> None:
    """In the owner's entry, or in the owner's delegation; in a delegate's own entry it is nothing."""
    accepts = Accepts(frozenset({name}))
    named = followed().owns(document({TOASTER: managed("acme", accepts=accepts)}))
    assert did(named.plan(releases=releases(name))) == ["Transfer"]
    listed = World().owns(document({TOASTER: managed("acme")}))
    listed.delegates_to(following(delegation("acme", NewAccess(frozenset({name}))), "2.0.2"))
    assert did(listed.plan(releases=releases(name))) == ["Transfer"]


def test_attack_16_a_constraint_on_the_owner_is_stopped_likewise() -> None:
    """No delegate takes it on for the owner."""
    fuse = Constraint("fuse", "an older release never starts again")
    bound = {"2.0.1": release("2.0.1"), "2.0.2": release("2.0.2", constraints=(fuse,))}
    for world in (handed(), followed()):
        found = world.plan(releases=bound)
        assert (did(found), refused(found)) == ([], ["constraint-not-accepted"])
