"""What root keys sign: a new root, a trust statement, or both, carried from hand to hand.

At home one process proposes, signs and publishes; in production the same file goes round between
machines. Every signer's machine says in words what changes, computed from the very bytes that it
then signs (attack 9), against the newest root that this machine itself knows.

This module is pure: bytes, keys and times in, values out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
from securesystemslib.signer import Signer
from tuf.api.metadata import Root

from allod.cli.log_entries import statement_of
from allod.cli.proposal_entries import check_entries, merge_entries, sign_entries
from allod.cli.proposal_entries import lacking as entries_lacking
from allod.domain.ids import sha256
from allod.errors import InvalidInput, Refused, Untrusted
from allod.trust.dsse import add_signatures, decode_envelope, payload_of, verify_envelope
from allod.trust.metadata import ROOT, fleet_id, read
from allod.wire.codec import Document, decode, encode
from allod.wire.envelope import TRUST

PROPOSAL_CAP: Final = 8 * 1024 * 1024


class Proposal(Document, frozen=True, kw_only=True):
    """The file that goes round; `bytes` are base64."""

    type: Literal["allod.ceremony"] = "allod.ceremony"
    format: Literal[1] = 1
    fleet: str
    name: str
    at: str
    message: str = ""
    base: bytes | None = None  #: the root that it is made on; None at the beginning of a fleet
    root: bytes | None = None  #: the new root, with the signatures so far
    trust_base: bytes | None = None  #: the trust statement as it is
    trust: bytes | None = None  #: the new trust statement, with the signatures so far
    entries: tuple[bytes, ...] = ()  #: for the fleet's log, with the signatures so far


@dataclass(frozen=True, slots=True)
class Missing:
    """How many signatures a part of a proposal has, and needs."""

    what: str
    have: int
    need: int
    holders: tuple[str, ...]  #: key ids that could still sign


def sign_proposal(proposal: Proposal, signers: Sequence[Signer]) -> Proposal:
    """Add the signatures of those `signers` whose keys count.

    Raises:
        Refused: `not-a-signer`, none of them counts.
    """
    wanted = [s for s in signers if s.public_key.keyid in _holders(proposal)]
    if not wanted:
        raise Refused(
            "not-a-signer",
            "cannot sign the proposal: none of the root keys here is among those that count",
        )
    root, trust = proposal.root, proposal.trust
    if root is not None:
        metadata = read(root, ROOT)
        for signer in wanted:
            metadata.sign(signer, append=True)
        root = metadata.to_bytes()
    if trust is not None:
        held = set(_root_of(proposal).roles[ROOT].keyids)
        named = [signer for signer in wanted if signer.public_key.keyid in held]
        trust = add_signatures(trust, TRUST, named) if named else trust
    entries = sign_entries(proposal, wanted)
    return msgspec.structs.replace(proposal, root=root, trust=trust, entries=entries)


def merge_proposals(proposals: Sequence[Proposal]) -> Proposal:
    """One proposal with the signatures of all, which must propose the same.

    Raises:
        InvalidInput: `different-documents`.
    """
    from allod.trust.dsse import merge_envelopes

    first = proposals[0]
    if len({_content(proposal) for proposal in proposals}) != 1:
        raise InvalidInput(
            "different-documents", "cannot put the files together: they propose different things"
        )
    root, trust = first.root, first.trust
    if root is not None:
        metadata = read(root, ROOT)
        for proposal in proposals[1:]:
            metadata.signatures.update(read(proposal.root or b"", ROOT).signatures)
        root = metadata.to_bytes()
    if trust is not None:
        trust = merge_envelopes([p.trust for p in proposals if p.trust is not None])
    return msgspec.structs.replace(first, root=root, trust=trust, entries=merge_entries(proposals))


def missing(proposal: Proposal) -> tuple[Missing, ...]:
    """What is lacking until the proposal can be published; empty: nothing."""
    lacking: list[Missing] = []
    if proposal.root is not None:
        metadata = read(proposal.root, ROOT)
        new: Root = metadata.signed
        judges = [("the new root, by its own keys", new)]
        if proposal.base is not None:
            judges.append(
                ("the new root, by the keys of the present one", read(proposal.base, ROOT).signed)
            )
        for what, judge in judges:
            result = judge.get_verification_result(ROOT, metadata.signed_bytes, metadata.signatures)
            if not result:
                left = tuple(sorted(result.unsigned))
                lacking.append(Missing(what, len(result.signed), result.threshold, left))
    if proposal.trust is not None:
        root = _root_of(proposal)
        signed = {s.keyid for s in decode_envelope(proposal.trust).signatures}
        keys = {key_id: root.keys[key_id] for key_id in root.roles[ROOT].keyids}
        need = root.roles[ROOT].threshold
        try:
            verify_envelope(proposal.trust, TRUST, keys.values(), need)
        except Untrusted:
            left = tuple(sorted(set(keys) - signed))
            lacking.append(Missing("the trust statement", len(signed & set(keys)), need, left))
    if not lacking:
        # Whoever signed a file signed its entry: they lack only where somebody took them out.
        lacking += [Missing(*one) for one in entries_lacking(proposal)]
    return tuple(lacking)


def require_complete(proposal: Proposal) -> None:
    """Raises Refused `threshold-not-met` with what is lacking."""
    lacking = missing(proposal)
    if lacking:
        raise Refused(
            "threshold-not-met",
            "cannot publish the proposal: signatures are missing; let further key holders "
            "run 'allod ceremony sign'",
            reasons=tuple(f"{m.what} has {m.have} of {m.need} signatures" for m in lacking),
        )


def encode_proposal(proposal: Proposal) -> bytes:
    """The bytes of the file."""
    return encode(proposal)


def decode_proposal(data: bytes) -> Proposal:
    """Read a proposal; its parts must belong together.

    Raises:
        InvalidInput: it is malformed, or its parts do not fit each other.
    """
    proposal = decode(data, Proposal, cap=PROPOSAL_CAP, what="the proposal")
    if proposal.root is None and proposal.trust is None:
        raise InvalidInput("bad-document", "cannot use the proposal: it proposes nothing")
    if proposal.base is None and (
        proposal.root is None or fleet_id(proposal.root) != proposal.fleet
    ):
        raise InvalidInput(
            "bad-document", "cannot use the proposal: it does not begin the fleet it names"
        )
    if proposal.base is not None and proposal.root is not None:
        base, new = read(proposal.base, ROOT).signed, read(proposal.root, ROOT).signed
        if new.version != base.version + 1:
            raise InvalidInput("bad-document", "cannot use the proposal: its root skips a version")
    _check_trust(proposal)
    check_entries(proposal)
    return proposal


def _check_trust(proposal: Proposal) -> None:
    if (
        proposal.trust_base is not None
        and statement_of(proposal.trust_base).fleet != proposal.fleet
    ):
        raise InvalidInput(
            "bad-document",
            "cannot use the proposal: its present trust statement is another fleet's",
        )
    if proposal.trust is None:
        return
    made = statement_of(proposal.trust)
    before = (
        None if proposal.trust_base is None else payload_of(decode_envelope(proposal.trust_base))
    )
    previous = None if before is None else sha256(before)
    number = 1 if proposal.trust_base is None else statement_of(proposal.trust_base).number + 1
    if (made.fleet, made.number, made.previous) != (proposal.fleet, number, previous):
        raise InvalidInput(
            "bad-document",
            "cannot use the proposal: its trust statement does not follow the one before",
        )


def _root_of(proposal: Proposal) -> Root:
    """The root whose threshold the trust statement needs: the new one, if there is one."""
    raw = proposal.root if proposal.root is not None else proposal.base
    root: Root = read(raw or b"", ROOT).signed
    return root


def _holders(proposal: Proposal) -> frozenset[str]:
    holders: set[str] = set()
    for raw in (proposal.base, proposal.root):
        if raw is not None:
            holders |= set(read(raw, ROOT).signed.roles[ROOT].keyids)
    return frozenset(holders)


def _content(proposal: Proposal) -> tuple[object, ...]:
    root = None if proposal.root is None else read(proposal.root, ROOT).signed_bytes
    trust = None if proposal.trust is None else payload_of(decode_envelope(proposal.trust))
    return (proposal.fleet, proposal.base, root, proposal.trust_base, trust)
