"""The routes of proposals and channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from litestar import Request, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.types import ControllerRouterHandler

from allod.domain.ids import sha256
from allod.server.http.route_parts import (
    PROBLEMS,
    AfterId,
    FleetText,
    Limit,
    caller_in,
    enter,
)
from allod.server.services.access import PROPOSE, PUSH, READ
from allod.server.services.channels import Channels
from allod.server.services.proposals import Proposals
from allod.server.services.refusals import Refusals
from allod.wire.api import ChannelList, ChannelReceipt, ChannelUpload
from allod.wire.proposal import (
    ApprovalUpload,
    CloseProposal,
    Proposal,
    ProposalList,
    ProposalStatus,
)

ProposalText = Annotated[
    str, PathParameter(pattern="^[0-9a-z._-]{1,63}$", description="the proposal's id")
]
StateText = Annotated[
    Literal["open", "published", "rejected", "withdrawn"] | None,
    QueryParameter(name="state", description="only those that are so"),
]


@dataclass(frozen=True, slots=True)
class PermissionServices:
    """What these routes call."""

    proposals: Proposals
    channels: Channels
    refusals: Refusals


def proposal_routes(services: PermissionServices) -> list[ControllerRouterHandler]:
    """Proposals, and what people say of them."""
    proposals, refusals = services.proposals, services.refusals

    @post(
        "/fleets/{fleet:str}/proposals",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Propose a change",
    )
    def propose(
        request: Request[Any, Any, Any], fleet: FleetText, data: JSONBody[Proposal]
    ) -> ProposalStatus:
        known = enter(request, PROPOSE, fleet)
        caller = caller_in(request, PROPOSE)
        with refusals.of(known, "a proposal", caller.subject):
            return proposals.propose(known, data, caller)

    @get(
        "/fleets/{fleet:str}/proposals",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Proposals by id",
    )
    def list_proposals(
        request: Request[Any, Any, Any],
        fleet: FleetText,
        only: StateText = None,
        after: AfterId = "",
        limit: Limit = 100,
    ) -> ProposalList:
        return proposals.list(enter(request, READ, fleet), only, after, limit)

    @get(
        "/fleets/{fleet:str}/proposals/{proposal:str}",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="One proposal, with what people signed about it",
    )
    def show_proposal(
        request: Request[Any, Any, Any], fleet: FleetText, proposal: ProposalText
    ) -> ProposalStatus:
        return proposals.show(enter(request, READ, fleet), proposal)

    @post(
        "/fleets/{fleet:str}/proposals/{proposal:str}/approvals",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Hand in a signed approval or rejection",
    )
    def approve(
        request: Request[Any, Any, Any],
        fleet: FleetText,
        proposal: ProposalText,
        data: JSONBody[ApprovalUpload],
    ) -> ProposalStatus:
        known = enter(request, PROPOSE, fleet)
        with refusals.of(known, "an approval", caller_in(request, PROPOSE).subject):
            return proposals.approve(known, proposal, data.approval)

    @post(
        "/fleets/{fleet:str}/proposals/{proposal:str}/close",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Close a proposal",
    )
    def close_proposal(
        request: Request[Any, Any, Any],
        fleet: FleetText,
        proposal: ProposalText,
        data: JSONBody[CloseProposal],
    ) -> ProposalStatus:
        known = enter(request, PROPOSE, fleet)
        return proposals.close(known, proposal, data, caller_in(request, PROPOSE))

    return [propose, list_proposals, show_proposal, approve, close_proposal]


def channel_routes(services: PermissionServices) -> list[ControllerRouterHandler]:
    """Documents of providers' channels."""
    channels, refusals = services.channels, services.refusals

    @post(
        "/fleets/{fleet:str}/channels",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Hand in a provider's channel document",
    )
    def take(
        request: Request[Any, Any, Any], fleet: FleetText, data: JSONBody[ChannelUpload]
    ) -> ChannelReceipt:
        known = enter(request, PUSH, fleet)
        subject = caller_in(request, PUSH).subject
        with refusals.of(known, "a channel", subject, sha256(data.document)):
            return channels.take(known, data.document)

    @get(
        "/fleets/{fleet:str}/channels",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="The channels that the fleet follows",
    )
    def list_channels(request: Request[Any, Any, Any], fleet: FleetText) -> ChannelList:
        return channels.listed(enter(request, READ, fleet))

    return [take, list_channels]
