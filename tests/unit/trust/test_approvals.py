"""Approvals: whose count, for what, and whose do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.trust.test_delegates import KITCHEN, LAMP, wanted

from allod.domain.approval import by_kind
from allod.domain.desired import ChangeNote, PackageEntry
from allod.errors import InvalidInput, Untrusted
from allod.testing.client import SimulatedClient
from allod.testing.delegations import Delegating
from allod.testing.owner import key_from
from allod.testing.repository import START, RepositorySimulator
from allod.trust.approvals import approved_entry, make_approval, verify_approval
from allod.trust.dsse import sign_envelope
from allod.trust.keys import from_key
from allod.wire.entry import entry_digest
from allod.wire.envelope import GATE
from allod.wire.trust import FleetDocument, Person

NOTE = ChangeNote(7, "change-7", START, "me", "new lamp", "T-1")
ENTRY = replace(wanted(), change=NOTE)


@pytest.fixture
def world() -> Delegating:
    """Anna and Ben are of QA, Cleo of operations, Dora of both."""
    made = Delegating(RepositorySimulator())
    made.set_people(anna=("qa",), ben=("qa",), cleo=("operations",), dora=("operations", "qa"))
    return made


def fleet(world: Delegating) -> FleetDocument:
    """`fleet.json` as devices accept it."""
    return SimulatedClient(world.fleet).accept().fleet


def kinds(world: Delegating, entry: PackageEntry) -> dict[str, set[str]]:
    """Who approves the entry, by kind, as far as it holds."""
    found = approved_entry(LAMP, entry, fleet(world), KITCHEN, "owner").approved
    return {kind: set(people) for kind, people in by_kind(found).items()}


def test_approvals_of_the_entry_count_by_kind_and_person(world: Delegating) -> None:
    """One each, in any order; what the change's number and time become does not spoil them."""
    entry = ENTRY
    for person, kind in (("anna", "qa"), ("cleo", "operations"), ("anna", "qa"), ("dora", "qa")):
        entry = world.approve(person, kind, KITCHEN, LAMP, entry)
    published = replace(entry, change=replace(NOTE, number=9))
    wanted_ = {"qa": {"anna", "dora"}, "operations": {"cleo"}}
    assert kinds(world, entry) == kinds(world, published) == wanted_
    backwards = replace(entry, approvals=entry.approvals[::-1])
    assert kinds(world, backwards) == wanted_
    assert approved_entry(LAMP, ENTRY, fleet(world), KITCHEN, "owner") is ENTRY


def test_an_approval_of_another_change_or_entry_counts_for_nothing(world: Delegating) -> None:
    """The digest covers the entry and the change's id, author and reasons."""
    entry = world.approve("anna", "qa", KITCHEN, LAMP, ENTRY)
    for other in (
        replace(entry, change=replace(NOTE, id="change-8")),
        replace(entry, change=replace(NOTE, ticket="T-2")),
        replace(entry, change=None),
        replace(entry, secrets=frozenset({"wifi"})),
        replace(entry, software=wanted("sha256:" + "2" * 64).software),
    ):
        assert kinds(world, other) == {}


def test_who_is_not_named_for_the_kind_does_not_count(world: Delegating) -> None:
    """A stranger, a person in another kind, somebody else's name, a key for the API."""
    approvals = []
    keys = {name: key for name, (key, _) in world.people.items()}
    api = key_from(f"{world.fleet.owner.name}/api/anna")
    for person, kind, key in (
        ("eve", "qa", key_from("eve")),
        ("anna", "operations", keys["anna"]),
        ("cleo", "operations", keys["anna"]),
        ("anna", "qa", api),
    ):
        raw = make_approval(
            world.fleet.fleet,
            KITCHEN,
            "owner",
            LAMP,
            ENTRY,
            kind=kind,
            person=person,
            at=START,
            signers=[key],
        )
        approvals.append(raw)
    assert kinds(world, replace(ENTRY, approvals=tuple(approvals))) == {}


def test_somebody_who_signed_against_it_does_not_count(world: Delegating) -> None:
    """A rejection beside an approval: in doubt, no."""
    entry = world.approve("anna", "qa", KITCHEN, LAMP, ENTRY)
    entry = world.approve("anna", "qa", KITCHEN, LAMP, entry, verdict="reject")
    entry = world.approve("ben", "qa", KITCHEN, LAMP, entry)
    assert kinds(world, entry) == {"qa": {"ben"}}


def test_one_key_is_one_person(world: Delegating) -> None:
    """Two names with one key in fleet.json do not fill two places."""
    key = key_from("both")
    named = [
        Person(
            name=name,
            key=from_key(key_from(name).public_key),
            approval=from_key(key.public_key),
            role="approver",
            kinds=["qa"],
        )
        for name in ("zoe", "yann")
    ]
    world.fleet.set_fleet(people=named)
    world.people = dict.fromkeys(("zoe", "yann"), (key, ("qa",)))
    entry = world.approve("zoe", "qa", KITCHEN, LAMP, ENTRY)
    entry = world.approve("yann", "qa", KITCHEN, LAMP, entry)
    assert kinds(world, entry) == {"qa": {"yann"}}


def test_approvals_reach_the_view_of_owners_and_delegates_entries(world: Delegating) -> None:
    """What the device resolves has them verified; those of an entry moved elsewhere are gone."""
    world.grant("ops", [KITCHEN])
    entry = world.approve("anna", "qa", KITCHEN, LAMP, ENTRY, author="ops")
    world.order("ops", KITCHEN, {LAMP: entry})
    world.set_manager(KITCHEN, LAMP, "ops")
    view = SimulatedClient(world.fleet).accept()
    said = view.delegates["ops"].documents[KITCHEN].packages[LAMP]
    assert [one.person for one in said.approved] == ["anna"]
    world.fleet.set_packages(KITCHEN, {LAMP: entry})
    assert SimulatedClient(world.fleet).accept().documents[KITCHEN].packages[LAMP].approved == ()


def test_a_single_approval_is_checked_by_itself(world: Delegating) -> None:
    """For whoever collects them: the signed words, or why they are none."""
    document = fleet(world)
    entry = world.approve("anna", "qa", KITCHEN, LAMP, ENTRY)
    said = verify_approval(entry.approvals[0], document).value
    assert (said.person, said.kind, said.verdict) == ("anna", "qa", "approve")
    assert said.entry == entry_digest(LAMP, ENTRY)
    payload = b'{"type":"allod.approval","format":1}'
    with pytest.raises(InvalidInput):
        verify_approval(sign_envelope(payload, GATE, [key_from("x")]), document)
    with pytest.raises(InvalidInput):
        verify_approval(b"{", document)
    world.set_people(ben=("qa",))
    with pytest.raises(Untrusted) as caught:
        verify_approval(entry.approvals[0], fleet(world))
    assert caught.value.code == "wrong-person"
