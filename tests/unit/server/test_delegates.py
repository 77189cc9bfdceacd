"""Delegations in uploads: what the server lets in, whose it is, and how much of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tuf.api.metadata import DelegatedRole, Delegations

from allod.domain.condition import Verb
from allod.domain.delegation import Delegation, Follow
from allod.domain.desired import (
    Accepts,
    ChangeNote,
    ConfigurationOrder,
    Level,
    PackageEntry,
    ReleaseOrder,
    Restart,
    Software,
    StateDocument,
)
from allod.domain.ids import GroupName, ProviderName, Purl, Version, group_scope, sha256
from allod.domain.terms import Approvals, Until
from allod.errors import AllodError
from allod.server.services.limits import Rate
from allod.testing.asgi import ask
from allod.testing.delegations import Delegating
from allod.testing.owner import key_from, role_keys
from allod.testing.server import ServerRig, upload_of
from allod.testing.server_logs import entries_of, logged, roles_in
from allod.trust.keys import from_key
from allod.wire.api import ChangeUpload
from allod.wire.codec import encode
from allod.wire.delegation import encode_delegation
from allod.wire.trust import Person

KITCHEN = group_scope(GroupName("kitchen"))
CELLAR = group_scope(GroupName("cellar"))
TOASTER = "pkg:generic/me/toaster"
API = key_from("ops/api")


def entry(level: Level = Level.ACTIVE, **fields) -> PackageEntry:
    order = ReleaseOrder(ProviderName("me"), Version("1.0"), sha256(b"r"), level)
    return PackageEntry(software=Software(releases=(order,)), **fields)


@pytest.fixture
def delegating(rig: ServerRig) -> Delegating:
    """A fleet whose owner delegated the toaster in the kitchen to `ops`."""
    made = Delegating(rig.simulator)
    person = Person(name="ops", key=from_key(API.public_key), role="publish")
    owner = Person(name="owner", key=from_key(rig.simulator.owner.person.public_key), role="admin")
    rig.change(rig.simulator.set_fleet(people=[owner, person]))
    rig.change(made.grant("ops", [KITCHEN], [TOASTER]))
    return made


def refused(rig: ServerRig, publication) -> str:
    """The code with which an upload is refused; nothing is published then."""
    news = rig.server.fleets.need(rig.fleet).news
    with pytest.raises(AllodError) as caught:
        rig.change(publication)
    assert rig.server.fleets.need(rig.fleet).news == news
    return caught.value.code


def test_a_delegate_orders_within_the_delegation(rig: ServerRig, delegating: Delegating) -> None:
    """The delegation is known, its role grows by itself, and a restart forgets nothing of it."""
    delegation = rig.server.fleets.need(rig.fleet).delegations["ops"]
    assert delegation.scopes == {KITCHEN}
    rig.change(delegating.order("ops", KITCHEN, {TOASTER: entry()}))
    rig.change(delegating.order("ops", KITCHEN, {TOASTER: entry(Level.INSTALLED)}))
    assert rig.versions["delegation-ops"] == 2
    rig.restart()
    assert rig.versions["delegation-ops"] == 2
    assert rig.server.fleets.need(rig.fleet).delegations["ops"] == delegation


@pytest.mark.parametrize(
    ("packages", "code"),
    [
        ({"pkg:generic/me/oven": entry()}, "outside-terms"),
        ({TOASTER: entry(accepts=Accepts(access=frozenset({"camera"})))}, "owners-word"),
        ({TOASTER: entry(overrides=frozenset({"window"}))}, "owners-word"),
        ({TOASTER: entry(secrets=frozenset({"wifi"}))}, "owners-word"),
    ],
)
def test_what_no_device_would_do_is_not_published(
    rig: ServerRig, delegating: Delegating, packages, code: str
) -> None:
    """Another package, and what only the owner can say."""
    assert refused(rig, delegating.order("ops", KITCHEN, packages)) == code


def test_another_scope_is_outside(rig: ServerRig, delegating: Delegating) -> None:
    """The path lies in the delegate's role, and the terms say no all the same."""
    assert refused(rig, delegating.order("ops", CELLAR, {TOASTER: entry()})) == "outside-terms"


