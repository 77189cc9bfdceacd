"""Attacks 2, 4 and 58 with delegates: words shown elsewhere, of another time, in another fleet."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.attacks.delegate_world import DelegateWorld, wants, word
from tests.attacks.trust_world import CELLAR, DEVICE, KITCHEN, PACKAGE

from allod.domain.desired import PackageEntry
from allod.errors import Untrusted
from allod.testing.attacker import OnlineAttacker
from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient
from allod.testing.delegations import Delegating
from allod.testing.owner import TestOwner
from allod.testing.repository import RepositorySimulator
from allod.trust.approvals import approved_entry
from allod.wire.codec import decode
from allod.wire.delegation import delegation_path
from allod.wire.trust import FleetDocument


def test_attack_02_a_delegates_document_of_one_group_is_none_of_another() -> None:
    """The server swaps the files of two groups of one delegate: neither counts."""
    world = DelegateWorld.make()
    world.owner.grant("two", [KITCHEN, CELLAR], [PACKAGE])
    for scope, version in ((KITCHEN, "1.0"), (CELLAR, "2.0")):
        world.owner.order("two", scope, {PACKAGE: wants(version)})
        world.owner.set_manager(scope, PACKAGE, "two")
    served = world.sim.files
    kitchen, cellar = (
        next(path for path in served if "by/two/groups/" in path and path.endswith(name))
        for name in (".kitchen.json", ".cellar.json")
    )
    served[kitchen], served[cellar] = served[cellar], served[kitchen]
    view = SimulatedClient(world.sim, groups=("kitchen", "cellar")).accept()
    assert view.delegates["two"].documents == {}
    assert {one.code for one in view.refusals} == {"mix-and-match"}


@pytest.mark.parametrize("role", ["delegation-ops", "targets"])
def test_attack_04_old_words_do_not_mix_with_new_ones(role: str) -> None:
    """An old file of the delegate under the owner's new one, or the other way about: refused."""
    world = DelegateWorld.make()
    old = world.sim.roles[role]
    world.owner.grant("ops2", [CELLAR], [PACKAGE])
    world.owner.order("ops", KITCHEN, {PACKAGE: wants("1.1")})
    assert world.wanted() == "1.1"
    OnlineAttacker(world.sim).show({role: old})
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "rollback"
    assert caught.value.details["role"] == role


def test_attack_04_a_device_without_floors_has_the_log() -> None:
    """To who is new the log says that the delegate's old file is old: this word alone is refused."""
    world = DelegateWorld.make(AuthorityLog(witnesses=1))
    old = world.sim.roles["delegation-ops"]
    world.owner.order("ops", KITCHEN, {PACKAGE: wants("1.1")})
    OnlineAttacker(world.sim).show({"delegation-ops": old})
    view = SimulatedClient(world.sim, device=DEVICE).accept()
    assert word(view) is None
    assert [one.code for one in view.refusals] == ["publishing"]
    assert KITCHEN in view.documents


def test_attack_04_a_delegation_role_cannot_vanish() -> None:
    """A delegate's role that was seen does not become one that never was."""
    world = DelegateWorld.make()
    OnlineAttacker(world.sim).show({"delegation-ops": None})
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "role-missing"


def _two_fleets() -> tuple[Delegating, Delegating]:
    """Two owners gave power to one delegate with one key, and to people with one key each."""
    fleets = []
    for name in ("a", "b"):
        fleet = Delegating(RepositorySimulator(TestOwner(name)))
        fleet.grant("ops", [KITCHEN], [PACKAGE])
        fleet.set_manager(KITCHEN, PACKAGE, "ops")
        fleets.append(fleet)
    assert fleets[0].fleet.fleet != fleets[1].fleet.fleet
    return fleets[0], fleets[1]


def test_attack_58_a_delegates_word_for_one_fleet_is_none_in_another() -> None:
    """The same key in both: document, role file and delegation say whose fleet they are for."""
    a, b = _two_fleets()
    a.order("ops", KITCHEN, {PACKAGE: wants("6.6")})
    b.order("ops", KITCHEN, {PACKAGE: wants("1.0")})
    mine = b.fleet.snapshot_state()
    path = "by/ops/groups/kitchen.json"
    served = next(p for p in a.fleet.files if p.startswith("tuf/targets/by/ops/"))
    b.fleet.set_target(path, a.fleet.files[served])
    view = SimulatedClient(b.fleet).accept()
    assert [(one.code, one.subject) for one in view.refusals] == [("wrong-fleet", path)]
    OnlineAttacker(mine).show({"delegation-ops": a.fleet.roles["delegation-ops"]})
    view = SimulatedClient(mine).accept()
    assert [one.code for one in view.refusals] == ["wrong-fleet"]
    assert view.delegates["ops"].documents == {}
    document = next(d for p, d in a.fleet.files.items() if "targets/delegations/" in p)
    mine.set_target(delegation_path("ops"), document)
    view = SimulatedClient(mine).accept()
    assert [one.code for one in view.refusals] == ["wrong-fleet"]
    assert view.delegates == {}


def test_attack_58_an_approval_is_of_one_fleet_scope_package_entry_and_change() -> None:
    """Shown at any other place it is nobody's approval; at its own it is."""
    a, b = _two_fleets()
    for fleet in (a, b):
        fleet.fleet.owner.name = "shared"
        fleet.set_people(anna=("qa",))
    entry = a.approve("anna", "qa", KITCHEN, PACKAGE, wants("1.0"))
    here, there = (_fleet_document(one) for one in (a, b))

    def held(key: str, one: PackageEntry, fleet: FleetDocument, **place: object) -> int:
        at = {"scope": KITCHEN, "author": "owner", **place}
        return len(approved_entry(key, one, fleet, **at).approved)  # type: ignore[arg-type]

    assert held(PACKAGE, entry, here) == 1
    assert held(PACKAGE, entry, there) == 0
    assert held(PACKAGE, entry, here, scope=CELLAR) == 0
    assert held(PACKAGE, entry, here, author="ops") == 0
    assert held("pkg:generic/oven", entry, here) == 0
    assert held(PACKAGE, replace(wants("6.6"), approvals=entry.approvals), here) == 0
    assert held(PACKAGE, replace(entry, overrides=frozenset({"soak"})), here) == 0


def _fleet_document(world: Delegating) -> FleetDocument:
    path = [p for p in world.fleet.files if p.endswith(".fleet.json")]
    return decode(world.fleet.files[path[-1]], FleetDocument, cap=10**6)
