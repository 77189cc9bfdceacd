"""Proposals: kept whole, listed, approved by whom the owner named, and closed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from allod.domain.desired import ChangeNote, Level, PackageEntry, ReleaseOrder, Software
from allod.domain.ids import GroupName, ProviderName, Version, group_scope, sha256
from allod.server.services.backup import backup, restore
from allod.server.services.limits import Rate
from allod.testing.asgi import Answer, ask
from allod.testing.delegations import Delegating
from allod.testing.owner import key_from
from allod.testing.server import ServerRig, upload_of
from allod.trust.approvals import approved_entry, make_approval
from allod.trust.dsse import decode_envelope
from allod.trust.keys import from_key
from allod.wire.api import ChangeUpload
from allod.wire.codec import encode, instant
from allod.wire.entry import change_to_wire, entry_from_wire, entry_to_wire
from allod.wire.proposal import (
    ApprovalUpload,
    CloseProposal,
    Proposal,
    ProposalStatus,
    ProposedEntry,
    entry_digests,
)
from allod.wire.trust import Person

KITCHEN = group_scope(GroupName("kitchen"))
TOASTER = "pkg:generic/me/toaster"
ANNA, BO, OPS = key_from("anna"), key_from("bo"), key_from("ops/api")
ANNAS_WORD = key_from("anna/approval")


@pytest.fixture
def rig(tmp_path: Path, quick_disk: None):
    """A fleet with anna of QA, bo who only approves as operations, and the delegate ops."""
    people = [
        Person(
            name="anna",
            key=from_key(ANNA.public_key),
            role="approver",
            kinds=["qa"],
            approval=from_key(ANNAS_WORD.public_key),
        ),
        Person(name="bo", key=from_key(BO.public_key), role="read"),
        Person(name="ops", key=from_key(OPS.public_key), role="publish"),
    ]
    made = ServerRig.make(tmp_path / "server", people=people)
    made.change(Delegating(made.simulator).grant("ops", [KITCHEN], [TOASTER]))
    yield made
    made.server.close()


def wanted(change: str = "c1", version: str = "1.0") -> PackageEntry:
    order = ReleaseOrder(
        ProviderName("me"), Version(version), sha256(version.encode()), Level.ACTIVE
    )
    at = datetime(2026, 11, 1, tzinfo=UTC)
    return PackageEntry(
        software=Software(releases=(order,)), change=ChangeNote(7, change, at, "owner", "why", "T1")
    )


def proposal(rig: ServerRig, change: str = "c1", **fields) -> Proposal:
    entry = ProposedEntry(scope=str(KITCHEN), package=TOASTER, entry=entry_to_wire(wanted(change)))
    values = {
        "id": change,
        "fleet": rig.fleet,
        "by": "owner",
        "at": instant(rig.clock.now()),
        "message": "why",
        "ticket": "T1",
        "entries": [entry],
    }
    return Proposal(**{**values, **fields})


def post(rig: ServerRig, tail: str, value, key=None) -> Answer:
    path, body = f"/api/v1/fleets/{rig.fleet}/proposals{tail}", encode(value)
    return ask(
        rig.application, "POST", path, body=body, headers=rig.signed("POST", path, body, key=key)
    )


def get(rig: ServerRig, tail: str, query: str = "") -> Answer:
    path = f"/api/v1/fleets/{rig.fleet}/proposals{tail}"
    headers = rig.signed("GET", path, query=query)
    return ask(rig.application, "GET", f"{path}?{query}" if query else path, headers=headers)


def word(rig: ServerRig, entry: PackageEntry, *, key=ANNAS_WORD, **fields) -> ApprovalUpload:
    values = {
        "kind": "qa",
        "person": "anna",
        "at": rig.clock.now(),
        "signers": [key],
        "ticket": "QA-9",
    }
    author = fields.pop("author", "owner")
    package = fields.pop("package", TOASTER)
    fleet = fields.pop("fleet", rig.fleet)
    raw = make_approval(fleet, KITCHEN, author, package, entry, **{**values, **fields})
    return ApprovalUpload(approval=decode_envelope(raw))


def test_a_proposal_waits_is_approved_and_becomes_a_change(rig: ServerRig) -> None:
    """From the proposal over an approval from another machine to the publication that closes it;
    the approval, put into the published entry, holds.
    """
    assert post(rig, "", proposal(rig)).status == 201
    assert post(rig, "", proposal(rig)).status == 201, "again is fine"
    shown = msgspec.json.decode(get(rig, "/c1").body, type=ProposalStatus)
    assert shown.proposal == proposal(rig)
    assert list(entry_digests(shown.proposal)) == [(KITCHEN, TOASTER)]
    entry = entry_from_wire(TOASTER, shown.proposal.entries[0].entry)
    rig.clock.pass_time(days=3)
    answer = post(rig, "/c1/approvals", word(rig, entry), ANNA)
    assert answer.status == 201, answer.body
    assert (
        post(rig, "/c1/approvals", word(rig, entry), ANNA).json["approvals"]
        == (answer.json["approvals"])
    )
    line = get(rig, "", "state=open").json["proposals"][0]
    assert (line["id"], line["approvals"], line["packages"]) == (
        "c1",
        1,
        [f"{KITCHEN} {TOASTER}"],
    )
    gathered = msgspec.json.decode(answer.body, type=ProposalStatus).approvals
    final = msgspec.structs.replace(entry_to_wire(entry), approvals=gathered)
    held = approved_entry(
        TOASTER,
        entry_from_wire(TOASTER, final),
        rig.server.fleets.need(rig.fleet).document,
        KITCHEN,
        "owner",
    )
    assert [(one.person, one.kind, one.ticket) for one in held.approved] == [("anna", "qa", "QA-9")]
    rig.simulator.now = rig.clock.now()
    publication = rig.simulator.set_packages(KITCHEN, {TOASTER: held})
    upload = upload_of(publication, rig.base(publication), change_to_wire(entry.change))
    receipt = rig.server.publish(rig.fleet, upload)
    closed = rig.server.proposals.show(rig.fleet, "c1")
    assert (closed.state, closed.news) == ("published", receipt.news)
    assert get(rig, "", "state=open").json["proposals"] == []
    assert post(rig, "/c1/approvals", word(rig, entry), ANNA).status == 201, "it is there already"
    late = word(rig, entry, message="too late")
    assert post(rig, "/c1/approvals", late, ANNA).json["code"] == "proposal-closed"


def test_what_is_no_approval_of_this_is_refused(rig: ServerRig) -> None:
    """Other bytes, another change, package or author, another fleet, kind, person or key: nothing
    of it is kept. The key with which a person asks the API is none that approves.
    """
    post(rig, "", proposal(rig))
    entry = wanted()
    for value, code in (
        (word(rig, wanted(version="2.0")), "wrong-entry"),
        (word(rig, wanted("c2")), "wrong-change"),
        (word(rig, entry, package="pkg:generic/me/oven"), "wrong-entry"),
        (word(rig, entry, author="ops"), "wrong-change"),
        (word(rig, entry, fleet="f" * 64), "wrong-fleet"),
        (word(rig, entry, kind="operations"), "wrong-person"),
        (word(rig, entry, person="bo"), "wrong-person"),
        (word(rig, entry, key=ANNA), "auth"),
        (word(rig, entry, key=key_from("stranger")), "auth"),
    ):
        assert post(rig, "/c1/approvals", value, ANNA).json["code"] == code
    assert rig.server.proposals.show(rig.fleet, "c1").approvals == []


def test_a_rejection_closes(rig: ServerRig) -> None:
    """One person who says no, in their own name, is enough for the proposal to go back."""
    post(rig, "", proposal(rig))
    no = word(rig, wanted(), verdict="reject", message="it burns the toast")
    answer = post(rig, "/c1/approvals", no, ANNA)
    assert (answer.json["state"], answer.json["closedBy"], answer.json["why"]) == (
        "rejected",
        "anna",
        "it burns the toast",
    )
    assert len(answer.json["approvals"]) == 1


def test_who_may_propose_and_close(rig: ServerRig) -> None:
    """A reader proposes nothing; a delegate only in the name of the delegation, and closes only
    their own; an owner's program closes what it likes.
    """
    assert post(rig, "", proposal(rig), BO).json["code"] == "forbidden"
    assert post(rig, "", proposal(rig), OPS).json["code"] == "forbidden"
    assert post(rig, "", proposal(rig, author="qa")).json["code"] == "unknown-delegation"
    assert post(rig, "", proposal(rig)).status == 201
    assert post(rig, "", proposal(rig, "c2", author="ops"), OPS).status == 201
    done = CloseProposal(state="withdrawn", why="no need")
    assert post(rig, "/c1/close", done, OPS).json["code"] == "forbidden"
    assert post(rig, "/c1/close", done, ANNA).json["code"] == "forbidden"
    assert post(rig, "/c2/close", done, OPS).json["state"] == "withdrawn"
    assert post(rig, "/c1/close", done).json["state"] == "withdrawn"
    assert post(rig, "/c1/close", done).status == 201, "again is fine"
    other = CloseProposal(state="rejected")
    assert post(rig, "/c1/close", other).json["code"] == "proposal-closed"
    assert get(rig, "/c9").status == 404
    assert post(rig, "/c9/close", done).status == 404


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"fleet": "f" * 64}, "wrong-fleet"),
        ({"entries": []}, "bad-proposal"),
        ({"message": "other words"}, "bad-proposal"),
        ({"message": "\x1b[2J"}, "bad-proposal"),
        ({"id": "c9"}, "bad-proposal"),
        ({"id": "../c"}, "bad-name"),
        ({"at": "soon"}, "bad-time"),
        ({"blobs": {sha256(b"a"): b"b"}}, "digest-mismatch"),
    ],
)
def test_what_is_no_proposal(rig: ServerRig, fields, code: str) -> None:
    """What people would approve must be readable, of this fleet and this change."""
    assert post(rig, "", proposal(rig, **fields)).json["code"] == code
    assert rig.server.proposals.list(rig.fleet, None, "", 10).proposals == []


def test_one_id_is_one_proposal(rig: ServerRig) -> None:
    """Nobody changes what others are looking at."""
    post(rig, "", proposal(rig))
    other = proposal(rig, at="2026-01-01T00:00:00Z")
    assert post(rig, "", other).json["code"] == "proposal-exists"


def test_proposals_come_back(rig: ServerRig, tmp_path: Path) -> None:
    """A restart, a rebuild of the projection and a backup keep proposals and what was said."""
    post(rig, "", proposal(rig))
    post(rig, "/c1/approvals", word(rig, wanted()), ANNA)
    before = (rig.server.proposals.show(rig.fleet, "c1"), get(rig, "").json)
    backup(rig.settings.layout, tmp_path / "archive")
    rig.restart()
    rig.server.rebuild(rig.fleet)
    assert (rig.server.proposals.show(rig.fleet, "c1"), get(rig, "").json) == before
    again = restore(tmp_path / "archive", tmp_path / "again", rig.clock.now())
    kept = again.fleet(rig.fleet).root / "proposals" / "c1.json"
    assert msgspec.json.decode(kept.read_bytes(), type=ProposalStatus) == before[0]


def test_a_proposal_that_cannot_be_closed_stops_no_publication(rig: ServerRig) -> None:
    """The file of a proposal is damaged: the change is published all the same."""
    post(rig, "", proposal(rig))
    file = rig.settings.layout.fleet(rig.fleet).root / "proposals" / "c1.json"
    file.write_bytes(b"{")
    publication = rig.simulator.set_packages(KITCHEN, {TOASTER: wanted()})
    upload = upload_of(publication, rig.base(publication), change_to_wire(wanted().change))
    assert rig.server.publish(rig.fleet, ChangeUpload(**msgspec.structs.asdict(upload))).news == 3


def test_a_delegate_closes_nobody_elses_proposal_by_its_name(rig: ServerRig) -> None:
    """Their change may say that it is another's; the proposal goes on waiting. Its own is closed."""
    post(rig, "", proposal(rig))
    post(rig, "", proposal(rig, "c2", author="ops"), OPS)
    delegating = Delegating(rig.simulator)
    for change in ("c1", "c2"):
        rig.simulator.now = rig.clock.now()
        publication = delegating.order("ops", KITCHEN, {TOASTER: wanted(change)})
        note = change_to_wire(wanted(change).change)
        upload = upload_of(publication, rig.base(publication), note)
        rig.server.publish(rig.fleet, upload, delegation="ops")
    assert rig.server.proposals.show(rig.fleet, "c1").state == "open"
    assert rig.server.proposals.show(rig.fleet, "c2").state == "published"


