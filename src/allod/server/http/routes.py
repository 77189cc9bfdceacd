"""The routes of the administration API: each asks for a right, calls a use case, and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Request, Router, delete, get, post
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler

from allod.domain.ids import sha256
from allod.server.http.permission_routes import (
    PermissionServices,
    channel_routes,
    proposal_routes,
)
from allod.server.http.rollout_routes import rollout_routes
from allod.server.http.route_parts import (
    ENROLLED,
    PROBLEMS,
    After,
    AfterId,
    DeviceText,
    Epoch,
    FleetText,
    Limit,
    TokenText,
    caller_in,
    device_in,
    enter,
    fleet_in,
)
from allod.server.services.access import ADMIN, ORDER, PUBLISH, READ
from allod.server.services.admit_fleet import AdmitFleet
from allod.server.services.api_tokens import ApiTokens
from allod.server.services.fleets import Fleets
from allod.server.services.learn_floors import LearnFloors
from allod.server.services.listings import Listings
from allod.server.services.publish import Publish
from allod.server.services.read_tokens import unauthenticated
from allod.server.services.refusals import Refusals
from allod.server.services.rollouts import Rollouts
from allod.wire.api import (
    AlarmList,
    BindingList,
    ChangeList,
    ChangeReceipt,
    ChangeUpload,
    DeviceList,
    DeviceSummary,
    FleetList,
    FleetStatus,
    FloorsUpload,
    NewToken,
    RecordedList,
    ReportList,
    TokenCreated,
    TokenList,
)
from allod.wire.codec import encode


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes call."""

    fleets: Fleets
    publish: Publish
    admit_fleet: AdmitFleet
    learn_floors: LearnFloors
    api_tokens: ApiTokens
    listings: Listings
    refusals: Refusals
    permission: PermissionServices
    rollouts: Rollouts


def routes(services: Services) -> list[ControllerRouterHandler]:
    """All routes below `/api/v1`."""
    handlers = [
        *_fleet_routes(services),
        *_device_routes(services),
        *_token_routes(services),
        *proposal_routes(services.permission),
        *channel_routes(services.permission),
        *rollout_routes(services.rollouts),
    ]
    return [Router(path="/api/v1", route_handlers=handlers)]


def _fleet_routes(services: Services) -> list[ControllerRouterHandler]:
    listings = services.listings

    @post(
        "/fleets",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Admit a fleet by its genesis upload",
    )
    def admit(request: Request[Any, Any, Any], data: JSONBody[ChangeUpload]) -> ChangeReceipt:
        if request.scope.get(ENROLLED) is not True:
            raise unauthenticated("bring the enrolment secret of the server's offer.json")
        return services.admit_fleet(data)

    @get(
        "/fleets",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="The fleets that know the caller",
    )
    def list_fleets(request: Request[Any, Any, Any]) -> FleetList:
        principal = caller_in(request, READ)
        return FleetList(fleets=[listings.fleet(fleet_in(principal.fleet))])

    @get(
        "/fleets/{fleet:str}",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="News and versions of a fleet",
    )
    def show_fleet(request: Request[Any, Any, Any], fleet: FleetText) -> FleetStatus:
        known = enter(request, READ, fleet)
        return listings.fleet(known)

    @post(
        "/fleets/{fleet:str}/changes",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Publish a signed change",
    )
    def publish(
        request: Request[Any, Any, Any], fleet: FleetText, data: JSONBody[ChangeUpload]
    ) -> ChangeReceipt:
        known = enter(request, ORDER, fleet)
        caller, digest = caller_in(request, ORDER), sha256(encode(data))
        with services.refusals.of(known, "a change", caller.subject, digest):
            return services.publish(known, data, delegation=caller.delegation)

    @get(
        "/fleets/{fleet:str}/changes",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Publications, oldest first",
    )
    def list_changes(
        request: Request[Any, Any, Any], fleet: FleetText, after: After = 0, limit: Limit = 100
    ) -> ChangeList:
        known = enter(request, READ, fleet)
        return listings.changes(known, after, limit)

    @post(
        "/fleets/{fleet:str}/floors",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Teach a restored server",
    )
    def floors(
        request: Request[Any, Any, Any], fleet: FleetText, data: JSONBody[FloorsUpload]
    ) -> ChangeReceipt:
        known = enter(request, PUBLISH, fleet)
        caller, digest = caller_in(request, PUBLISH), sha256(encode(data))
        with services.refusals.of(known, "floors", caller.subject, digest):
            return services.learn_floors(known, data)

    @get(
        "/fleets/{fleet:str}/alarms",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="What to look at",
    )
    def alarms(request: Request[Any, Any, Any], fleet: FleetText) -> AlarmList:
        known = enter(request, READ, fleet)
        return listings.alarms(known)

    return [admit, list_fleets, show_fleet, publish, list_changes, floors, alarms]


