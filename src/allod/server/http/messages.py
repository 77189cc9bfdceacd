"""Requests and answers of bare ASGI: bodies under caps and deadlines, problems (RFC 9457)."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, TypeAlias

import structlog

from allod.errors import AllodError, InvalidInput, Refused, Unavailable
from allod.wire.api import Problem
from allod.wire.codec import encode

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

JSON: Final = (b"content-type", b"application/json")
NO_STORE: Final = (b"cache-control", b"no-store")
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_BYTES_A_SECOND: Final = 16 * 1024
_log = structlog.get_logger("allod.server.http")


def header(scope: Scope, name: bytes) -> str | None:
    """The first header field of this lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return None


async def respond(
    send: Send, status: int, body: bytes = b"", headers: Headers = (), *, head: bool = False
) -> None:
    """Answer whole, with the security headers; `head` leaves the body away."""
    fields = [*headers, *SECURITY_HEADERS]
    if status != 204:  # noqa: PLR2004 - no content has no length
        fields.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def respond_json(send: Send, value: object, status: int = 200) -> None:
    """Answer with a document."""
    await respond(send, status, encode(value), (JSON, NO_STORE))


def problem_of(error: AllodError) -> Problem:
    """The one way from an expected failure to what goes over the wire."""
    reasons = list(error.reasons) if isinstance(error, Refused) else []
    return Problem(
        type=f"https://allod.dev/{error.page}",
        title=error.branch.title,
        status=error.http_status,
        detail=error.message,
        code=error.code,
        reasons=reasons,
        details={key: value for key, value in error.details.items() if _plain(value)},
    )


def _plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_plain(part) for part in value)
    return value is None or isinstance(value, (str, int, float, bool))


def problem_headers(error: AllodError) -> list[tuple[bytes, bytes]]:
    """The header fields that go with a problem."""
    fields = [(b"content-type", b"application/problem+json"), NO_STORE]
    status = error.http_status
    if status == 401:  # noqa: PLR2004
        fields.append((b"www-authenticate", b'Bearer realm="allod", Basic realm="allod"'))
    if status in {429, 503}:
        fields.append((b"retry-after", b"%d" % int(error.details.get("retry_after", 5) or 5)))  # type: ignore[call-overload]
    return fields


async def respond_problem(send: Send, error: AllodError) -> None:
    """Answer with a problem."""
    await respond(send, error.http_status, encode(problem_of(error)), problem_headers(error))


def unexpected(error: Exception, scope: Scope) -> AllodError:
    """A bug, or a disk that takes nothing: logged, and told to nobody outside."""
    _log.error("unexpected", path=scope.get("path"), method=scope.get("method"), exc_info=error)
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return Unavailable(
            "no-space", "cannot keep it: the server's disk is full or takes nothing", retry_after=60
        )
    return AllodError("internal", "cannot answer: the server failed; its log says why")


def not_found(what: str = "it") -> InvalidInput:
    """Nothing has this address."""
    return InvalidInput("not-found", f"cannot find {what}")


def method_not_allowed(scope: Scope) -> InvalidInput:
    """The address exists, the verb does not."""
    return InvalidInput("method-not-allowed", f"cannot {scope['method']} this address")


def declared_length(scope: Scope, cap: int) -> int | None:
    """The length that the request declares. Raises InvalidInput `too-large`, `bad-length`."""
    text = header(scope, b"content-length")
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 18:  # noqa: PLR2004 - far above every cap
        raise InvalidInput("bad-length", "cannot read the body: Content-Length is no number")
    if int(text) > cap:
        raise InvalidInput(
            "too-large", f"cannot take the body: {int(text)} bytes, at most {cap} are allowed"
        )
    return int(text)


class Bodies:
    """Reads bodies of requests: each under a cap and a deadline, all together under one room.

    Args:
        seconds: how long a body may take, besides a second for every 16 KiB that came.
        room: bytes of all bodies that are being read, so that many at once fill no memory.
    """

    def __init__(self, seconds: float, room: int) -> None:
        self._seconds = seconds
        self._room = room
        self._held = 0

    async def read(self, scope: Scope, receive: Receive, *, cap: int) -> bytes:
        """The whole body, at most `cap` bytes, within a deadline that grows with what came.

        Raises:
            InvalidInput: `too-large`, `bad-length`.
            Unavailable: `too-slow`, `gone`, `too-many`.
        """
        declared_length(scope, cap)
        parts: list[bytes] = []
        try:
            await self._receive(receive, cap, parts)
        finally:
            self._held -= sum(map(len, parts))
        return b"".join(parts)

    async def _receive(self, receive: Receive, cap: int, parts: list[bytes]) -> None:
        size = 0
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(begin + self._seconds + size / _BYTES_A_SECOND):
                    message = await receive()
            except TimeoutError as error:
                raise Unavailable(
                    "too-slow", "cannot take the body: it comes too slowly"
                ) from error
            if message["type"] == "http.disconnect":
                raise Unavailable("gone", "cannot take the body: the client went away")
            part = message.get("body", b"")
            size += len(part)
            if size > cap:
                raise InvalidInput(
                    "too-large", f"cannot take the body: more than {cap} bytes are not allowed"
                )
            self._held += len(part)
            parts.append(part)
            if self._held > self._room:
                raise Unavailable("too-many", "cannot take the body: too many come at once")
            if not message.get("more_body", False):
                return
