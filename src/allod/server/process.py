"""`allod serve`: one process on one directory, from its start to its end.

Nothing depends on an orderly end: a kill is a normal stop too. An orderly one is quick: open
polls are answered, what is being published is finished, and who is slower is not waited for.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from allod.errors import Conflict, InvalidInput, Unavailable
from allod.server.http.messages import Receive, Scope, Send
from allod.server.lock import hold
from allod.server.logs import configure_logs
from allod.server.settings import Settings

if TYPE_CHECKING:
    from granian.server.embed import Server as Granian

GRACE_SECONDS: Final = 2.0
_HEADER_MILLISECONDS: Final = 10_000  #: for the head of a request, and between two requests
_HEADER_BYTES: Final = 64 * 1024
_log = structlog.get_logger("allod.server")


class Served(Protocol):
    """An ASGI application that can be served."""

    failure: Exception | None  #: why it could not start

    def stop(self) -> None:
        """Let nobody wait any longer, so that open polls do not keep the process."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        ...


@dataclass(frozen=True, slots=True)
class Listener:
    """Where an application listens."""

    address: str
    port: int
    connections: int
    tls: tuple[Path, Path] | None  #: certificate and key


def serve(settings: Settings) -> None:
    """Serve until told to stop; one process, TLS by the server's own certificate.

    Raises:
        Conflict: `in-use`: another process serves this directory, or listens on its port.
        InvalidInput: `bad-address`.
        Unavailable: `no-server-key`, `no-certificate`, `database-damaged`, …
    """
    from allod.server.app import build

    configure_logs(settings.log_level)
    with hold(settings.layout):
        check_certificate(settings)
        check_port(settings.address, settings.port)
        layout = settings.layout
        pair = (layout.tls("certificate.pem"), layout.tls("key.pem"))
        listener = Listener(
            settings.address, settings.port, settings.connections, pair if settings.tls else None
        )
        serve_application(build(settings), listener, url=settings.url)


def serve_application(application: Served, listener: Listener, *, url: str = "") -> None:
    """Serve an application until told to stop.

    Args:
        application: whose work is done when its requests are answered.
        listener: where.
        url: how it is reached, for the log.
    """
    asyncio.run(_run(application, listener, url))


def check_certificate(settings: Settings) -> None:
    """Raises Unavailable `no-certificate`."""
    for name in ("certificate.pem", "key.pem") if settings.tls else ():
        path = settings.layout.tls(name)
        if not path.is_file():
            raise Unavailable(
                "no-certificate",
                f"cannot serve: {path} is missing; restore it from a backup, or run "
                f"'allod server init {settings.directory} --url {settings.url}'",
            )


def check_port(address: str, port: int) -> None:
    """Whether nobody listens there. Two servers can share a port unseen, each half of the polls.

    Raises:
        Conflict: `in-use`.
        InvalidInput: `bad-address`.
    """
    where = f"{address}:{port}"
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                "in-use",
                f"cannot listen on {where}: another program does; stop it, or set another port "
                "in settings.json",
            ) from error
        raise InvalidInput(
            "bad-address",
            f"cannot listen on {where}: {error.strerror or error}; set address and port in "
            "settings.json",
        ) from error


async def _run(application: Served, listener: Listener, url: str) -> None:
    granian = _granian(application, listener)
    told = _Told(application, granian)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.stop)
    _log.info("serving", url=url, address=listener.address, port=listener.port)
    try:
        await granian.serve()
    except Exception:
        if application.failure is not None:
            raise application.failure from None
        raise
    if not told.told:
        raise RuntimeError("the server ended by itself")


def _granian(application: Served, listener: Listener) -> Granian:
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server.embed import Server

    certificate, key = listener.tls or (None, None)
    return Server(
        application,
        address=listener.address,
        port=listener.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=_HEADER_MILLISECONDS, max_buffer_size=_HEADER_BYTES
        ),
        websockets=False,
        backlog=1024,
        backpressure=listener.connections,
        log_level=LogLevels.critical,
        ssl_cert=certificate,
        ssl_key=key,
    )


class _Told:
    """What a signal does: the first ends in order and in time, the second at once."""

    def __init__(self, application: Served, granian: Granian) -> None:
        self._application = application
        self._granian = granian
        self.told = False

    def stop(self) -> None:
        """A signal came."""
        if self.told:
            _end()
        self.told = True
        _log.info("stopping")
        self._application.stop()
        self._granian.stop()  # type: ignore[no-untyped-call]
        timer = threading.Timer(GRACE_SECONDS, _end)
        timer.daemon = True
        timer.start()


def _end() -> None:
    """End whoever is still reading or writing: all that was acknowledged is durable."""
    sys.stderr.flush()
    os._exit(0)