def _device_routes(services: Services) -> list[ControllerRouterHandler]:
    listings = services.listings

    @get(
        "/fleets/{fleet:str}/devices",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Devices by id",
    )
    def list_devices(
        request: Request[Any, Any, Any], fleet: FleetText, after: AfterId = "", limit: Limit = 100
    ) -> DeviceList:
        known = enter(request, READ, fleet)
        return listings.devices(known, after, limit)

    @get(
        "/fleets/{fleet:str}/devices/{device:str}",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="One device",
    )
    def show_device(
        request: Request[Any, Any, Any], fleet: FleetText, device: DeviceText
    ) -> DeviceSummary:
        known = enter(request, READ, fleet)
        return listings.device(known, device_in(device))

    @get(
        "/fleets/{fleet:str}/recorded",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Devices that are only on record, by id",
    )
    def list_recorded(
        request: Request[Any, Any, Any], fleet: FleetText, after: AfterId = "", limit: Limit = 100
    ) -> RecordedList:
        known = enter(request, READ, fleet)
        return listings.recorded(known, after, limit)

    @get(
        "/fleets/{fleet:str}/devices/{device:str}/reports",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Reports as the device signed them",
    )
    def list_reports(
        request: Request[Any, Any, Any],
        fleet: FleetText,
        device: DeviceText,
        after: After = 0,
        limit: Limit = 100,
        epoch: Epoch = None,
    ) -> ReportList:
        known = enter(request, READ, fleet)
        return listings.reports(known, device_in(device), after, limit, epoch)

    @get(
        "/fleets/{fleet:str}/bindings",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Binding records",
    )
    def list_bindings(
        request: Request[Any, Any, Any], fleet: FleetText, after: AfterId = "", limit: Limit = 100
    ) -> BindingList:
        known = enter(request, READ, fleet)
        return listings.bindings(known, after, limit)

    @get(
        "/fleets/{fleet:str}/devices/{device:str}/bindings",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="All binding records of a device",
    )
    def list_device_bindings(
        request: Request[Any, Any, Any], fleet: FleetText, device: DeviceText
    ) -> BindingList:
        known = enter(request, READ, fleet)
        return listings.device_bindings(known, device_in(device))

    devices = [list_devices, show_device, list_recorded]
    return [*devices, list_reports, list_bindings, list_device_bindings]


def _token_routes(services: Services) -> list[ControllerRouterHandler]:
    tokens = services.api_tokens

    @get(
        "/fleets/{fleet:str}/tokens",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Tokens by name",
    )
    def list_tokens(request: Request[Any, Any, Any], fleet: FleetText) -> TokenList:
        known = enter(request, ADMIN, fleet)
        return TokenList(tokens=list(tokens.list(services.fleets.need(known).fleet)))

    @post(
        "/fleets/{fleet:str}/tokens",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Make a token",
    )
    def make_token(
        request: Request[Any, Any, Any], fleet: FleetText, data: JSONBody[NewToken]
    ) -> TokenCreated:
        known = enter(request, ADMIN, fleet)
        return tokens.issue(services.fleets.need(known).fleet, data)

    @delete(
        "/fleets/{fleet:str}/tokens/{token:str}",
        sync_to_thread=True,
        responses=PROBLEMS,
        summary="Revoke a token",
    )
    def revoke_token(request: Request[Any, Any, Any], fleet: FleetText, token: TokenText) -> None:
        known = enter(request, ADMIN, fleet)
        tokens.revoke(known, token)

    return [list_tokens, make_token, revoke_token]
