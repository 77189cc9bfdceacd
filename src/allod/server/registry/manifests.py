"""Manifests, tags and referrers over HTTP."""

from __future__ import annotations

import asyncio
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
    limit = MAX_PAGE
    if "n" in request.query:
        said = request.query["n"]
        if not said.isascii() or not said.isdecimal() or len(said) > len(str(1 << 31)):
            raise InvalidInput("bad-query", f"cannot use {said[:20]!r} as a number of tags")
        limit = min(int(said), MAX_PAGE)
    last = request.query.get("last", "")
    found = await asyncio.to_thread(
        request.store.catalogue.tags, request.repository, after=last, limit=limit + 1
    )
    if found is None:
        raise InvalidInput(
            "repository-unknown", f"cannot find {request.repository}: nothing was pushed there"
        )
    shown = found[:limit]
    headers = [_JSON]
    if len(found) > limit and shown:
        after = quote(shown[-1], safe="")
        headers.append(("link", f'<{request.base}/tags/list?n={limit}&last={after}>; rel="next"'))
    name = request.base.removeprefix("/v2/")
    return Answer(200, tuple(headers), msgspec.json.encode({"name": name, "tags": list(shown)}))


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
