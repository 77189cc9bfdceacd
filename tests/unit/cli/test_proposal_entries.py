"""The log's entries that travel with a proposal: nobody signs others, and none comes to lack."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.unit.cli import test_proposal as pure
from tests.unit.cli.conftest import Owner
from tests.unit.cli.test_ceremony import few_bins, signers, works  # noqa: F401 - fixtures
from tests.unit.cli.test_own import Device, accepted

from allod.cli.ceremony import read_proposal
from allod.cli.log_entries import statement_of
from allod.cli.named_logs import first_logs
from allod.cli.proposal import (
    Proposal,
    decode_proposal,
    encode_proposal,
    merge_proposals,
    missing,
    require_complete,
    sign_proposal,
)
from allod.cli.proposal_entries import finished_entries, unsigned_entries, wanted
from allod.cli.proposal_words import describe
from allod.cli.proposing import unsigned_statement
from allod.domain.ids import FleetId
from allod.errors import InvalidInput, Refused
from allod.testing.logs import note_signer
from allod.tlog.note import Kind
from allod.trust.dsse import decode_envelope, sign_envelope
from allod.trust.keys import from_key
from allod.wire.envelope import LOG_ROLE
from allod.wire.log import RoleStatement, encode_role_statement


def logged(people: list[pure.CryptoSigner]) -> Proposal:
    """The beginning of a fleet with logs under these people."""
    plain = pure.genesis(people)
    assert plain.trust is not None
    key = from_key(pure.signers(1)[0].public_key)
    statement = msgspec.structs.replace(
        statement_of(plain.trust), logs=first_logs(FleetId(plain.fleet), key)
    )
    made = msgspec.structs.replace(plain, trust=unsigned_statement(statement))
    return msgspec.structs.replace(made, entries=unsigned_entries(made))


def test_whoever_signs_a_file_signs_its_entry() -> None:
    """One sitting: root and statement, each with its entry, by the same two of three."""
    people = pure.signers(3)
    proposal = logged(people)
    assert [one.statement.role for one in wanted(proposal)] == ["root", "trust"]
    one = sign_proposal(proposal, people[:1])
    other = sign_proposal(decode_proposal(encode_proposal(proposal)), people[2:])
    merged = merge_proposals([one, other])
    require_complete(merged)
    keys = {people[0].public_key.keyid, people[2].public_key.keyid}
    for entry in finished_entries(merged):
        assert {one.keyid for one in decode_envelope(entry).signatures} == keys
    assert "The same signatures enter the log: root 1, trust 1." in describe(proposal)


def test_an_entry_that_says_something_else_is_not_signed() -> None:
    """A proposer cannot have another version signed for the log, nor one too many or too few."""
    proposal = logged(pure.signers(3))
    false = RoleStatement(
        fleet=proposal.fleet, role="targets", version=9, digest="sha256:" + "0" * 64
    )
    entry = sign_envelope(encode_role_statement(false), LOG_ROLE, ())
    root, trust = proposal.entries
    for entries in ((root, entry), (root, trust, entry), (root,), (trust, root), ()):
        with pytest.raises(InvalidInput) as caught:
            decode_proposal(encode_proposal(msgspec.structs.replace(proposal, entries=entries)))
        assert caught.value.code == "bad-document"


def test_a_proposal_whose_entries_lost_their_signatures_is_not_complete() -> None:
    """Files alone are not enough: the server and every reader would miss the entries."""
    people = pure.signers(3)
    proposal = logged(people)
    signed = sign_proposal(proposal, people[:2])
    robbed = msgspec.structs.replace(signed, entries=proposal.entries)
    assert [part.what for part in missing(robbed)] == [
        "the log entry of root 1",
        "the log entry of trust 1",
    ]
    with pytest.raises(Refused):
        require_complete(robbed)


def test_a_witness_by_ceremony(
    works: Owner,  # noqa: F811
    signers: list[Owner],  # noqa: F811
    tmp_path: Path,
) -> None:
    """Two of three say who vouches, and let a successor log follow; the daily machine adds the rest."""
    device = Device(works, "works")
    device.accept()
    works.monkeypatch.setenv("ALLOD_WITNESS_WAIT", "0s")
    file, key = tmp_path / "p", str(note_signer("w.example", Kind.COSIGNATURE).key)
    assert works.refused("trust", "log", "succeed", "--yes") == "key-elsewhere"
    works.do("trust", "log", "succeed", "--proposal", file, "--yes")
    roles = [one.statement.role for one in wanted(read_proposal(file))]
    assert roles == ["root", "trust"], "the root as it stands begins the new log"
    shown = signers[0].do("ceremony", "show", file)["changes"]
    assert any("authority/2" in said and "SUCCEEDS authority" in said for said in shown)
    for person in signers[:2]:
        person.do("ceremony", "sign", file, "--yes")
    works.do("ceremony", "publish", file, "--yes")
    statement = accepted(works, device).statement
    assert statement is not None
    assert len(statement.logs) == 4
    file.unlink()
    works.do("trust", "witness", "add", key, "--proposal", file, "--yes")
    shown = signers[0].do("ceremony", "show", file)["changes"]
    assert any("w.example" in said and "is to vouch" in said for said in shown)
    assert any("change NOTHING until 1" in said for said in shown)
    for person in signers[1:]:
        person.do("ceremony", "sign", file, "--yes")
    works.do("ceremony", "publish", file, "--yes")
    assert works.do("trust", "show")["statement"]["witnesses"]["keys"] == [key]


def test_a_root_proposed_before_the_log_is_proposed_again(begun: Owner, tmp_path: Path) -> None:
    """Its entry is lacking: said at once, and not by the server after everybody signed."""
    file = tmp_path / "p"
    begun.do("ceremony", "propose", file)
    proposal = read_proposal(file)
    fleet = begun.fleet()
    before = msgspec.structs.replace(proposal, trust_base=None, entries=())
    file.write_bytes(encode_proposal(sign_proposal(before, fleet.keys.signers("root"))))
    assert begun.refused("ceremony", "publish", file, "--yes") == "out-of-date"
