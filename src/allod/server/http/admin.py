"""`/api/v1`: the administration API. Litestar says what there is; who may is decided before it.

`AdminApp` reads the body under its cap, identifies the caller, checks that the signed body is the
one that came, and hands both to Litestar. Every failure is a problem (RFC 9457) of one table.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from allod.errors import AllodError, InvalidInput
from allod.server.http.fleet_files import caller_of
from allod.server.http.messages import (
    NO_STORE,
    SECURITY_HEADERS,
    Bodies,
    Receive,
    Scope,
    Send,
    header,
    not_found,
    problem_headers,
    problem_of,
    respond_problem,
    unexpected,
)
from allod.server.http.route_parts import ENROLLED, PRINCIPAL
from allod.server.http.routes import Services, routes
from allod.server.registry.ports import Caller
from allod.server.services.access import Access, Principal
from allod.server.services.admit_fleet import AdmitFleet
from allod.server.services.channels import DOCUMENT_CAP
from allod.wire.api import ENROLMENT_HEADER
from allod.wire.codec import encode, parse_strict
from allod.wire.httpsig import verify_body
from allod.wire.proposal import PROPOSAL_CAP

PREFIX: Final = "/api/v1"
_FLEET: Final = re.compile(r"/api/v1/fleets/([0-9a-f]{64})(?:/.*)?")
_PLAIN: Final = re.compile(r"/api/v1(?:/[A-Za-z0-9._-]+)*", re.ASCII)
_SMALL: Final = 64 * 1024
_LARGE: Final = re.compile(r"/api/v1/fleets(?:/[0-9a-f]{64}/(?:changes|floors))?")
_MIDDLING: Final = re.compile(r"/api/v1/fleets/[0-9a-f]{64}/(?:(proposals)|channels)")


@dataclass(frozen=True, slots=True)
class AdminLimits:
    """How much somebody may send, and what reads it."""

    upload_cap: int
    bodies: Bodies


class AdminApp:
    """Answers below `/api/v1`."""

    def __init__(
        self, access: Access, admit_fleet: AdmitFleet, services: Services, limits: AdminLimits
    ) -> None:
        self._access = access
        self._admit_fleet = admit_fleet
        self._limits = limits
        self._services = services
        self._inner = _litestar(services)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            scope[PRINCIPAL], scope[ENROLLED] = None, False
            body = await self._enter(scope, receive)
            await self._inner(scope, _replay(body, receive), _secured(send))  # type: ignore[arg-type]
        except AllodError as error:
            await respond_problem(send, error)
        except Exception as error:  # noqa: BLE001 - the edge: nothing may pass it
            await respond_problem(send, unexpected(error, scope))

    async def _enter(self, scope: Scope, receive: Receive) -> bytes:
        path, method = scope["path"], scope["method"]
        # Litestar would read "//" and a "/" at the end as nothing; who may is decided by the path,
        # so there is one way to write it.
        if _PLAIN.fullmatch(path) is None:
            raise not_found("this address")
        if method in {"GET", "HEAD"} and path.startswith(f"{PREFIX}/schema"):
            return b""
        loop = asyncio.get_running_loop()
        principal = None
        if (method, path) == ("POST", f"{PREFIX}/fleets"):
            self._admit_fleet.check_secret(header(scope, ENROLMENT_HEADER.encode()) or "")
            scope[ENROLLED] = True
        else:
            match = _FLEET.fullmatch(path)
            fleet = None if match is None else match.group(1)
            identify = partial(self._identify, fleet, caller_of(scope))
            principal = await loop.run_in_executor(None, identify)
        scope[PRINCIPAL] = principal
        cap = self._cap(path)
        body = await self._limits.bodies.read(scope, receive, cap=cap)
        if principal is not None and principal.body_digest is not None:
            verify_body(principal.body_digest, hashlib.sha256(body).digest())
        if body:
            _check_kind(scope)
            await loop.run_in_executor(None, partial(parse_strict, body, cap=cap, what="the body"))
        return body

    def _cap(self, path: str) -> int:
        """How many bytes a body may have."""
        if _LARGE.fullmatch(path):
            return self._limits.upload_cap
        middling = _MIDDLING.fullmatch(path)
        if middling is None:
            return _SMALL
        return PROPOSAL_CAP if middling.group(1) else 2 * DOCUMENT_CAP

    def _identify(self, fleet: str | None, caller: Caller) -> Principal:
        """Who is calling; that a stranger brought something is counted."""
        known = None if fleet is None else self._services.fleets.get(fleet)
        if known is None or caller.method in {"GET", "HEAD"}:
            return self._access.identify(fleet, caller)
        with self._services.refusals.of(known.fleet, "a request"):
            return self._access.identify(fleet, caller)


def _check_kind(scope: Scope) -> None:
    """Only JSON is read. Raises InvalidInput `wrong-content-type`."""
    kind = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidInput(
            "wrong-content-type",
            f"cannot read the body: it comes as {kind[:60]!r}, and must be application/json",
        )


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read to the inner application, then what comes after it."""
    given = False

    async def again() -> Any:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again


def _secured(send: Send) -> Send:
    """Add the security headers to every answer."""

    async def secured(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *SECURITY_HEADERS, NO_STORE]}
        await send(message)

    return secured


def _problem(error: AllodError) -> Response[bytes]:
    fields = {name.decode(): value.decode() for name, value in problem_headers(error)}
    kind = fields.pop("content-type")
    return Response(
        encode(problem_of(error)), status_code=error.http_status, media_type=kind, headers=fields
    )


def _expected(_request: Request[Any, Any, Any], error: AllodError) -> Response[bytes]:
    return _problem(error)


#: Litestar's own refusals -> our codes.
_CODES: Final = {
    401: "unauthenticated",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
}


def _refused(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    code = _CODES.get(error.status_code, "bad-request")
    faults = [_fault(one) for one in error.extra] if isinstance(error.extra, list) else []
    why = "; ".join(faults) if faults else error.detail
    return _problem(InvalidInput(code, f"cannot answer: {why}"[:1000]))


def _fault(extra: Any) -> str:
    """One thing that Litestar found wrong with a request."""
    if not isinstance(extra, dict):
        return str(extra)[:200]
    return f"{extra.get('key', 'the request')}: {extra.get('message', 'does not fit')}"[:200]


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return _problem(unexpected(error, {"path": request.url.path, "method": request.method}))


def _litestar(services: Services) -> Litestar:
    return Litestar(
        route_handlers=routes(services),
        exception_handlers={
            AllodError: _expected,
            HTTPException: _refused,
            Exception: _unexpected,
        },
        openapi_config=OpenAPIConfig(
            title="Allod administration API",
            version="1",
            description="What an owner's program asks of the server. Nothing here is believed: "
            "owners verify the signed files and reports themselves.",
            path=f"{PREFIX}/schema",
            render_plugins=[JsonRenderPlugin()],
            components=Components(
                security_schemes={
                    "token": SecurityScheme(type="http", scheme="bearer"),
                    "signature": SecurityScheme(
                        type="apiKey",
                        name="Signature",
                        security_scheme_in="header",
                        description="HTTP message signature (RFC 9421), tag 'allod'",
                    ),
                }
            ),
            security=[{"token": []}, {"signature": []}],
        ),
        logging_config=None,
        debug=False,
        pdb_on_exception=False,
    )
