"""The log's entries of a proposal: whoever signs its root or its statement signs them too.

What an entry says follows from the proposal's own files, so nobody can have anything else signed
in the same sitting; the proposal carries the signatures only so that they travel with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuf.api.metadata import Root

from allod.cli.log_entries import names_log, newest_of, statement_of
from allod.domain.ids import sha256
from allod.errors import InvalidInput
from allod.trust.dsse import (
    add_signatures,
    decode_envelope,
    good_signatures,
    merge_envelopes,
    payload_of,
    sign_envelope,
)
from allod.trust.metadata import ROOT, open_role, read
from allod.wire.envelope import LOG_ROLE
from allod.wire.log import (
    AUTHORITY,
    TRUST_ROLE,
    RoleStatement,
    encode_authority,
    encode_role_statement,
)

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

    from allod.cli.proposal import Proposal


@dataclass(frozen=True, slots=True)
class Wanted:
    """An entry that a proposal needs, and the roots whose thresholds have to sign it."""

    statement: RoleStatement
    judges: tuple[Root, ...]

    @property
    def payload(self) -> bytes:
        """What is signed."""
        return encode_role_statement(self.statement)

    @property
    def holders(self) -> frozenset[str]:
        """The keys that count."""
        return frozenset(key for root in self.judges for key in root.roles[ROOT].keyids)


def wanted(proposal: Proposal) -> tuple[Wanted, ...]:
    """The entries of a proposal, in order; none where the owner names no log.

    A log that begins gets an entry of the root as it stands, too.
    """
    newest = proposal.trust or proposal.trust_base
    if newest is None or not names_log(statement_of(newest)):
        return ()
    found: list[Wanted] = []
    roots = [read(raw, ROOT).signed for raw in (proposal.base, proposal.root) if raw is not None]
    if proposal.root is not None:
        found.append(Wanted(_of_root(proposal, proposal.root), tuple(roots)))
    elif proposal.base is not None and begins_log(proposal):
        found.append(Wanted(_of_root(proposal, proposal.base), tuple(roots)))
    if proposal.trust is not None:
        found.append(Wanted(_of_trust(proposal, proposal.trust), tuple(roots[-1:])))
    return tuple(found)


def begins_log(proposal: Proposal) -> bool:
    """Whether the authority log that holds from now on is another than before."""
    if proposal.trust is None:
        return False
    now = newest_of(statement_of(proposal.trust), AUTHORITY)
    base = None if proposal.trust_base is None else statement_of(proposal.trust_base)
    before = None if base is None else newest_of(base, AUTHORITY)
    return now is not None and (before is None or before.origin != now.origin)


def unsigned_entries(proposal: Proposal) -> tuple[bytes, ...]:
    """The entries of a proposal as they begin their round."""
    return tuple(sign_envelope(one.payload, LOG_ROLE, ()) for one in wanted(proposal))


def check_entries(proposal: Proposal) -> None:
    """The entries are those that follow from the files, and no others.

    Raises:
        InvalidInput: `bad-document`.
    """
    given = [decode_envelope(raw, what="a log entry") for raw in proposal.entries]
    found = [(one.payload_type, payload_of(one)) for one in given]
    if found != [(LOG_ROLE, one.payload) for one in wanted(proposal)]:
        raise InvalidInput(
            "bad-document",
            "cannot use the proposal: its log entries are not those of its files; propose it again",
        )


def sign_entries(proposal: Proposal, signers: Sequence[Signer]) -> tuple[bytes, ...]:
    """The entries with the signatures of those `signers` who count for each."""
    signed = []
    for raw, one in zip(proposal.entries, wanted(proposal), strict=True):
        named = [signer for signer in signers if signer.public_key.keyid in one.holders]
        signed.append(add_signatures(raw, LOG_ROLE, named) if named else raw)
    return tuple(signed)


def merge_entries(proposals: Sequence[Proposal]) -> list[bytes]:
    """The entries with the signatures of all. The proposals propose the same."""
    return [merge_envelopes(raws) for raws in zip(*(one.entries for one in proposals), strict=True)]


def lacking(proposal: Proposal) -> list[tuple[str, int, int, tuple[str, ...]]]:
    """What, how many signatures there are, how many are needed, and who could still sign."""
    found = []
    for raw, one in zip(proposal.entries, wanted(proposal), strict=True):
        envelope = decode_envelope(raw)
        for root in one.judges:
            role = root.roles[ROOT]
            keys = [root.keys[key] for key in role.keyids]
            good = set(good_signatures(envelope, one.payload, keys).values())
            if len(good) < role.threshold:
                what = f"the log entry of {one.statement.role} {one.statement.version}"
                left = tuple(sorted(set(role.keyids) - good))
                found.append((what, len(good), role.threshold, left))
    return found


def finished_entries(proposal: Proposal) -> list[bytes]:
    """The entries as they go into the log. Raises InvalidInput: one has no signature."""
    return [encode_authority(decode_envelope(raw)) for raw in proposal.entries]


def _of_root(proposal: Proposal, raw: bytes) -> RoleStatement:
    file = open_role(raw, ROOT)
    return RoleStatement(fleet=proposal.fleet, role=ROOT, version=file.version, digest=file.digest)


def _of_trust(proposal: Proposal, raw: bytes) -> RoleStatement:
    return RoleStatement(
        fleet=proposal.fleet,
        role=TRUST_ROLE,
        version=statement_of(raw).number,
        digest=sha256(payload_of(decode_envelope(raw))),
    )
