"""The routes of the administration API: each asks for a right, calls a use case, and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from litestar import Request, Router, delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.types import ControllerRouterHandler

from allod.domain.ids import DeviceId, FleetId, parse_device, parse_fleet, sha256
from allod.errors import AllodError, InvalidInput, Refused
from allod.server.services.access import ADMIN, PUBLISH, READ, Principal
from allod.server.services.admit_fleet import AdmitFleet
from allod.server.services.api_tokens import ApiTokens
from allod.server.services.fleets import Fleets
from allod.server.services.learn_floors import LearnFloors
from allod.server.services.listings import Listings
from allod.server.services.publish import Publish
from allod.server.services.read_tokens import unauthenticated
from allod.server.services.refusals import Refusals
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
    Problem,
    ReportList,
    TokenCreated,
    TokenList,
)
from allod.wire.codec import encode

#: Names in the ASGI scope: who calls, and whether they brought the secret of the server's offer.
PRINCIPAL: Final = "allod.principal"
ENROLLED: Final = "allod.enrolled"
#: What every route may answer instead: always a problem (RFC 9457), of one table.
_PROBLEMS: Final = {
    status: ResponseSpec(
        Problem,
        generate_examples=False,
        description=description,
        media_type="application/problem+json",
    )
    for status, description in {
        400: "`bad-request`: a parameter or the shape of the body",
        401: "`unauthenticated`",
        403: "`forbidden`",
        404: "`not-found`",
        409: "`out-of-date`, `floors-unknown`, `published-already`",
        413: "`too-large`",
        415: "`wrong-content-type`",
        422: "`bad-json`, `bad-document`, `bad-signature`, `auth`, and what else a device would refuse",
        429: "`too-many`; Retry-After says when to come again",
        500: "`internal`: a bug; the server's log says which",
        503: "`stale`, `no-space`, `too-slow`; Retry-After says when to come again",
    }.items()
}
_MAX = 1000
Limit = Annotated[int, QueryParameter(ge=1, le=_MAX, description="how many at most")]
After = Annotated[int, QueryParameter(ge=0, lt=2**63 - 1, description="go on after this")]
Epoch = Annotated[
    int | None,
    QueryParameter(ge=1, lt=2**63 - 1, description="of the binding; the newest, unless given"),
]
AfterId = Annotated[str, QueryParameter(max_length=64, description="go on after this")]
FleetText = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$", description="the fleet's id")]
TokenText = Annotated[str, PathParameter(pattern="^[0-9a-f]{1,32}$", description="the token's id")]
DeviceText = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$", description="the device's id")]


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


def _caller(request: Request[Any, Any, Any], right: str) -> Principal:
    principal: Principal | None = request.scope.get(PRINCIPAL)  # type: ignore[assignment]
    if principal is None:
        raise unauthenticated("sign the request, or bring a token")
    principal.need(right)
    return principal


def _enter(request: Request[Any, Any, Any], right: str, text: str) -> FleetId:
    """The fleet of the address, to which the caller must belong.

    Raises:
        Untrusted: `unauthenticated`.
        Refused: `forbidden`.
        InvalidInput: `not-found`.
    """
    principal = _caller(request, right)
    fleet = _fleet(text)
    if principal.fleet != fleet:
        raise Refused("forbidden", "cannot answer: the caller belongs to another fleet")
    return fleet


def _fleet(text: str) -> FleetId:
    try:
        return parse_fleet(text)
    except AllodError as error:
        raise InvalidInput("not-found", "cannot find this fleet") from error


def _device(text: str) -> DeviceId:
    try:
        return parse_device(text)
    except AllodError as error:
        raise InvalidInput("not-found", "cannot find this device") from error


def routes(services: Services) -> list[ControllerRouterHandler]:
    """All routes below `/api/v1`."""
    handlers = [*_fleet_routes(services), *_device_routes(services), *_token_routes(services)]
    return [Router(path="/api/v1", route_handlers=handlers)]


def _fleet_routes(services: Services) -> list[ControllerRouterHandler]:
    listings = services.listings

    @post(
        "/fleets",
        sync_to_thread=True,
        responses=_PROBLEMS,
        summary="Admit a fleet by its genesis upload",
    )
    def admit(request: Request[Any, Any, Any], data: JSONBody[ChangeUpload]) -> ChangeReceipt:
        if request.scope.get(ENROLLED) is not True:
            raise unauthenticated("bring the enrolment secret of the server's offer.json")
        return services.admit_fleet(data)

    @get(
        "/fleets",
        sync_to_thread=True,
        responses=_PROBLEMS,
        summary="The fleets that know the caller",
    )
    def list_fleets(request: Request[Any, Any, Any]) -> FleetList:
        principal = _caller(request, READ)
        return FleetList(fleets=[listings.fleet(_fleet(principal.fleet))])

    @get(
        "/fleets/{fleet:str}",
        sync_to_thread=True,
        responses=_PROBLEMS,
        summary="News and versions of a fleet",
    )
    def show_fleet(request: Request[Any, Any, Any], fleet: FleetText) -> FleetStatus:
        known = _enter(request, READ, fleet)
        return listings.fleet(known)

    @post(
        "/fleets/{fleet:str}/changes",
        sync_to_thread=True,
        responses=_PROBLEMS,
        summary="Publish a signed change",
    )
    def publish(
        request: Request[Any, Any, Any], fleet: FleetText, data: JSONBody[ChangeUpload]
    ) -> ChangeReceipt:
        known = _enter(request, PUBLISH, fleet)
        caller, digest = _caller(request, PUBLISH), sha256(encode(data))
        with services.refusals.of(known, "a change", caller.subject, digest):
            return services.publish(known, data)

    @get(
        "/fleets/{fleet:str}/changes",
        sync_to_thread=True,
        responses=_PROBLEMS,
        summary="Publications, oldest first",
    )
    def list_changes(
        request: Request[Any, Any, Any], fleet: FleetText, after: After = 0, limit: Limit = 100
    ) -> ChangeList:
        known = _enter(request, READ, fleet)
        return listings.changes(known, after, limit)

    @post(
        "/fleets/{fleet:str}/floors",
        sync_to_thread=True,
        responses=_PROBLEMS,
        summary="Teach a restored server",
    )
    def floors(
        request: Request[Any, Any, Any], fleet: FleetText, data: JSONBody[FloorsUpload]
    ) -> ChangeReceipt:
        known = _enter(request, PUBLISH, fleet)
        caller, digest = _caller(request, PUBLISH), sha256(encode(data))
        with services.refusals.of(known, "floors", caller.subject, digest):
            return services.learn_floors(known, data)

    @get(
        "/fleets/{fleet:str}/alarms",
        sync_to_thread=True,
        responses=_PROBLEMS,
        summary="What to look at",
    )
    def alarms(request: Request[Any, Any, Any], fleet: FleetText) -> AlarmList:
        known = _enter(request, READ, fleet)
        return listings.alarms(known)

    return [admit, list_fleets, show_fleet, publish, list_changes, floors, alarms]


def _device_routes(services: Services) -> list[ControllerRouterHandler]:
    listings = services.listings

    @get(
        "/fleets/{fleet:str}/devices",
        sync_to_thread=True,
        responses=_PROBLEMS,
        summary="Devices by id",
    )
    def list_devices(
        request: Request[Any, Any, Any], fleet: FleetText, after: AfterId = "", limit: Limit = 100
    ) -> DeviceList:
        known = _enter(request, READ, fleet)
        return listings.devices(known, after, limit)

    @get(
        "/fleets/{fleet:str}/devices/{device:str}",
        sync_to_thread=True,
        responses=_PROBLEMS,
        summary="One device",
    )
    def show_device(
        request: Request[Any, Any, Any], fleet: FleetText, device: DeviceText
    ) -> DeviceSummary:
        known = _enter(request, READ, fleet)
        return listings.device(known, _device(device))

    @get(
        "/fleets/{fleet:str}/devices/{device:str}/reports",
        sync_to_thread=True,
        responses=_PROBLEMS,
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
        known = _enter(request, READ, fleet)
        return listings.reports(known, _device(device), after, limit, epoch)

    @get(
        "/fleets/{fleet:str}/bindings",
        sync_to_thread=True,
        responses=_PROBLEMS,
        summary="Binding records",
    )
    def list_bindings(
        request: Request[Any, Any, Any], fleet: FleetText, after: AfterId = "", limit: Limit = 100
    ) -> BindingList:
        known = _enter(request, READ, fleet)
        return listings.bindings(known, after, limit)

    @get(
        "/fleets/{fleet:str}/devices/{device:str}/bindings",
        sync_to_thread=True,
        responses=_PROBLEMS,
        summary="All binding records of a device",
    )
    def list_device_bindings(
        request: Request[Any, Any, Any], fleet: FleetText, device: DeviceText
    ) -> BindingList:
        known = _enter(request, READ, fleet)
        return listings.device_bindings(known, _device(device))

    return [list_devices, show_device, list_reports, list_bindings, list_device_bindings]


def _token_routes(services: Services) -> list[ControllerRouterHandler]:
    tokens = services.api_tokens

    @get(
        "/fleets/{fleet:str}/tokens",
        sync_to_thread=True,
        responses=_PROBLEMS,
        summary="Tokens by name",
    )
    def list_tokens(request: Request[Any, Any, Any], fleet: FleetText) -> TokenList:
        known = _enter(request, ADMIN, fleet)
        return TokenList(tokens=list(tokens.list(services.fleets.need(known).fleet)))

    @post(
        "/fleets/{fleet:str}/tokens",
        sync_to_thread=True,
        responses=_PROBLEMS,
        summary="Make a token",
    )
    def make_token(
        request: Request[Any, Any, Any], fleet: FleetText, data: JSONBody[NewToken]
    ) -> TokenCreated:
        known = _enter(request, ADMIN, fleet)
        return tokens.issue(services.fleets.need(known).fleet, data)

    @delete(
        "/fleets/{fleet:str}/tokens/{token:str}",
        sync_to_thread=True,
        responses=_PROBLEMS,
        summary="Revoke a token",
    )
    def revoke_token(request: Request[Any, Any, Any], fleet: FleetText, token: TokenText) -> None:
        known = _enter(request, ADMIN, fleet)
        tokens.revoke(known, token)

    return [list_tokens, make_token, revoke_token]