def test_verbs_are_judged_by_what_the_document_asks_for(rig: ServerRig) -> None:
    """Activation, configuration, deletion and restarts, each by its own verb."""
    made = Delegating(rig.simulator)
    allowed = frozenset({Verb.TRANSFER, Verb.INSTALL})
    rig.change(made.grant("ops", [KITCHEN], [TOASTER], verbs=allowed))
    rig.change(made.order("ops", KITCHEN, {TOASTER: entry(Level.INSTALLED)}))
    configured = PackageEntry(configuration=ConfigurationOrder())
    base = rig.simulator.snapshot_state()
    for document in (
        StateDocument(rig.fleet, KITCHEN, {TOASTER: entry()}, author="ops"),
        StateDocument(rig.fleet, KITCHEN, {TOASTER: configured}, author="ops"),
        StateDocument(
            rig.fleet, KITCHEN, {TOASTER: PackageEntry(software=Software())}, author="ops"
        ),
        StateDocument(
            rig.fleet,
            KITCHEN,
            {},
            restarts=(Restart("r1", rig.clock.now(), rig.clock.now() + timedelta(hours=1)),),
            author="ops",
        ),
    ):
        rig.simulator = base.snapshot_state()
        assert refused(rig, Delegating(rig.simulator).order_state("ops", document)) == (
            "outside-terms"
        )


def test_a_delegation_that_ended_orders_nothing(rig: ServerRig) -> None:
    """Its end is a term like any other."""
    made = Delegating(rig.simulator)
    until = Until(rig.clock.now() + timedelta(days=1))
    rig.change(made.grant("ops", [KITCHEN], [TOASTER], terms=[until]))
    rig.change(made.order("ops", KITCHEN, {TOASTER: entry()}))
    rig.clock.pass_time(days=2)
    rig.simulator.now = rig.clock.now()
    assert refused(rig, made.order("ops", KITCHEN, {TOASTER: entry(Level.INSTALLED)})) == (
        "outside-terms"
    )


def test_approvals_are_counted_before_publication(rig: ServerRig) -> None:
    """Without the approval that the delegation asks for the server publishes nothing; with it,
    or where the owner set the term aside by name, it does.
    """
    made = Delegating(rig.simulator)
    key = key_from("anna")
    anna = Person(
        name="anna",
        key=from_key(API.public_key),
        approval=from_key(key.public_key),
        role="approver",
        kinds=["qa"],
    )
    rig.change(rig.simulator.set_fleet(people=[anna]))
    made.people["anna"] = (key, ("qa",))
    terms = [Approvals((("qa", 1),))]
    rig.change(made.grant("ops", [KITCHEN], [TOASTER], terms=terms))
    note = ChangeNote(1, "c1", rig.clock.now())
    wanted = entry(change=note)
    before = rig.simulator.snapshot_state()
    assert refused(rig, made.order("ops", KITCHEN, {TOASTER: wanted})) == "outside-terms"
    rig.simulator = before
    made = Delegating(before, made.people)
    approved = made.approve("anna", "qa", KITCHEN, TOASTER, wanted, author="ops")
    rig.change(made.order("ops", KITCHEN, {TOASTER: approved}))
    aside = PackageEntry(software=Software("ops"), overrides=frozenset({"approvals"}))
    rig.change(rig.simulator.set_packages(KITCHEN, {TOASTER: aside}))
    rig.change(made.order("ops", KITCHEN, {TOASTER: entry(Level.INSTALLED)}))


def test_a_document_stands_in_the_role_of_its_author(
    rig: ServerRig, delegating: Delegating
) -> None:
    """The owner's role lists no delegate's document, and a delegate's none of the owner's or of
    another delegate.
    """
    rig.change(delegating.grant("qa", [KITCHEN]))
    base = rig.simulator.snapshot_state()
    for author, path in (
        ("owner", "by/ops/groups/kitchen.json"),
        ("qa", "by/ops/groups/kitchen.json"),
    ):
        rig.simulator = base.snapshot_state()
        draft = rig.simulator.draft()
        document = StateDocument(rig.fleet, KITCHEN, {}, author=author)
        from allod.wire.desired import encode_state

        draft.set_target(path, encode_state(document))
        assert refused(rig, rig.simulator.publish(draft)) in {"wrong-role", "wrong-scope"}


