"""Attack 9, for those who approve: a server shows one change and would have another approved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.cli.people_at_work import TOASTER, Works, deploy

from allod.cli.documents import newest
from allod.trust.approvals import verify_approval
from allod.wire.codec import encode
from allod.wire.entry import entry_digest
from allod.wire.proposal import ProposalStatus


@pytest.fixture
def bound(works: Works) -> Works:
    """One of QA has to approve what happens in the kitchen."""
    works.owner.do("group", "terms", "kitchen", "--approvals", "qa=1", "--yes")
    return works


def status(works: Works, change: str) -> ProposalStatus:
    """A proposal as the server keeps it."""
    return works.owner.served.proposals.show(works.owner.fleet().id, change)


def test_attack_09_an_approval_is_of_what_was_computed_from_the_bytes(bound: Works) -> None:
    """Shown another change under the same id, an approver's machine computes and shows that one,
    and signs its digest: the signature is none for the change that was to be slipped in.
    """
    ann = bound.person("ann", "qa")
    served = bound.owner.served
    wanted = deploy(bound.owner, "toaster@2.0", "--propose")["proposal"]
    harmless = deploy(bound.owner, "toaster@1.0", "--propose")["proposal"]

    def swap(answer: bytes) -> bytes:
        shown: dict[str, Any] = json.loads(answer)
        other = json.loads(encode(status(bound, harmless)))["proposal"]
        shown["proposal"] = json.loads(json.dumps(other).replace(harmless, wanted))
        return json.dumps(shown).encode()

    served.lie_of[f"proposals/{wanted}"] = swap
    shown = ann.do("change", "show", wanted)
    assert any("1.0 of acme active" in one["says"] for one in shown["differences"])
    # The honest half of the server refuses it at the door …
    assert ann.refused("change", "approve", wanted, "--yes") == "wrong-entry"
    # … and what a lying one keeps is no approval of the other change.
    sent: list[bytes] = []
    original = served.proposals.__class__.approve

    def keep(self: Any, fleet: Any, proposal: str, envelope: Any) -> ProposalStatus:
        sent.append(encode(envelope))
        return status(bound, wanted)

    served.proposals.__class__.approve = keep  # type: ignore[method-assign]
    try:
        ann.do("change", "approve", wanted, "--yes")
    finally:
        served.proposals.__class__.approve = original  # type: ignore[method-assign]
    served.lie_of.clear()
    (raw,) = sent
    said = verify_approval(raw, newest(bound.owner.fleet()).fleet_document).value
    assert said.change == wanted
    served.lie_of[f"proposals/{wanted}"] = lambda answer: json.dumps(
        {**json.loads(answer), "approvals": [json.loads(raw)]}
    ).encode()
    checked = bound.owner.do("change", "show", wanted)
    assert checked["approvals"] == []
    assert checked["lacking"]
    assert bound.owner.refused("change", "publish", wanted, "--yes") == "approvals-missing"
    assert bound.runs() is None


def test_attack_09_a_proposal_is_not_signed_blindly(works: Works) -> None:
    """A proposal carries no signature: one that the server altered is not the one that was made
    here; one that was made elsewhere is shown to somebody, or approved in each of its entries.
    """
    change = deploy(works.owner, "toaster@1.0", "--propose")["proposal"]
    other = deploy(works.owner, "toaster@2.0", "--propose")["proposal"]

    def swap(answer: bytes) -> bytes:
        shown: dict[str, Any] = json.loads(answer)
        made = encode(status(works, other).proposal).decode().replace(other, change)
        return json.dumps({**shown, "proposal": json.loads(made)}).encode()

    works.owner.served.lie_of[f"proposals/{change}"] = swap
    assert works.owner.refused("change", "publish", change, "--yes") == "wrong-proposal"
    works.owner.served.lie_of.clear()
    eve, ann = works.person("eve", right="publish"), works.person("ann", "qa")
    theirs = deploy(eve, "kettle@1.0", "--propose")["proposal"]
    assert works.owner.refused("change", "publish", theirs, "--yes") == "unseen-proposal"
    assert works.owner.run("change", "publish", theirs, "--dry-run") == 0
    assert "kettle" in works.owner.said
    ann.do("change", "approve", theirs, "--yes")
    works.owner.do("change", "publish", theirs, "--yes")
    works.owner.do("change", "publish", change, "--yes")
    assert works.runs() == "1.0"


def test_attack_09_the_digest_is_of_every_field_of_the_entry(bound: Works) -> None:
    """Golden: what an approval is signed over changes with each part of the entry, with the
    change's id, author and reasons, and not with its number, its time or other approvals.
    """
    import msgspec

    from allod.domain.ids import Purl
    from allod.wire.entry import PackageEntry, entry_from_wire

    change = deploy(bound.owner, "toaster@2.0", "--propose", "-m", "because")["proposal"]
    proposal = status(bound, change).proposal
    (one,) = proposal.entries
    key = Purl(one.package)
    assert key == TOASTER
    built = msgspec.to_builtins(one.entry)
    first = entry_digest(key, entry_from_wire(key, one.entry))

    def digest(**changed: Any) -> str:
        entry = msgspec.convert({**built, **changed}, PackageEntry)
        return entry_digest(key, entry_from_wire(key, entry))

    release = built["software"]["releases"][0]
    note = built["change"]
    others = [
        {"software": {"releases": [{**release, "version": "2.1"}]}},
        {"software": {"releases": [{**release, "when": "restart"}]}},
        {"software": {"manager": "ops", "releases": []}},
        {"configuration": {"digest": release["digest"], "size": 4}},
        {"together": ["pkg:generic/acme/kettle"]},
        {"accepts": {"access": ["camera"]}},
        {"accepts": {"constraints": ["fuse"]}},
        {"overrides": ["window"]},
        {"secrets": ["token"]},
        {"health": [{"kind": "running"}]},
        {"rollout": {"id": "r", "stages": [{"at": note["at"]}], "before": {}}},
        {"change": {**note, "id": "another"}},
        {"change": {**note, "by": "eve"}},
        {"change": {**note, "message": "because not"}},
        {"change": {**note, "ticket": "OPS-2"}},
    ]
    digests = [digest(**other) for other in others]
    assert len({first, *digests}) == 1 + len(others)
    assert digest(change={**note, "number": 99, "at": "2030-01-01T00:00:00Z"}) == first
    assert entry_digest(Purl("pkg:generic/acme/kettle"), entry_from_wire(key, one.entry)) != first
