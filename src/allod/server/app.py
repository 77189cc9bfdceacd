"""The ASGI application of a server: one dispatcher by prefix, and what it does by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from allod.errors import Unavailable
from allod.server.assembly import Server, assemble
from allod.server.http.admin import PREFIX, AdminApp, AdminLimits
from allod.server.http.fleet_files import FleetApp, FleetServices
from allod.server.http.log_files import LogFilesApp
from allod.server.http.messages import (
    NO_STORE,
    Bodies,
    Receive,
    Scope,
    Send,
    not_found,
    respond,
    respond_problem,
)
from allod.server.http.permission_routes import PermissionServices
from allod.server.http.routes import Services
from allod.server.services.limits import Rate
from allod.server.settings import Settings

_SUBMISSIONS_A_MINUTE: Final = 300
_log = structlog.get_logger("allod.server")


class Application:
    """The ASGI application: one dispatcher by prefix over three rooms."""

    def __init__(self, server: Server) -> None:
        settings = server.settings
        self._server = server
        bodies = Bodies(settings.body_seconds, settings.bodies_room)
        clock = server.stores.clock
        self._fleet = FleetApp(
            FleetServices(
                server.stores,
                server.fleets,
                server.access,
                server.read_tokens,
                server.admit_binding,
                server.receive_report,
                LogFilesApp(
                    server.publications.logs,
                    server.gather,
                    Rate(clock, _SUBMISSIONS_A_MINUTE, "cosigned checkpoints of a fleet"),
                    bodies,
                ),
                bodies,
                settings.wait_seconds,
                max(1, settings.connections * 3 // 4),
            )
        )
        self._admin = AdminApp(
            server.access,
            server.admit_fleet,
            Services(
                server.fleets,
                server.publish,
                server.admit_fleet,
                server.learn_floors,
                server.api_tokens,
                server.listings,
                server.refusals,
                PermissionServices(server.proposals, server.channels, server.refusals),
                server.rollouts,
            ),
            AdminLimits(settings.upload_cap, bodies),
        )
        self._registry = server.registry
        self._busy = 0
        self._most = settings.connections
        self.failure: Exception | None = None  #: why it could not start

    def stop(self) -> None:
        """Let nobody wait any longer, so that open polls do not keep the process."""
        self._server.stores.news.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        path = scope["path"]
        if self._busy >= self._most:
            await respond_problem(
                send,
                Unavailable("too-many", "cannot answer: too many requests at once", retry_after=5),
            )
            return
        self._busy += 1
        try:
            if path.startswith("/f/"):
                await self._fleet(scope, receive, send)
            elif path.startswith("/v2"):
                await self._registry(scope, receive, send)
            elif path.startswith(PREFIX):
                await self._admin(scope, receive, send)
            elif path == "/health":
                await respond(send, 200, b"ok\n", ((b"content-type", b"text/plain"), NO_STORE))
            else:
                await respond_problem(send, not_found("this address"))
        finally:
            self._busy -= 1

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Recover before the first request; refresh while running."""
        await receive()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(
            ThreadPoolExecutor(self._server.settings.threads, thread_name_prefix="use-case")
        )
        try:
            await loop.run_in_executor(None, self._server.start)
        except Exception as error:  # noqa: BLE001 - whoever runs the process tells it
            self.failure = error
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        server, settings = self._server, self._server.settings
        chores = [
            asyncio.create_task(_again(settings.refresh_every_seconds, server.refresh.all)),
            asyncio.create_task(_again(settings.gather_every_seconds, server.witness)),
            asyncio.create_task(_again(settings.settle_every_seconds, server.settle)),
            asyncio.create_task(_again(settings.copy_every_seconds, server.copy_channels)),
            asyncio.create_task(_again(settings.rollouts_every_seconds, server.rollouts)),
        ]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for chore in chores:
            chore.cancel()
        for chore in chores:
            with contextlib.suppress(asyncio.CancelledError):
                await chore
        self._server.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _again(seconds: float, act: Callable[[], None]) -> None:
    """Do it over and over; what fails unforeseen is logged, and done again."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            await loop.run_in_executor(None, act)
        except Exception as error:  # noqa: BLE001 - a chore never ends by itself
            _log.error("chore-failed", exc_info=error)
        await asyncio.sleep(seconds)


def build(settings: Settings) -> Application:
    """The ASGI application of a server's directory. Raises Unavailable `no-server-key`."""
    return Application(assemble(settings))