def test_a_role_below_targets_is_a_delegations(rig: ServerRig) -> None:
    """A role with other paths or another name could speak where nobody looks."""
    for name, paths in (
        ("delegation-ops", ["by/*/*/*"]),
        ("delegation-ops", ["state/groups/*"]),
        ("helpers", ["by/helpers/*/*"]),
    ):
        rig.simulator, base = rig.simulator.snapshot_state(), rig.simulator
        draft = rig.simulator.draft()
        draft.delegate(name, role_keys([key_from("x")]), paths)
        code = "role-missing" if name == "helpers" else "bad-delegation"
        assert refused(rig, rig.simulator.publish(draft)) == code
        rig.simulator = base


def test_a_delegate_hands_nothing_on(rig: ServerRig, delegating: Delegating) -> None:
    """A role below a delegate's role would be another's word under theirs."""
    rig.change(delegating.order("ops", KITCHEN, {TOASTER: entry()}))
    draft = rig.simulator.draft()
    draft.set_target("by/ops/groups/kitchen.json", b"{}")
    signed = draft._roles["delegation-ops"].signed
    keys = role_keys([key_from("friend")])
    signed.delegations = Delegations({}, {})
    role = DelegatedRole("friend", [], 1, terminating=True, paths=["by/ops/*/*"])
    signed.delegations.roles["friend"] = role
    for key in keys.keys:
        signed.add_key(key, "friend")
    assert refused(rig, rig.simulator.publish(draft)) in {"bad-delegation", "role-missing"}


def test_a_delegations_document_says_where_it_stands(rig: ServerRig) -> None:
    """Another id or another fleet than the address says is refused."""
    delegation = Delegation("ops", frozenset({KITCHEN}), (TOASTER,), frozenset(Verb))
    for path, data, code in (
        ("delegations/qa.json", encode_delegation(rig.fleet, delegation), "wrong-scope"),
        ("delegations/ops.json", encode_delegation("f" * 64, delegation), "wrong-fleet"),
        ("delegations/ops.json", b"{}", "bad-document"),
    ):
        rig.simulator, base = rig.simulator.snapshot_state(), rig.simulator
        assert refused(rig, rig.simulator.set_target(path, data)) == code
        rig.simulator = base


def test_following_needs_no_role(rig: ServerRig) -> None:
    """A delegation to a channel is a document and nothing else."""
    follow = Follow(ProviderName("acme"), "stable")
    rig.change(Delegating(rig.simulator).grant("acme", [KITCHEN], follow=follow))
    assert rig.server.fleets.need(rig.fleet).delegations["acme"].follow == follow
    assert "delegation-acme" not in rig.versions


def test_a_delegate_brings_their_own_role_and_no_more(
    rig: ServerRig, delegating: Delegating
) -> None:
    """By their own key: their documents are published; the owner's files, even whole and signed,
    floors and tokens are not theirs to bring.
    """
    path = f"/api/v1/fleets/{rig.fleet}/changes"

    def send(publication, where: str = path):
        body = encode(upload_of(publication, rig.base(publication)))
        headers = rig.signed("POST", where, body, key=API)
        return ask(rig.application, "POST", where, body=body, headers=headers)

    assert send(delegating.order("ops", KITCHEN, {TOASTER: entry()})).status == 201
    owners = rig.simulator.set_packages(CELLAR, {TOASTER: entry()})
    answer = send(owners)
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    for tail, body in (
        ("floors", b'{"metadata":{}}'),
        ("tokens", b'{"name":"x","scopes":["read"]}'),
    ):
        where = f"/api/v1/fleets/{rig.fleet}/{tail}"
        headers = rig.signed("POST", where, body, key=API)
        answer = ask(rig.application, "POST", where, body=body, headers=headers)
        assert (answer.status, answer.json["code"]) == (403, "forbidden")
    rig.change(owners)
    rig.change(delegating.revoke("ops"))
    answer = send(rig.simulator.set_packages(CELLAR, {}))
    assert (answer.status, answer.json["code"]) == (403, "forbidden"), "nor after it was revoked"


