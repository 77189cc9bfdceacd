"""Root keys on separate machines: thresholds of old and new, and words computed from the bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root

from allod.cli.proposal import (
    Proposal,
    decode_proposal,
    encode_proposal,
    merge_proposals,
    missing,
    require_complete,
    sign_proposal,
)
from allod.cli.proposal_words import describe
from allod.cli.proposing import unsigned_statement
from allod.domain.ids import FleetId, sha256
from allod.errors import InvalidInput, Refused
from allod.trust.authoring import RepositoryDraft
from allod.trust.dsse import decode_envelope, payload_of
from allod.trust.metadata import ROOT, read
from allod.trust.role_keys import RoleKeys
from allod.wire.codec import instant
from allod.wire.trust import Location, Repair, Transfer, TrustStatement

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=700)


def signers(count: int) -> list[CryptoSigner]:
    """So many people with a root key."""
    return [CryptoSigner.generate_ed25519() for _ in range(count)]


def holders(people: list[CryptoSigner], threshold: int) -> RoleKeys:
    """The role that they hold together."""
    return RoleKeys(tuple(person.public_key for person in people), threshold)


def next_root(base: bytes, keys: RoleKeys) -> bytes:
    """The root after `base`, unsigned, under these holders."""
    draft = RepositoryDraft.from_files(FleetId("ab" * 32), {ROOT: base})
    draft.rotate_root(keys)
    return draft.propose_root(NOW)


def genesis(people: list[CryptoSigner], threshold: int = 2) -> Proposal:
    """The beginning of a fleet under these people."""
    daily = holders(signers(1), 1)
    draft = RepositoryDraft.genesis(
        root=holders(people, threshold), targets=daily, snapshot=daily, timestamp=daily, now=NOW
    )
    root, fleet = draft.propose_root(NOW), draft.fleet
    statement = TrustStatement(
        fleet=fleet, number=1, previous=None, at=instant(NOW), anchors=[Location(url="https://a:1")]
    )
    return Proposal(
        fleet=fleet, name="lab", at=instant(NOW), root=root, trust=unsigned_statement(statement)
    )


def test_two_of_three_on_separate_machines() -> None:
    """One signature is not enough, two are; copies signed apart can be put together."""
    people = signers(3)
    proposal = genesis(people)
    one = sign_proposal(proposal, people[:1])
    with pytest.raises(Refused) as caught:
        require_complete(one)
    assert caught.value.code == "threshold-not-met"
    assert "1 of 2" in caught.value.reasons[0]
    require_complete(sign_proposal(decode_proposal(encode_proposal(one)), people[1:2]))
    other = sign_proposal(proposal, people[2:])
    require_complete(merge_proposals([one, other]))


def test_one_person_who_signs_twice_counts_once() -> None:
    """A threshold counts keys, not signatures."""
    people = signers(3)
    once = sign_proposal(genesis(people), people[:1])
    assert missing(sign_proposal(once, people[:1])) == missing(once)


def test_a_stranger_cannot_sign() -> None:
    """A key that neither root names is refused at once, not silently dropped."""
    with pytest.raises(Refused) as caught:
        sign_proposal(genesis(signers(3)), signers(1))
    assert caught.value.code == "not-a-signer"


def test_a_new_root_needs_the_thresholds_of_old_and_new() -> None:
    """Neither the old holders alone nor the new ones alone can rotate (attack 35)."""
    old, new = signers(3), signers(3)
    begun = sign_proposal(genesis(old), old[:2])
    assert begun.root is not None
    root = next_root(begun.root, holders(new, 2))
    proposal = Proposal(fleet=begun.fleet, name="lab", at=instant(NOW), base=begun.root, root=root)
    assert len(missing(sign_proposal(proposal, old))) == 1
    assert len(missing(sign_proposal(proposal, new))) == 1
    both = sign_proposal(sign_proposal(proposal, old[1:]), new[:2])
    assert missing(both) == ()
    before: Root = read(begun.root, ROOT).signed
    after = read(both.root or b"", ROOT)
    before.verify_delegate(ROOT, after.signed_bytes, after.signatures)


def test_words_say_everything_that_changes() -> None:
    """Each key, threshold, pin, repair and transfer stands in a sentence computed from the bytes."""
    old, new = signers(2), signers(1)
    begun = sign_proposal(genesis(old, 1), old[:1])
    assert begun.root is not None
    assert begun.trust is not None
    statement = TrustStatement(
        fleet=begun.fleet,
        number=2,
        previous=sha256(payload_of(decode_envelope(begun.trust))),
        at=instant(NOW),
        anchors=[Location(url="https://b:2")],
        repairs=[Repair(roles={"targets": 3}, time=instant(NOW))],
        transfers=[Transfer(devices=["ab" * 32], to="cd" * 32, until=instant(LATER))],
    )
    proposal = Proposal(
        fleet=begun.fleet,
        name="lab",
        at=instant(NOW),
        base=begun.root,
        root=next_root(begun.root, holders([old[0], *new], 2)),
        trust_base=begun.trust,
        trust=unsigned_statement(statement),
    )
    words = " ".join(describe(decode_proposal(encode_proposal(proposal))))
    for part in (
        f"{new[0].public_key.keyid[:16]} gets the role root",
        f"{old[1].public_key.keyid[:16]} LOSES the role root",
        "needs 2 of 2 keys (it was 1)",
        "ask https://b:2 too",
        "NO LONGER to ask https://a:1",
        "floor of targets FALLS to 3",
        "time floor FALLS",
        "TAKEN OVER by fleet cdcdcdcdcdcdcdcd",
    ):
        assert part in words, part


def test_parts_that_do_not_belong_together_are_refused() -> None:
    """A root that skips a version, a statement that follows another, a wrong fleet: refused."""
    people = signers(1)
    begun = sign_proposal(genesis(people, 1), people)
    assert begun.root is not None
    same = holders(people, 1)
    later = next_root(next_root(begun.root, same), same)
    skipped = Proposal(fleet=begun.fleet, name="x", at="", base=begun.root, root=later)
    wrong_fleet = msgspec.structs.replace(begun, fleet="00" * 32)
    unchained = msgspec.structs.replace(begun, trust_base=begun.trust)
    for proposal in (skipped, wrong_fleet, unchained):
        with pytest.raises(InvalidInput):
            decode_proposal(encode_proposal(proposal))


def test_files_that_propose_different_things_are_not_merged() -> None:
    """Signatures over two roots never end up under one."""
    people = signers(2)
    with pytest.raises(InvalidInput):
        merge_proposals([genesis(people), genesis(people)])
