"""Manifests, tags and referrers over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from allod.domain.ids import parse_digest
from allod.errors import InvalidInput
from allod.server.registry import service
from allod.server.registry.exchange import Answer, Request
from allod.wire import oci

MAX_PAGE: Final = 1000  #: tags in one answer
_JSON: Final = ("content-type", "application/json")


async def pull(request: Request) -> Answer:
    """GET and HEAD of a manifest (end-3)."""
    row, raw = await asyncio.to_thread(
        service.read_manifest, request.store, request.repository, request.argument
    )
    headers = (
        ("content-type", row.media_type),
        ("docker-content-digest", row.digest),
        ("etag", f'"{row.digest}"'),
    )
    if f'"{row.digest}"' in request.header("if-none-match"):
        return Answer(304, headers)
    return Answer(200, headers, raw)


async def push(request: Request) -> Answer:
    """PUT of a manifest (end-7)."""
    media_type = request.header("content-type").partition(";")[0].strip()
    if media_type not in {oci.MANIFEST, oci.INDEX}:
        raise InvalidInput(
            "bad-manifest",
            f"cannot take a manifest of type {media_type[:80]!r}: it is {oci.MANIFEST} or {oci.INDEX}",
        )
    raw = await request.body.whole(cap=oci.MANIFEST_CAP)
    pushed = await asyncio.to_thread(
        service.push_manifest, request.store, request.repository, request.argument, media_type, raw
    )
    headers = [
        ("location", f"{request.base}/manifests/{pushed.digest}"),
        ("docker-content-digest", pushed.digest),
    ]
    if pushed.subject is not None:
        headers.append(("oci-subject", pushed.subject))
    return Answer(201, tuple(headers))


async def tags(request: Request) -> Answer:
    """GET of the tags (end-8)."""
    limit, last = _page(request)
    found = await asyncio.to_thread(
        request.store.catalogue.tags, request.repository, after=last, limit=limit + 1
    )
    if found is None:
        raise InvalidInput(
            "repository-unknown", f"cannot find {request.repository}: nothing was pushed there"
        )
    headers = _next(request, "tags/list", found, limit)
    body = {"name": request.base.removeprefix("/v2/"), "tags": list(found[:limit])}
    return Answer(200, headers, msgspec.json.encode(body))


async def catalog(request: Request) -> Answer:
    """GET of the fleet's repositories, in the form that Docker's registry has for all of them."""
    limit, last = _page(request)
    known = await asyncio.to_thread(request.store.catalogue.repositories)
    found = [name for name in map(str, known) if name > last][: limit + 1]
    headers = _next(request, "_catalog", found, limit)
    return Answer(200, headers, msgspec.json.encode({"repositories": found[:limit]}))


def _page(request: Request) -> tuple[int, str]:
    said = request.query.get("n", str(MAX_PAGE))
    if not said.isascii() or not said.isdecimal() or len(said) > len(str(1 << 31)):
        raise InvalidInput("bad-query", f"cannot use {said[:20]!r} as a number of entries")
    return min(int(said), MAX_PAGE), request.query.get("last", "")


def _next(
    request: Request, what: str, found: Sequence[str], limit: int
) -> tuple[tuple[str, str], ...]:
    """The fields of a page; with a link to the next one if there is more."""
    if not 0 < limit < len(found):
        return (_JSON,)
    target = f"{request.base}/{what}?n={limit}&last={quote(found[limit - 1], safe='')}"
    return (_JSON, ("link", f'<{target}>; rel="next"'))


async def referrers(request: Request) -> Answer:
    """GET of what refers to a digest (end-12)."""
    subject = parse_digest(request.argument)
    wanted = request.query.get("artifactType")
    found = await asyncio.to_thread(
        service.list_referrers, request.store, request.repository, subject, wanted
    )
    headers = [("content-type", oci.INDEX)]
    if wanted is not None:
        headers.append(("oci-filters-applied", "artifactType"))
    return Answer(200, tuple(headers), oci.encode_document(found))