def test_a_delegate_leaves_room_for_others(rig: ServerRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the places of proposals nor their rate are one delegation's to use up."""
    monkeypatch.setattr("allod.server.services.proposals.OPEN_OF_DELEGATE", 2)
    for number in range(2):
        assert post(rig, "", proposal(rig, f"c{number}", author="ops"), OPS).status == 201
    full = post(rig, "", proposal(rig, "c2", author="ops"), OPS)
    assert full.json["code"] == "too-many-proposals"
    rig.server.proposals._rate = Rate(rig.clock, 1, "proposals")
    post(rig, "", proposal(rig, "c2", author="ops"), OPS)
    assert post(rig, "", proposal(rig, "c3", author="ops"), OPS).json["code"] == "too-many"
    assert post(rig, "", proposal(rig, "c4")).status == 201


def test_proposals_do_not_fill_the_disk(rig: ServerRig) -> None:
    """What one person may not publish takes so much room a day, closed or not; others go on."""
    rig.server.proposals._room = Rate(rig.clock, 1, "KiB", seconds=86_400)
    assert post(rig, "", proposal(rig, "c1", author="ops"), OPS).status == 201
    assert post(rig, "/c1/close", CloseProposal(state="withdrawn"), OPS).status == 201
    assert post(rig, "", proposal(rig, "c2", author="ops"), OPS).json["code"] == "too-many"
    assert post(rig, "", proposal(rig, "c3"), ANNA).status == 201
    assert [post(rig, "", proposal(rig, f"c{n}")).status for n in (4, 5)] == [201, 201]


def test_proposals_are_counted(rig: ServerRig) -> None:
    """Nobody fills the server with proposals, and a page says where the next begins."""
    for number in range(3):
        assert post(rig, "", proposal(rig, f"c{number}")).status == 201
    page = get(rig, "", "limit=2").json
    assert ([one["id"] for one in page["proposals"]], page["next"]) == (["c0", "c1"], "c1")
    assert [one["id"] for one in get(rig, "", "after=c1").json["proposals"]] == ["c2"]
    rig.server.proposals._rate = Rate(rig.clock, 1, "proposals")
    assert post(rig, "", proposal(rig, "c8")).status == 201
    answer = post(rig, "", proposal(rig, "c9"))
    assert (answer.status, answer.json["code"]) == (429, "too-many")
