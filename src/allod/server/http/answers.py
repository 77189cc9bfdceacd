"""Answers with files and parts of files, and the way to a worker thread."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, TypeVar

from allod.server.http.messages import Scope, Send, header, respond
from allod.server.http.ranges import parse_range

_T = TypeVar("_T")
IMMUTABLE: Final = (b"cache-control", b"private, max-age=31536000, immutable")
_REVALIDATE: Final = (b"cache-control", b"no-cache")


async def in_thread(function: Callable[..., _T], *arguments: Any) -> _T:
    """Run a use case in a worker thread."""
    return await asyncio.get_running_loop().run_in_executor(None, partial(function, *arguments))


def tag_of(rest: str) -> bytes:
    """The tag of what never changes under its address."""
    return hashlib.sha256(rest.encode()).hexdigest()[:32].encode()


async def whole(scope: Scope, send: Send, data: bytes, kind: bytes = b"application/json") -> None:
    """Answer with a small file that may be replaced: caches ask again every time."""
    tag = b'"%s"' % hashlib.sha256(data).hexdigest()[:32].encode()
    fields = [_REVALIDATE, (b"etag", tag)]
    if header(scope, b"if-none-match") == tag.decode():
        await respond(send, 304, headers=fields)
        return
    fields.append((b"content-type", kind))
    await respond(send, 200, data, fields, head=scope["method"] == "HEAD")


async def send_range(
    scope: Scope,
    send: Send,
    size: int,
    pieces: Callable[[int, int], Iterator[bytes]],
    fields: list[tuple[bytes, bytes]],
    tag: bytes,
) -> None:
    """Answer with the whole or the range that was asked for, in pieces."""
    fields = [*fields, (b"etag", tag), (b"accept-ranges", b"bytes")]
    if header(scope, b"if-none-match") == tag.decode():
        await respond(send, 304, headers=fields)
        return
    wanted = header(scope, b"range")
    if wanted is not None and header(scope, b"if-range") not in {None, tag.decode()}:
        wanted = None
    span = None if wanted is None else parse_range(wanted, size)
    offset, length, status = (0, size, 200) if span is None else (span[0], span[1], 206)
    if span is not None:
        fields.append((b"content-range", b"bytes %d-%d/%d" % (offset, offset + length - 1, size)))
    fields.append((b"content-length", b"%d" % length))
    fields.append((b"x-content-type-options", b"nosniff"))
    head = scope["method"] == "HEAD"
    stream = pieces(offset, length)
    first = b"" if head else await in_thread(_next, stream)
    await send({"type": "http.response.start", "status": status, "headers": fields})
    sent = 0
    while not head and first:
        sent += len(first)
        await send({"type": "http.response.body", "body": first, "more_body": sent < length})
        if sent >= length:
            return
        first = await in_thread(_next, stream)
    await send({"type": "http.response.body", "body": b""})


def _next(stream: Iterator[bytes]) -> bytes:
    return next(stream, b"")
