"""The routes of rollouts."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import JSONBody, PathParameter
from litestar.types import ControllerRouterHandler

from allod.server.http.route_parts import PROBLEMS, FleetText, caller_in, enter
from allod.server.services.access import ORDER, READ
from allod.server.services.rollouts import Rollouts
from allod.wire.rollout_state import PauseRequest, RolloutList, RolloutState

RolloutText = Annotated[
    str, PathParameter(pattern="^[0-9a-z._-]{1,63}$", description="the rollout's id")
]


def rollout_routes(rollouts: Rollouts) -> list[ControllerRouterHandler]:
    """How rollouts stand; pauses and their ends."""

    @get(
        "/fleets/{fleet:str}/rollouts",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="The open rollouts",
    )
    def list_rollouts(request: Request[Any, Any, Any], fleet: FleetText) -> RolloutList:
        return rollouts.list(enter(request, READ, fleet))

    @get(
        "/fleets/{fleet:str}/rollouts/{rollout:str}",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="One open rollout",
    )
    def show_rollout(
        request: Request[Any, Any, Any], fleet: FleetText, rollout: RolloutText
    ) -> RolloutState:
        return rollouts.show(enter(request, READ, fleet), rollout)

    @post(
        "/fleets/{fleet:str}/rollouts/{rollout:str}/pause",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Open no further gate",
    )
    def pause_rollout(
        request: Request[Any, Any, Any],
        fleet: FleetText,
        rollout: RolloutText,
        data: JSONBody[PauseRequest],
    ) -> RolloutState:
        known, caller = enter(request, ORDER, fleet), caller_in(request, ORDER)
        return rollouts.pause(known, rollout, data.why, caller.name, caller.delegation)

    @post(
        "/fleets/{fleet:str}/rollouts/{rollout:str}/resume",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Go on after a pause or a halt",
    )
    def resume_rollout(
        request: Request[Any, Any, Any],
        fleet: FleetText,
        rollout: RolloutText,
        data: JSONBody[PauseRequest],
    ) -> RolloutState:
        known, caller = enter(request, ORDER, fleet), caller_in(request, ORDER)
        return rollouts.resume(known, rollout, data.why, caller.name, caller.delegation)

    return [list_rollouts, show_rollout, pause_rollout, resume_rollout]
