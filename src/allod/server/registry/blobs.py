"""Blobs over HTTP: pull with ranges; push whole, in chunks, resumed, or mounted."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from allod.domain.ids import Digest, parse_digest
from allod.errors import AllodError, Conflict, InvalidInput
from allod.server.registry.exchange import Answer, Request

MAX_BLOB: Final = 64 * 1024**3
_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.ASCII)
_CHUNK: Final = re.compile(r"(?:bytes )?([0-9]{1,18})-([0-9]{1,18})(?:/(?:\*|[0-9]+))?", re.ASCII)


async def pull(request: Request) -> Answer:
    """GET and HEAD of a blob (end-2)."""
    digest = parse_digest(request.argument)
    size = await asyncio.to_thread(request.store.blobs.size, digest)
    if size is None:
        raise InvalidInput("blob-unknown", f"cannot find the blob {digest}: it was not pushed")
    etag = f'"{digest}"'
    headers = [
        ("content-type", "application/octet-stream"),
        ("docker-content-digest", digest),
        ("accept-ranges", "bytes"),
        ("etag", etag),
        ("cache-control", "private, max-age=31536000, immutable"),
    ]
    if etag in request.header("if-none-match"):
        return Answer(304, tuple(headers))
    wanted = request.header("range")
    unchanged = request.header("if-range") in {"", etag}
    if not wanted or not unchanged or (part := _part(wanted, size)) is None:
        pieces = None if request.method == "HEAD" else request.store.blobs.read(digest)
        return Answer(200, tuple(headers), pieces=pieces, length=size)
    offset, length = part
    headers.append(("content-range", f"bytes {offset}-{offset + length - 1}/{size}"))
    pieces = None
    if request.method != "HEAD":
        pieces = request.store.blobs.read(digest, offset=offset, length=length)
    return Answer(206, tuple(headers), pieces=pieces, length=length)


def _part(wanted: str, size: int) -> tuple[int, int] | None:
    """Offset and length of a range; None if it is none that is understood (RFC 9110 §14.2).

    Raises:
        InvalidInput: `range-not-satisfiable`.
    """
    fits = _RANGE.fullmatch(wanted.strip())
    if fits is None:
        return None
    first, last, suffix = fits.groups()
    start = max(size - int(suffix), 0) if suffix else int(first)
    end = size - 1 if suffix or not last else min(int(last), size - 1)
    if last and not suffix and int(last) < int(first):
        return None
    if start >= size or suffix == "0":
        raise InvalidInput(
            "range-not-satisfiable", f"cannot send the range {wanted[:60]}: there are {size} bytes"
        )
    return start, end - start + 1


async def begin(request: Request) -> Answer:
    """POST to uploads/: an upload begins (end-4a), is mounted (end-11), or comes whole (end-4b)."""
    blobs = request.store.blobs
    mounted = request.query.get("mount")
    if mounted is not None:
        digest = parse_digest(mounted)
        if await asyncio.to_thread(blobs.size, digest) is not None:
            return _created(request, digest)
    elif "digest" in request.query:
        digest = parse_digest(request.query["digest"])
        upload = await asyncio.to_thread(blobs.begin)
        try:
            await _receive(request, upload, 0)
            await asyncio.to_thread(blobs.finish, upload, digest)
        finally:
            await asyncio.to_thread(blobs.abort, upload)
        return _created(request, digest)
    upload = await asyncio.to_thread(blobs.begin)
    return _progress(request, upload, 0, 202)


async def status(request: Request) -> Answer:
    """GET of an upload: how much is there (end-13)."""
    received = await asyncio.to_thread(request.store.blobs.received, request.argument)
    return _progress(request, request.argument, received, 204)


async def append(request: Request) -> Answer:
    """PATCH of an upload: one chunk, at the place that it says (end-5)."""
    received = await asyncio.to_thread(request.store.blobs.received, request.argument)
    end = _check_place(request, received)
    total = await _receive(request, request.argument, received)
    if end is not None and total != end + 1:
        raise InvalidInput(
            "bad-range", f"cannot take the chunk: its range ends at {end}, its bytes at {total - 1}"
        )
    return _progress(request, request.argument, total, 202)


async def finish(request: Request) -> Answer:
    """PUT of an upload: perhaps a last chunk, then the digest (end-6)."""
    blobs = request.store.blobs
    if "digest" not in request.query:
        raise InvalidInput("bad-digest", "cannot finish the upload without its digest")
    digest = parse_digest(request.query["digest"])
    received = await asyncio.to_thread(blobs.received, request.argument)
    _check_place(request, received)
    await _receive(request, request.argument, received)
    await asyncio.to_thread(blobs.finish, request.argument, digest)
    return _created(request, digest)


async def cancel(request: Request) -> Answer:
    """DELETE of an upload."""
    await asyncio.to_thread(request.store.blobs.received, request.argument)
    await asyncio.to_thread(request.store.blobs.abort, request.argument)
    return Answer(204)


def _check_place(request: Request, received: int) -> int | None:
    """Compare Content-Range with what is there; the last place that it names.

    Raises:
        InvalidInput: `bad-range`.
        Conflict: `wrong-offset`, which says how much is there.
    """
    said = request.header("content-range")
    if not said:
        return None
    fits = _CHUNK.fullmatch(said.strip())
    if fits is None or int(fits.group(2)) < int(fits.group(1)):
        raise InvalidInput("bad-range", f"cannot read the Content-Range {said[:60]!r}")
    if int(fits.group(1)) != received:
        raise Conflict(
            "wrong-offset",
            f"cannot add bytes at {fits.group(1)}: {received} are there; go on from there",
            received=received,
        )
    return int(fits.group(2))


async def _receive(request: Request, upload: str, offset: int) -> int:
    """Take the body into the upload, and give the bytes that are there then.

    An upload into which somebody sent what was not signed, or too much, is thrown away; one
    that only broke off stays, to be resumed.
    """
    blobs = request.store.blobs
    try:
        async for batch in request.body.batches(cap=MAX_BLOB - offset):
            offset = await asyncio.to_thread(blobs.append, upload, batch, offset=offset)
    except AllodError as error:
        if error.code in {"bad-signature", "too-large"}:
            await asyncio.to_thread(blobs.abort, upload)
        raise
    return offset


def _progress(request: Request, upload: str, received: int, code: int) -> Answer:
    return Answer(
        code,
        (
            ("location", f"{request.base}/blobs/uploads/{upload}"),
            ("range", f"0-{max(received - 1, 0)}"),
            ("docker-upload-uuid", upload),
        ),
    )


def _created(request: Request, digest: Digest) -> Answer:
    location = f"{request.base}/blobs/{digest}"
    return Answer(201, (("location", location), ("docker-content-digest", digest)))
