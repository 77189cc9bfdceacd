"""What all routes of the administration API share: parameters, problems, and who may enter."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Request
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter

from allod.domain.ids import DeviceId, FleetId, parse_device, parse_fleet
from allod.errors import AllodError, InvalidInput, Refused
from allod.server.services.access import Principal
from allod.server.services.read_tokens import unauthenticated
from allod.wire.api import Problem

#: Names in the ASGI scope: who calls, and whether they brought the secret of the server's offer.
PRINCIPAL: Final = "allod.principal"
ENROLLED: Final = "allod.enrolled"
#: What every route may answer instead: always a problem (RFC 9457), of one table.
PROBLEMS: Final = {
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


def caller_in(request: Request[Any, Any, Any], right: str) -> Principal:
    """Who calls, and has the right.

    Raises:
        Untrusted: `unauthenticated`.
        Refused: `forbidden`.
    """
    principal: Principal | None = request.scope.get(PRINCIPAL)  # type: ignore[assignment]
    if principal is None:
        raise unauthenticated("sign the request, or bring a token")
    principal.need(right)
    return principal


def enter(request: Request[Any, Any, Any], right: str, text: str) -> FleetId:
    """The fleet of the address, to which the caller must belong.

    Raises:
        Untrusted: `unauthenticated`.
        Refused: `forbidden`.
        InvalidInput: `not-found`.
    """
    principal = caller_in(request, right)
    fleet = fleet_in(text)
    if principal.fleet != fleet:
        raise Refused("forbidden", "cannot answer: the caller belongs to another fleet")
    return fleet


def fleet_in(text: str) -> FleetId:
    """A fleet's id from an address. Raises InvalidInput `not-found`."""
    try:
        return parse_fleet(text)
    except AllodError as error:
        raise InvalidInput("not-found", "cannot find this fleet") from error


def device_in(text: str) -> DeviceId:
    """A device's id from an address. Raises InvalidInput `not-found`."""
    try:
        return parse_device(text)
    except AllodError as error:
        raise InvalidInput("not-found", "cannot find this device") from error
