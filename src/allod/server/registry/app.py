"""The registry as a bare ASGI application, mounted at `/v2`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from allod.errors import AllodError, InvalidInput
from allod.server.registry import blobs, manifests
from allod.server.registry.exchange import (
    Answer,
    Body,
    Receive,
    Request,
    Scope,
    Send,
    error_answer,
    read_query,
    send_answer,
)
from allod.server.registry.ports import Action, Caller, FleetStores, Gate, Repository

Handler = Callable[[Request], Awaitable[Answer]]

_PART: Final = r"[a-z0-9](?:[a-z0-9._+-]{0,61}[a-z0-9+])?"
_FLEET: Final = r"/v2/(?P<fleet>[0-9a-f]{64})"
_REPOSITORY: Final = _FLEET + rf"/(?P<provider>{_PART})/(?P<name>{_PART})"

#: What stands after the repository -> what each method does. This table is the whole surface.
_ROUTES: Final[tuple[tuple[re.Pattern[str], Mapping[str, Handler]], ...]] = tuple(
    (re.compile(head + tail, re.ASCII), handlers)
    for head, tail, handlers in (
        (_FLEET, r"/_catalog", {"GET": manifests.catalog}),
        (_REPOSITORY, r"/blobs/uploads/?", {"POST": blobs.begin}),
        (
            _REPOSITORY,
            r"/blobs/uploads/(?P<argument>[0-9a-f]{32})",
            {
                "GET": blobs.status,
                "PATCH": blobs.append,
                "PUT": blobs.finish,
                "DELETE": blobs.cancel,
            },
        ),
        (_REPOSITORY, r"/blobs/(?P<argument>[^/]{1,200})", {"GET": blobs.pull, "HEAD": blobs.pull}),
        (
            _REPOSITORY,
            r"/manifests/(?P<argument>[^/]{1,200})",
            {"GET": manifests.pull, "HEAD": manifests.pull, "PUT": manifests.push},
        ),
        (_REPOSITORY, r"/tags/list", {"GET": manifests.tags}),
        (_REPOSITORY, r"/referrers/(?P<argument>[^/]{1,200})", {"GET": manifests.referrers}),
    )
)
_PULLING: Final = frozenset({"GET", "HEAD"})


class RegistryApp:
    """OCI distribution 1.1 for all fleets of a server.

    Args:
        stores: gives a fleet's store.
        gate: says who may pull and push.
        log: is told of failures that are bugs; the caller only learns that there was one.
    """

    def __init__(
        self, stores: FleetStores, gate: Gate, log: Callable[[str, BaseException], None]
    ) -> None:
        self._stores = stores
        self._gate = gate
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        head = scope["method"] == "HEAD"
        try:
            answer = await self._answer(scope, receive)
        except AllodError as error:
            answer = error_answer(error)
        except Exception as error:  # noqa: BLE001 - the edge: a bug must not end the server
            self._log("registry request failed", error)
            answer = Answer(500, (("content-type", "application/json"),), b'{"errors":[]}')
        await send_answer(send, answer, head=head)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        caller = _caller(scope)
        path = str(scope["path"])
        if path in {"/v2", "/v2/"}:
            await asyncio.to_thread(self._gate.admit, None, Action.PULL, caller)
            return Answer(200, (("content-type", "application/json"),), b"{}")
        fits, handlers = _route(path)
        parts = {"provider": "", "name": "", "argument": ""} | fits.groupdict()
        handler = handlers.get(caller.method)
        pulling = caller.method in _PULLING and "/blobs/uploads/" not in path
        action = Action.PULL if pulling else Action.PUSH
        digest = await asyncio.to_thread(self._gate.admit, parts["fleet"], action, caller)
        if handler is None:
            raise InvalidInput(
                "method-not-allowed",
                f"cannot {caller.method[:20]} here: releases are withdrawn, not removed",
            )
        store = await asyncio.to_thread(self._stores, parts["fleet"])
        if store is None:
            raise InvalidInput("repository-unknown", "cannot find the fleet: it is not served here")
        repository = Repository(parts["provider"], parts["name"])
        request = Request(
            store=store,
            repository=repository,
            base=f"/v2/{parts['fleet']}/{repository}" if parts["name"] else f"/v2/{parts['fleet']}",
            caller=caller,
            argument=parts["argument"],
            query=read_query(caller.query),
            body=Body(receive, digest),
        )
        return await handler(request)


def _route(path: str) -> tuple[re.Match[str], Mapping[str, Handler]]:
    for form, handlers in _ROUTES:
        if (fits := form.fullmatch(path)) is not None and ".." not in path:
            return fits, handlers
    raise InvalidInput(
        "bad-repository", "cannot find it: releases stand at /v2/<fleet>/<provider>/<name>/"
    )


def _caller(scope: Mapping[str, Any]) -> Caller:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    raw = scope.get("raw_path") or str(scope["path"]).encode("utf-8")
    return Caller(
        str(scope["method"]).upper(),
        raw.decode("latin-1").partition("?")[0],
        scope.get("query_string", b"").decode("latin-1"),
        headers,
    )