def test_what_a_revoked_delegate_signs_is_not_published(
    rig: ServerRig, delegating: Delegating
) -> None:
    """Nobody delegates to the role any more."""
    rig.change(delegating.order("ops", KITCHEN, {TOASTER: entry()}))
    late = Delegating(rig.simulator.snapshot_state())
    publication = late.order("ops", KITCHEN, {TOASTER: entry(Level.INSTALLED)})
    rig.change(delegating.revoke("ops"))
    assert refused(rig, publication) == "unsigned-role"


def test_a_device_does_not_read_what_a_delegate_says_to_another(
    rig: ServerRig, delegating: Delegating
) -> None:
    """What is meant for one device is nobody else's business, whoever ordered it."""
    mine, other = rig.bound("one"), rig.bound("two", invite="invite-2")
    del other
    path = f"tuf/targets/by/ops/devices/{'e' * 64}.{mine.id}.json"
    theirs = f"tuf/targets/by/ops/devices/{'e' * 64}.{'d' * 64}.json"
    headers = {"authorization": f"Bearer {rig.token(mine)}"}
    assert ask(rig.application, "GET", f"/f/{rig.fleet}/{path}", headers=headers).status == 404
    assert ask(rig.application, "GET", f"/f/{rig.fleet}/{theirs}", headers=headers).status == 403


def test_a_delegates_entry_is_logged_by_the_delegates_keys(rig: ServerRig) -> None:
    """With a log every file of a delegate has its entry, signed by who signs the file."""
    made = Delegating(rig.simulator)
    logged(rig)

    def with_entries(publication) -> ChangeUpload:
        upload = upload_of(publication, rig.base(publication))
        return ChangeUpload(
            base=upload.base,
            metadata=upload.metadata,
            targets=upload.targets,
            entries=entries_of(rig, upload.metadata, {}),
        )

    rig.server.publish(rig.fleet, with_entries(made.grant("ops", [KITCHEN], [TOASTER])))
    upload = with_entries(made.order("ops", KITCHEN, {TOASTER: entry()}))
    with pytest.raises(AllodError, match="its entry for the log is missing"):
        rig.server.publish(rig.fleet, replace_entries(upload, []))
    rig.server.publish(rig.fleet, upload)
    assert roles_in(rig)[-1] == ("delegation-ops", 1)


def replace_entries(upload: ChangeUpload, entries: list[bytes]) -> ChangeUpload:
    return ChangeUpload(
        base=upload.base, metadata=upload.metadata, targets=upload.targets, entries=entries
    )


def test_one_delegation_uses_up_its_own_budget_alone(
    rig: ServerRig, delegating: Delegating
) -> None:
    """After its changes of the hour a delegate waits; the owner and other delegates do not."""
    rig.server.publish._orders = Rate(rig.clock, 2, "changes of a delegation", seconds=3600)
    rig.server.publish._rate = Rate(rig.clock, 2, "changes of a fleet")
    rig.change(delegating.grant("qa", [KITCHEN], [TOASTER]))
    levels = [Level.ACTIVE, Level.INSTALLED, Level.TRANSFERRED]
    for level in levels[:2]:
        rig.change(delegating.order("ops", KITCHEN, {TOASTER: entry(level)}))
    before = rig.simulator.snapshot_state()
    assert refused(rig, delegating.order("ops", KITCHEN, {TOASTER: entry(levels[2])})) == "too-many"
    rig.simulator = before
    after = Delegating(before)
    rig.change(after.order("qa", KITCHEN, {TOASTER: entry()}))
    rig.change(before.set_packages(CELLAR, {Purl(TOASTER): entry()}))
    rig.clock.pass_time(hours=1)
    rig.simulator.now = rig.clock.now()
    rig.change(after.order("ops", KITCHEN, {TOASTER: entry(levels[2])}))


def test_replace_keeps_the_document(rig: ServerRig, delegating: Delegating) -> None:
    """A delegate's document with a setting of the owner's is not even read."""
    document = StateDocument(rig.fleet, KITCHEN, {}, author="ops")
    held = replace(document, hold="mine")
    assert refused(rig, delegating.order_state("ops", held)) == "owners-word"
