"""Attack 9: a server shows people another change than the one that is to be signed."""

from __future__ import annotations

import msgspec
from tests.quick_disk import quick_disk as quick_disk  # noqa: PLC0414 — a fixture
from tests.unit.server.test_proposals import (
    ANNA,
    KITCHEN,
    TOASTER,
    get,
    post,
    proposal,
    rig,
    wanted,
    word,
)

from allod.testing.server import ServerRig
from allod.trust.approvals import approved_entry
from allod.wire.entry import entry_digest, entry_from_wire, entry_to_wire
from allod.wire.proposal import ProposalStatus, entry_digests

__all__ = ["rig"]


def test_attack_09_a_proposal_that_the_server_altered_gets_no_approval_that_counts(
    rig: ServerRig,  # noqa: F811 — the fixture
) -> None:
    """The server keeps another release under the proposal's message. What its reader approves is
    computed from the bytes that they got: it is of no use for the change that was proposed, and
    an approval of that change is of none for what the server put in its place.
    """
    post(rig, "", proposal(rig))
    honest = wanted()
    file = rig.settings.layout.fleet(rig.fleet).root / "proposals" / "c1.json"
    forged = file.read_bytes().replace(b'"1.0"', b'"6.6"')
    assert forged != file.read_bytes()
    file.write_bytes(forged)
    shown = msgspec.json.decode(get(rig, "/c1").body, type=ProposalStatus).proposal
    assert shown.message == "why", "all that the server says looks as it did"
    digest = entry_digests(shown)[KITCHEN, TOASTER]
    assert digest != entry_digest(TOASTER, honest)
    answer = post(rig, "/c1/approvals", word(rig, honest), ANNA)
    assert answer.json["code"] == "wrong-entry"
    document = rig.server.fleets.need(rig.fleet).document
    for approved, published in (
        (entry_from_wire(TOASTER, shown.entries[0].entry), honest),
        (honest, entry_from_wire(TOASTER, shown.entries[0].entry)),
    ):
        final = msgspec.structs.replace(
            entry_to_wire(published), approvals=[word(rig, approved).approval]
        )
        entry = entry_from_wire(TOASTER, final)
        assert approved_entry(TOASTER, entry, document, KITCHEN, "owner").approved == ()
