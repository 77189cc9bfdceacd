"""Attack 26: a delegate who was revoked goes on, and the server helps."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.attacks.delegate_world import DelegateWorld, word
from tests.attacks.trust_world import DEVICE, KITCHEN, PACKAGE

from allod.domain.condition import Change, ChangeFacts, Verb
from allod.domain.decision import decide
from allod.domain.terms import Lease
from allod.errors import Unavailable, Untrusted
from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient
from allod.wire.delegation import delegation_path


@pytest.mark.parametrize("logged", [False, True])
def test_attack_26_who_saw_the_revocation_never_listens_again(logged: bool) -> None:
    """The server shows the targets of before, with new orders of the delegate: below the floor."""
    world = DelegateWorld.make(AuthorityLog(witnesses=1) if logged else None)
    thief = world.sim.snapshot_state()
    keys = dict(world.sim.owner.delegates)
    world.owner.revoke("ops")
    view = world.client.accept()
    assert "ops" not in view.delegates
    thief.owner.delegates = keys
    thief.set_target("by/ops/groups/kitchen.json", world.state(KITCHEN, "6.6", "ops"))
    thief.refresh()
    thief.refresh()
    world.client.source = thief
    with pytest.raises((Untrusted, Unavailable)) as caught:
        world.client.accept()
    assert caught.value.code == ("log-consistency" if logged else "rollback")
    world.client.source = world.sim
    world.sim.refresh(above=50)
    assert "ops" not in world.client.accept().delegates


def test_attack_26_who_did_not_see_it_reads_it_in_the_log() -> None:
    """Old targets and a new order beside the true log: the log has the revocation."""
    world = DelegateWorld.make(AuthorityLog(witnesses=1))
    thief = world.sim.snapshot_state()
    world.owner.revoke("ops")
    thief.owner.delegates = {"ops": world.sim.owner.delegates["ops"]}
    thief.set_target("by/ops/groups/kitchen.json", world.state(KITCHEN, "6.6", "ops"))
    assert thief.log is not None
    assert world.sim.log is not None
    # The best that they can do: the witnesses know one history, so the order comes after it.
    world.sim.log.entries.append(thief.log.entries[-1])
    world.sim.publish_log()
    for path, data in world.sim.files.items():
        if path.startswith("log/"):
            thief.files[path] = data
    world.client.source = thief
    with pytest.raises((Untrusted, Unavailable)) as caught:
        world.client.accept()
    assert caught.value.code in {"withheld", "publishing", "mix-and-match"}
    world.client.source = world.sim
    view = world.client.accept()
    assert "ops" not in view.delegates
    assert word(view) is None


def test_attack_26_a_document_left_behind_by_a_mistake_says_nothing() -> None:
    """The role has no keys any more, and the delegation's document is still there."""
    world = DelegateWorld.make()
    draft = world.sim.draft()
    draft.revoke_delegation("delegation-ops")
    world.sim.publish(draft)
    view = world.client.accept()
    assert delegation_path("ops") not in {one.subject for one in view.refusals}
    assert word(view) is None


def test_attack_26_a_log_that_stands_still_ends_the_lease() -> None:
    """Who hides the revocation has to hide the log: then the delegate's time runs out."""
    world = DelegateWorld.make(
        AuthorityLog(witnesses=3, quorum=2, max_age_seconds=30 * 24 * 3600),
        terms=[Lease(24 * 3600)],
    )
    held_back = world.sim.snapshot_state()
    world.owner.revoke("ops")
    fresh = SimulatedClient(held_back, device=DEVICE)
    held_back.owner.delegates = {"ops": world.sim.owner.delegates["ops"]}
    log = held_back.log
    assert log is not None
    log.cosigners = []  # they know better by now
    checkpoint = held_back.files[f"{log.prefix}/checkpoint"]
    held_back.now += timedelta(hours=25)
    held_back.files[f"{log.prefix}/checkpoint"] = checkpoint
    held_back.files["tuf/timestamp.json"] = world.sim.files["tuf/timestamp.json"]
    held_back.refresh_timestamp()
    view = fresh.accept(now=held_back.now)
    delegation = view.delegates["ops"].delegation
    change = Change(Verb.ACTIVATE, KITCHEN, PACKAGE)
    facts = ChangeFacts(witnessed=view.witnessed)
    early = decide(change, delegation.all_terms, facts, world.sim.now)
    late = decide(change, delegation.all_terms, facts, held_back.now)
    assert early.allowed
    assert [one.code for one in late.refusals] == ["lease-over"]
