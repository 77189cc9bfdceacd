"""Proposals: changes that wait for people. Kept, listed, and never believed.

A proposal is one file that is written whole. What is checked here saves people's time: an approval
of other bytes, by nobody whom the owner named, or for another change is refused at the door. What
counts is decided on the devices, by the approvals that stand in what is finally signed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import structlog

from allod.domain.desired import OWNER
from allod.domain.ids import FleetId, parse_name, parse_scope
from allod.errors import AllodError, Conflict, InvalidInput, Refused, Untrusted
from allod.server.events import ProposalKept
from allod.server.layout import ServerDirectory
from allod.server.services.access import PUBLISH, Principal
from allod.server.services.fleets import Fleets
from allod.server.services.limits import Locks, Rate
from allod.server.services.publication import Stores
from allod.trust.approvals import verify_approval
from allod.wire.approval import APPROVAL_CAP, ApprovalStatement
from allod.wire.codec import decode, encode, instant, parse_instant
from allod.wire.envelope import Envelope
from allod.wire.proposal import (
    MAX_APPROVALS,
    PROPOSAL_CAP,
    CloseProposal,
    Proposal,
    ProposalList,
    ProposalState,
    ProposalStatus,
    ProposalSummary,
    entry_digests,
    read_entries,
)

OPEN: Final = 1000  #: proposals of a fleet that may be open at once
OPEN_OF_DELEGATE: Final = 100  #: of them of one delegation
_ROOM_KIB: Final = 128 * 1024  #: a day, of whoever may not publish
_CAP: Final = PROPOSAL_CAP + MAX_APPROVALS * 2 * APPROVAL_CAP
_OWNERS: Final = frozenset({OWNER})
_log = structlog.get_logger("allod.server.proposals")


class Proposals:
    """The use cases. Their methods may be called from several threads.

    Args:
        stores: where they are kept.
        fleets: whose they are.
        rate: how many proposals and statements a fleet takes.
    """

    def __init__(self, stores: Stores, fleets: Fleets, rate: Rate) -> None:
        self._stores = stores
        self._fleets = fleets
        self._rate = rate
        self._room = Rate(stores.clock, _ROOM_KIB, "KiB of one person's proposals", seconds=86_400)
        self._locks = Locks()

    def propose(self, fleet: FleetId, proposal: Proposal, who: Principal) -> ProposalStatus:
        """Keep a proposal. The same one again is fine.

        Raises:
            InvalidInput: it can't be read.
            Untrusted: `wrong-fleet`.
            Refused: `forbidden`: a delegate proposes in nobody else's name.
            Conflict: `proposal-exists`, with other words.
            Unavailable: `too-many`.
        """
        if proposal.fleet != fleet:
            raise Untrusted("wrong-fleet", "cannot take the proposal: it is for another fleet")
        if who.delegation is not None and proposal.author != who.delegation:
            raise Refused(
                "forbidden", f"cannot take the proposal: {who.name} proposes for itself alone"
            )
        state = self._fleets.need(fleet)
        if proposal.author != OWNER and proposal.author not in state.delegations:
            raise InvalidInput(
                "unknown-delegation",
                f"cannot take the proposal: there is no delegation {proposal.author}",
            )
        read_entries(proposal)
        with self._locks.of(fleet):
            known = self._read(fleet, proposal.id)
            if known is not None:
                if known.proposal != proposal:
                    raise Conflict(
                        "proposal-exists",
                        f"cannot take the proposal {proposal.id}: another one has this id",
                    )
                return known
            self._make_room(fleet, proposal, who)
            received = instant(self._stores.clock.now())
            return self._keep(fleet, ProposalStatus(proposal=proposal, received=received))

    def show(self, fleet: FleetId, proposal: str) -> ProposalStatus:
        """One proposal with all that it has gathered. Raises InvalidInput `not-found`."""
        known = self._read(fleet, proposal)
        if known is None:
            raise InvalidInput("not-found", f"cannot find the proposal {proposal[:64]}")
        return known

    def list(
        self, fleet: FleetId, state: ProposalState | None, after: str, limit: int
    ) -> ProposalList:
        """Proposals of a state, or all."""
        rows = self._stores.database.proposals(fleet, state=state, after=after, limit=limit)
        return ProposalList(
            proposals=[
                ProposalSummary(
                    id=row.id,
                    author=row.author,
                    by=row.by,
                    at=row.at,
                    message=row.message,
                    ticket=row.ticket,
                    state=row.state,
                    received=instant(row.received),
                    packages=list(row.packages),
                    approvals=row.approvals,
                )
                for row in rows
            ],
            next=rows[-1].id if len(rows) == limit else None,
        )

    def approve(self, fleet: FleetId, proposal: str, envelope: Envelope) -> ProposalStatus:
        """Add what a person signed about an entry; a rejection closes the proposal.

        Raises:
            InvalidInput: `not-found`, or it can't be read.
            Untrusted: `auth`, `wrong-person`: the owner named nobody so for such approvals;
                `wrong-fleet`, `wrong-change`, `wrong-entry`.
            Conflict: `proposal-closed`.
            Unavailable: `too-many`.
        """
        document = self._fleets.need(fleet).document
        with self._locks.of(fleet):
            known = self.show(fleet, proposal)
            if envelope in known.approvals:
                return known
            self._require_open(known)
            statement = verify_approval(encode(envelope), document).value
            check_statement(statement, known.proposal)
            self._rate.take(fleet)
            if len(known.approvals) >= MAX_APPROVALS:
                raise Conflict(
                    "too-many-approvals", f"cannot take more than {MAX_APPROVALS} statements"
                )
            after = msgspec.structs.replace(known, approvals=[*known.approvals, envelope])
            if statement.verdict == "reject":
                after = self._closed(after, "rejected", statement.person, statement.message)
            return self._keep(fleet, after)

    def close(
        self, fleet: FleetId, proposal: str, wanted: CloseProposal, who: Principal
    ) -> ProposalStatus:
        """Close a proposal. Closed so already is fine.

        Raises:
            InvalidInput: `not-found`.
            Refused: `forbidden`: somebody else's.
            Conflict: `proposal-closed`: otherwise.
        """
        with self._locks.of(fleet):
            known = self.show(fleet, proposal)
            own = who.name == known.proposal.by or who.delegation == known.proposal.author
            if PUBLISH not in who.may and not own:
                raise Refused("forbidden", "cannot close the proposal: it is somebody else's")
            if known.state == wanted.state:
                return known
            self._require_open(known)
            return self._keep(fleet, self._closed(known, wanted.state, who.name, wanted.why))

    def published(
        self, fleet: FleetId, change: str, news: int, authors: frozenset[str] = _OWNERS
    ) -> None:
        """A change was published: if it was proposed, nobody has to look at it any more.

        It never fails: that the change is published is what counts. A delegate who names the id of
        somebody else's proposal closes nothing: `authors` are those whose documents changed.
        """
        try:
            with self._locks.of(fleet):
                known = self._read(fleet, change)
                if known is None or known.proposal.author not in authors:
                    return
                if known.state == "open":
                    after = self._closed(known, "published", "", "")
                    self._keep(fleet, msgspec.structs.replace(after, news=news))
        except (AllodError, OSError) as error:
            _log.error("proposal-not-closed", fleet=fleet, proposal=change[:64], exc_info=error)

    def _make_room(self, fleet: FleetId, proposal: Proposal, who: Principal) -> None:
        """One delegation uses up its own budget, not that of the fleet (attack 30).

        Raises:
            Conflict: `too-many-proposals`.
            Unavailable: `too-many`.
        """
        author = proposal.author
        self._rate.take(fleet if author == OWNER else f"{fleet}/{author}")
        if PUBLISH not in who.may:  # what is closed is kept, too
            self._room.take(f"{fleet}/{who.subject}", len(encode(proposal)) // 1024 + 1)
        rows = self._stores.database.proposals(fleet, state="open", limit=OPEN)
        own = sum(row.author == author for row in rows)
        most = OPEN if author == OWNER or len(rows) >= OPEN else OPEN_OF_DELEGATE
        if len(rows) >= OPEN or (author != OWNER and own >= OPEN_OF_DELEGATE):
            raise Conflict(
                "too-many-proposals",
                f"cannot take more than {most} open proposals: close some of them first",
            )

    def _require_open(self, known: ProposalStatus) -> None:
        if known.state != "open":
            raise Conflict(
                "proposal-closed",
                f"cannot change the proposal {known.proposal.id}: it is {known.state}",
            )

    def _closed(
        self, known: ProposalStatus, state: ProposalState, who: str, why: str
    ) -> ProposalStatus:
        now = instant(self._stores.clock.now())
        return msgspec.structs.replace(
            known, state=state, closed=now, closed_by=who[:256], why=why[:1000]
        )

    def _keep(self, fleet: FleetId, status: ProposalStatus) -> ProposalStatus:
        path = proposal_file(self._stores.layout, fleet, status.proposal.id)
        self._stores.files.write(path, encode(status))
        self._stores.database.apply(kept_event(fleet, status))
        return status

    def _read(self, fleet: FleetId, proposal: str) -> ProposalStatus | None:
        try:
            parse_name(proposal, "a proposal's id")
            path = proposal_file(self._stores.layout, fleet, proposal)
            return decode(path.read_bytes(), ProposalStatus, cap=_CAP, what=path.name)
        except FileNotFoundError:
            return None
        except InvalidInput as error:
            if error.code == "bad-name":
                return None
            raise


def check_statement(statement: ApprovalStatement, proposal: Proposal) -> None:
    """It is about an entry of this proposal, to the byte.

    Raises:
        Untrusted: `wrong-change`, `wrong-entry`.
    """
    if statement.change != proposal.id or statement.manager != proposal.author:
        raise Untrusted("wrong-change", "cannot accept the approval: it is of another change")
    place = (parse_scope(statement.scope), statement.package)
    if entry_digests(proposal).get(place) != statement.entry:
        raise Untrusted(
            "wrong-entry",
            "cannot accept the approval: what was approved is not what is proposed",
            scope=statement.scope,
            package=statement.package,
        )


def proposal_file(layout: ServerDirectory, fleet: FleetId, proposal: str) -> Path:
    """Where a proposal is kept."""
    return layout.fleet(fleet).root / "proposals" / f"{proposal}.json"


def kept_event(fleet: FleetId, status: ProposalStatus) -> ProposalKept:
    """What the projection says of a proposal."""
    proposal = status.proposal
    return ProposalKept(
        fleet=fleet,
        id=proposal.id,
        author=proposal.author,
        by=proposal.by,
        at=proposal.at,
        message=proposal.message,
        ticket=proposal.ticket,
        state=status.state,
        received=parse_instant(status.received),
        packages=tuple(f"{one.scope} {one.package}" for one in proposal.entries),
        approvals=len(status.approvals),
    )


def read_proposal_files(layout: ServerDirectory, fleet: FleetId) -> tuple[ProposalKept, ...]:
    """The proposals that the files of a fleet keep."""
    found = []
    for path in sorted((layout.fleet(fleet).root / "proposals").glob("*.json")):
        try:
            status = decode(path.read_bytes(), ProposalStatus, cap=_CAP, what=path.name)
            found.append(kept_event(fleet, status))
        except (AllodError, OSError) as error:
            _log.error("proposal-left-out", path=str(path), reason=str(error))
    return tuple(found)
