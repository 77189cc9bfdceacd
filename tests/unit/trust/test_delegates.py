"""Delegations on the device: whose word is read, and that a fault of one word is a fault of one."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import timedelta

import pytest
from tuf.api.metadata import TargetFile

from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Restart, Software, StateDocument
from allod.domain.ids import ProviderName, Purl, Version, group_scope, parse_digest
from allod.errors import Unavailable
from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient
from allod.testing.delegations import Delegating
from allod.testing.repository import START, RepositorySimulator
from allod.wire.delegation import delegation_path
from allod.wire.desired import encode_state

KITCHEN, GARDEN = group_scope("kitchen"), group_scope("garden")
LAMP, FAN = Purl("pkg:generic/acme/lamp"), Purl("pkg:generic/acme/fan")
ONE = parse_digest("sha256:" + "1" * 64)


def wanted(digest: str = ONE, provider: str = "me") -> PackageEntry:
    """An entry that wants one release to run."""
    order = ReleaseOrder(ProviderName(provider), Version("1.0"), parse_digest(digest), Level.ACTIVE)
    return PackageEntry(software=Software(releases=(order,)))


@pytest.fixture(params=[False, True], ids=["unlogged", "logged"])
def world(request: pytest.FixtureRequest) -> Delegating:
    """A fleet, without a log and with a witnessed one."""
    log = AuthorityLog(witnesses=3, quorum=2) if request.param else None
    return Delegating(RepositorySimulator(log=log))


def test_a_delegates_document_is_read_where_the_owner_names_them(world: Delegating) -> None:
    """The order of a delegate arrives, with a receipt that names delegation, role and index."""
    world.grant("ops", [KITCHEN])
    world.set_manager(KITCHEN, LAMP, "ops")
    world.order("ops", KITCHEN, {LAMP: wanted()})
    view = SimulatedClient(world.fleet).accept()
    assert view.refusals == ()
    said = view.delegates["ops"].documents[KITCHEN]
    assert (said.author, said.packages[LAMP].software.active.digest) == ("ops", ONE)
    authority = view.delegate_authorities["ops", KITCHEN]
    assert (authority.delegation, authority.role) == ("ops", "delegation-ops")
    assert authority.document == "by/ops/groups/kitchen.json"
    assert (authority.log_index is not None) == (world.fleet.log is not None)
    assert (authority.checkpoint is not None) == (world.fleet.log is not None)
    assert (view.witnessed is not None) == (world.fleet.log is not None)
    assert "me" in view.providers


def test_who_published_nothing_says_nothing(world: Delegating) -> None:
    """A role that never was is no document; it is not taken for one that is withheld."""
    world.grant("ops", [KITCHEN])
    world.set_manager(KITCHEN, LAMP, "ops")
    view = SimulatedClient(world.fleet).accept()
    assert view.refusals == ()
    assert view.delegates["ops"].documents == {}


def test_delegations_that_do_not_concern_the_device_are_not_asked_for(world: Delegating) -> None:
    """Of a hundred delegations the files of the one that manages something here are fetched."""
    for number in range(30):
        world.grant(f"team{number}", [GARDEN])
        world.order(f"team{number}", GARDEN, {LAMP: wanted()})
    world.grant("ops", [KITCHEN])
    world.set_manager(KITCHEN, LAMP, "ops")
    world.order("ops", KITCHEN, {LAMP: wanted()})
    client = SimulatedClient(world.fleet)
    client.accept()
    asked = [path for path in world.fleet.asked if "team" in path]
    assert asked == []


def test_a_delegate_speaks_only_in_scopes_of_the_delegation(world: Delegating) -> None:
    """The owner names a manager in a group that the delegation does not cover: nothing is read."""
    world.grant("ops", [GARDEN])
    world.set_manager(KITCHEN, LAMP, "ops")
    world.order("ops", KITCHEN, {LAMP: wanted()})
    view = SimulatedClient(world.fleet).accept()
    assert view.delegates["ops"].documents == {}


def test_restarts_are_read_where_the_delegate_may_order_them(world: Delegating) -> None:
    """A delegate who manages a package in one group may restart the devices of another of its."""
    world.grant("ops", [KITCHEN, GARDEN])
    world.set_manager(KITCHEN, LAMP, "ops")
    world.fleet.set_packages(GARDEN, {})
    restart = Restart("night", START, START + timedelta(hours=1))
    document = StateDocument(world.fleet.fleet, GARDEN, restarts=(restart,), author="ops")
    world.order_state("ops", document)
    view = SimulatedClient(world.fleet, groups=("kitchen", "garden")).accept()
    assert view.delegates["ops"].documents[GARDEN].restarts == (restart,)


def test_one_bad_word_refuses_only_itself(world: Delegating) -> None:
    """Seven ways to be wrong, each of another delegate: all others and the owner go on."""
    fleet = world.fleet
    names = ["good", "foreign", "scope", "author", "hold", "junk", "unknown-term", "gone"]
    for name in names:
        world.grant(name, [KITCHEN])
    entries = {Purl(f"pkg:generic/{n}"): PackageEntry(software=Software(n)) for n in names}
    fleet.set_packages(KITCHEN, entries)
    world.order("good", KITCHEN, {Purl("pkg:generic/good"): wanted()})
    state = StateDocument(fleet.fleet, KITCHEN, author="good")

    def put(name: str, data: bytes) -> None:
        fleet.set_target(f"by/{name}/groups/kitchen.json", data)

    put("foreign", encode_state(replace(state, fleet="f" * 64, author="foreign")))  # type: ignore[arg-type]
    put("scope", encode_state(replace(state, scope=GARDEN, author="scope")))
    put("author", encode_state(state))
    put("hold", encode_state(replace(state, hold="stop", author="owner")))
    put("junk", b"{")
    raw = fleet.files[next(p for p in fleet.files if p.endswith(".unknown-term.json"))]
    odd = raw.replace(b'"terms":[]', b'"terms":[{"term":"moon"}]')
    fleet.set_target(delegation_path("unknown-term"), odd)
    put("gone", encode_state(replace(state, author="gone")))
    for path in [p for p in fleet.files if p.startswith("tuf/targets/by/gone/")]:
        del fleet.files[path]
    view = SimulatedClient(fleet).accept()
    refused = {one.subject: one.code for one in view.refusals}
    assert refused == {
        "by/foreign/groups/kitchen.json": "wrong-fleet",
        "by/scope/groups/kitchen.json": "wrong-scope",
        "by/author/groups/kitchen.json": "wrong-scope",
        "by/hold/groups/kitchen.json": "wrong-scope",
        "by/junk/groups/kitchen.json": "bad-json",
        "delegations/unknown-term.json": "bad-document",
        "by/gone/groups/kitchen.json": "withheld",
    }
    assert KITCHEN in view.delegates["good"].documents
    assert KITCHEN in view.documents


def test_a_delegates_fault_does_not_keep_the_owner_from_work(world: Delegating) -> None:
    """A role that ran out is an alarm to who signs, and a refusal to who checks all."""
    world.grant("ops", [KITCHEN])
    world.order("ops", KITCHEN, {LAMP: wanted()})
    lives = world.fleet.lives.targets
    world.fleet.pass_time(lives - timedelta(days=1))
    draft = world.fleet.draft()
    draft.renew(world.fleet.now)
    world.fleet.publish(draft)
    world.fleet.pass_time(timedelta(days=2))
    world.fleet.refresh()
    client = SimulatedClient(world.fleet)
    repository = client.descend()
    client.drive(repository.load_all(lenient=True))
    assert [alarm.code for alarm in repository.alarms] == ["stale"]
    assert "devices" in repository.files
    with pytest.raises(Unavailable):
        client.drive(client.descend().load_all())
    world.set_manager(KITCHEN, LAMP, "ops")
    view = client.accept()
    assert [(one.code, one.subject) for one in view.refusals] == [
        ("stale", "by/ops/groups/kitchen.json")
    ]


def test_a_delegate_gives_nothing_on(world: Delegating) -> None:
    """Delegations in a delegate's own role are not followed, whatever they name."""
    world.grant("ops", [KITCHEN])
    world.order("ops", KITCHEN, {LAMP: wanted()})
    draft = world.fleet.draft()
    role = draft._signed("delegation-ops")
    owners = draft._delegations()
    role.delegations = copy.deepcopy(owners)
    role.targets.clear()
    draft._dirty.add("delegation-ops")
    world.fleet.publish(draft)
    world.set_manager(KITCHEN, LAMP, "ops")
    client = SimulatedClient(world.fleet)
    view = client.accept()
    assert (view.refusals, view.delegates["ops"].documents) == ((), {})
    client.drive(client.descend().load_all())


