"""The witness on HTTP: one address, `POST /add-checkpoint` (C2SP tlog-witness)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from allod.errors import AllodError, Unavailable
from allod.server.http.messages import (
    NO_STORE,
    Bodies,
    Receive,
    Scope,
    Send,
    method_not_allowed,
    not_found,
    respond,
    respond_problem,
    unexpected,
)
from allod.server.witness.service import Witness
from allod.tlog.witness import REQUEST_CAP

CONNECTIONS: Final = 256
_BODY_SECONDS: Final = 10.0
_ROOM: Final = 64 * REQUEST_CAP  #: of all requests that are being read


class WitnessApp:
    """The ASGI application."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._bodies = Bodies(_BODY_SECONDS, _ROOM)
        self._busy = 0
        self.failure: Exception | None = None

    def stop(self) -> None:
        """Nobody waits here."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self._busy += 1
        try:
            await self._answer(scope, receive, send)
        except AllodError as error:
            await respond_problem(send, error)
        except Exception as error:  # noqa: BLE001 - logged, and told to nobody outside
            await respond_problem(send, unexpected(error, scope))
        finally:
            self._busy -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._busy > CONNECTIONS:
            raise Unavailable("too-many", "cannot answer: too many requests at once")
        path, method = scope["path"], scope["method"]
        if path == "/health" and method in {"GET", "HEAD"}:
            fields = ((b"content-type", b"text/plain"), NO_STORE)
            await respond(send, 200, b"ok\n", fields, head=method == "HEAD")
            return
        if path != "/add-checkpoint":
            raise not_found("this address")
        if method != "POST":
            raise method_not_allowed(scope)
        body = await self._bodies.read(scope, receive, cap=REQUEST_CAP)
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(None, partial(self._witness.add_checkpoint, body))
        fields = ((b"content-type", answer.content_type.encode()), NO_STORE)
        await respond(send, answer.status, answer.body, fields)
