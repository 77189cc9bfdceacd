"""Requests to witnesses: one connection each, no redirects, under a cap and under a deadline.

The deadline is of the whole exchange: a witness that answers drop by drop is cut off too.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from contextlib import suppress
from typing import Final, Self
from urllib.parse import urlsplit

from allod.server.services.gather import unreachable
from allod.tlog.asking import Heard
from allod.tlog.witness import RESPONSE_CAP

_CONNECT: Final = 5.0  #: seconds
DEADLINE: Final = 10.0  #: seconds for one exchange


class HttpWitnessCalls:
    """Implements `allod.server.services.gather.WitnessCalls`.

    What a witness says is signed, so TLS is checked by the system's authorities and no pin.

    Args:
        deadline: seconds for one exchange.
    """

    def __init__(self, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        self._tls = ssl.create_default_context()

    def post(self, url: str, body: bytes) -> Heard:
        """See the port."""
        connection = self._connection(url)
        path = f"{urlsplit(url).path.rstrip('/')}/add-checkpoint"
        try:
            connection.connect()
            with _Cut(connection, self._deadline) as cut:
                fields = {"content-type": "text/plain; charset=utf-8", "connection": "close"}
                connection.request("POST", path, body, fields)
                with connection.getresponse() as answer:
                    data = answer.read(RESPONSE_CAP + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise unreachable(url, type(error).__name__) from error
        finally:
            connection.close()
        if cut.done:
            raise unreachable(url, "it takes too long to answer")
        if len(data) > RESPONSE_CAP:
            raise unreachable(url, "its answer is too long")
        return Heard(answer.status, data)

    def _connection(self, url: str) -> http.client.HTTPConnection:
        """Raises Unavailable `witness-unavailable`."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise unreachable(url, "its address cannot be read") from error
        seconds = min(_CONNECT, self._deadline)
        if parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=seconds, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=seconds)


class _Cut:
    """Ends an exchange that lasts too long, wherever it is."""

    def __init__(self, connection: http.client.HTTPConnection, seconds: float) -> None:
        self._socket: socket.socket | None = connection.sock
        self._timer = threading.Timer(seconds, self._now)
        self._timer.daemon = True
        self.done = False  #: what was read may be a part

    def __enter__(self) -> Self:
        if self._socket is not None:
            self._socket.settimeout(self._timer.interval)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _now(self) -> None:
        self.done = True
        with suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)