def test_only_the_delegates_role_speaks_for_the_delegate(world: Delegating) -> None:
    """A document that the owner's own role lists under the delegate's path is nobody's."""
    world.grant("ops", [KITCHEN])
    world.set_manager(KITCHEN, LAMP, "ops")
    path = "by/ops/groups/kitchen.json"
    document = StateDocument(world.fleet.fleet, KITCHEN, {LAMP: wanted()}, author="ops")
    draft = world.fleet.draft()
    data = encode_state(document)
    draft._signed("targets").targets[path] = TargetFile.from_data(path, data, ["sha256"])
    draft._targets[path] = data
    draft._dirty.add("targets")
    world.fleet.publish(draft)
    view = SimulatedClient(world.fleet).accept()
    assert [(one.code, one.subject) for one in view.refusals] == [("wrong-role", path)]
    assert view.delegates["ops"].documents == {}


@pytest.mark.parametrize("digest", ["f" * 20_000, "../../../x", "?", "F" * 64])
def test_a_digest_that_is_none_is_not_asked_for(world: Delegating, digest: str) -> None:
    """What the source would say to such an address must not look like a fault of the source."""
    world.grant("ops", [KITCHEN])
    world.set_manager(KITCHEN, LAMP, "ops")
    path = "by/ops/groups/kitchen.json"
    data = encode_state(StateDocument(world.fleet.fleet, KITCHEN, {LAMP: wanted()}, author="ops"))
    draft = world.fleet.draft()
    draft.set_target(path, data)
    draft._signed("delegation-ops").targets[path].hashes["sha256"] = digest
    world.fleet.publish(draft)
    client = SimulatedClient(world.fleet)
    view = client.accept()
    assert [(one.code, one.subject) for one in view.refusals] == [("bad-metadata", path)]
    assert not [one for one in world.fleet.asked if "targets/by/ops" in one]
