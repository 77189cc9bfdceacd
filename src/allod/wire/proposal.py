"""Proposals: changes that wait for people (docs/spec/api.md).

A proposal carries no authority and is not signed: what counts is what is finally signed. Whoever
approves computes the digests of its entries from the bytes here (`entry_digest`), so nobody can
show one change and have another approved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from allod.domain import desired, ids
from allod.domain.ids import Digest, Scope
from allod.errors import InvalidInput
from allod.wire.codec import Document, parse_instant
from allod.wire.entry import PackageEntry, entry_digest, entry_from_wire
from allod.wire.envelope import Envelope

PROPOSAL_CAP: Final = 8 * 1024 * 1024  #: bytes of one, its configuration documents in base64
MAX_ENTRIES: Final = 256
MAX_APPROVALS: Final = 256  #: that one proposal gathers
_TEXT: Final = 1000

ProposalState = Literal["open", "published", "rejected", "withdrawn"]


class ProposedEntry(Document, kw_only=True, frozen=True):
    """What one package's entry in one scope is to become."""

    scope: str
    package: str
    before: str | None = None  #: `entry_digest` of the entry as it stood; None: there was none
    entry: PackageEntry  #: without approvals; its `change` has the proposal's id and reasons


class Proposal(Document, kw_only=True, frozen=True):
    """What is proposed. It never changes."""

    type: Literal["allod.proposal"] = "allod.proposal"
    format: Literal[1] = 1
    id: str  #: of the change that it becomes
    fleet: str
    author: str = desired.OWNER  #: whose documents it changes: the owner's or a delegation's
    by: str = ""
    at: str
    message: str = ""
    ticket: str = ""
    entries: list[ProposedEntry]
    blobs: dict[str, bytes] = {}  #: configuration documents that it needs, by digest


class ProposalStatus(Document, kw_only=True, frozen=True):
    """A proposal, and how it stands by the server's word."""

    proposal: Proposal
    state: ProposalState = "open"
    received: str
    approvals: list[Envelope] = []  #: approvals and rejections, as they were signed
    closed: str | None = None  #: when
    closed_by: str = ""
    why: str = ""  #: why it was closed
    news: int | None = None  #: the publication that it became


class ProposalSummary(Document, kw_only=True, frozen=True):
    """One line of a list."""

    id: str
    author: str
    by: str
    at: str
    message: str
    ticket: str
    state: ProposalState
    received: str
    packages: list[str]  #: `scope package`
    approvals: int = 0  #: statements of people that it has gathered


class ProposalList(Document, kw_only=True, frozen=True):
    """Proposals, in the order of their ids."""

    proposals: list[ProposalSummary]
    next: str | None = None  #: ask again with `after` = this


class ApprovalUpload(Document, kw_only=True, frozen=True):
    """A person's signed statement about one entry of a proposal: an approval or a rejection."""

    approval: Envelope


class CloseProposal(Document, kw_only=True, frozen=True):
    """It needs nobody's attention any more."""

    state: Literal["published", "rejected", "withdrawn"]
    why: str = ""


def read_entries(proposal: Proposal) -> Mapping[tuple[Scope, str], desired.PackageEntry]:
    """Scope and package -> what the entry is to be. Everything about the proposal is checked.

    Raises:
        InvalidInput: `bad-proposal`, or what one of its parts is refused with.
    """
    name = ids.parse_name(proposal.id, "a proposal's id")
    ids.parse_fleet(proposal.fleet)
    parse_instant(proposal.at)
    if proposal.author != desired.OWNER:
        ids.parse_name(proposal.author, "a delegation's id")
    texts = (proposal.by, proposal.message, proposal.ticket)
    if not all(len(text) <= _TEXT and _printable(text) for text in texts):
        raise _bad("its texts are too long or unprintable")
    if not 1 <= len(proposal.entries) <= MAX_ENTRIES:
        raise _bad(f"it has 1 to {MAX_ENTRIES} entries")
    for text, data in proposal.blobs.items():
        if ids.sha256(data) != ids.parse_digest(text):
            raise InvalidInput("digest-mismatch", f"cannot take the blob {text}: its bytes differ")
    found: dict[tuple[Scope, str], desired.PackageEntry] = {}
    for one in proposal.entries:
        place = (ids.parse_scope(one.scope), one.package)
        entry = entry_from_wire(one.package, one.entry)
        note = entry.change
        if place in found or entry.approvals:
            raise _bad(f"{one.package} of {one.scope} stands twice or has approvals")
        reasons = (name, proposal.by, proposal.message, proposal.ticket)
        if note is None or (note.id, note.by, note.message, note.ticket) != reasons:
            raise _bad(f"the entry of {one.package} is not of this change")
        found[place] = entry
    return found


def entry_digests(proposal: Proposal) -> Mapping[tuple[Scope, str], Digest]:
    """What people approve, computed from the bytes. Raises InvalidInput."""
    entries = read_entries(proposal)
    return {place: entry_digest(place[1], entry) for place, entry in entries.items()}


def _printable(text: str) -> bool:
    return all(part.isprintable() for part in text.split("\n"))


def _bad(why: str) -> InvalidInput:
    return InvalidInput("bad-proposal", f"cannot read the proposal: {why}")
