"""Requests and answers of the registry, and OCI's form of errors, over bare ASGI."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from allod.errors import AllodError, InvalidInput, Unavailable, Untrusted
from allod.server.registry.ports import Caller, FleetStore, Repository

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BATCH: Final = 1024 * 1024  #: bytes that are handed to the store at once
IDLE_SECONDS: Final = 60.0  #: the longest wait for the next bytes of a body
MAX_QUERY: Final = 4096
_END: Final = object()


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. `pieces` is read in worker threads, so it may block."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    pieces: Iterator[bytes] | None = None
    length: int | None = None  #: of `pieces`, or of a body that HEAD leaves away


@dataclass(slots=True)
class Body:
    """The body of a request, as it comes in."""

    receive: Receive
    signed_digest: bytes | None = None
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    async def batches(self, *, cap: int) -> AsyncIterator[bytes]:
        """The bytes in pieces of about `BATCH`; what was signed is compared at the end.

        Raises:
            InvalidInput: `too-large`.
            Unavailable: `interrupted`, the sender went away or fell silent.
            Untrusted: `bad-signature`.
        """
        pending = bytearray()
        total = 0
        more = True
        while more:
            message = await self._next()
            part = message.get("body", b"")
            total += len(part)
            if total > cap:
                raise InvalidInput(
                    "too-large", f"cannot take the request: at most {cap} bytes are allowed"
                )
            pending += part
            more = message.get("more_body", False)
            if len(pending) >= BATCH or (pending and not more):
                batch = bytes(pending)
                pending.clear()
                if self.signed_digest is not None:
                    await asyncio.to_thread(self._hash.update, batch)
                yield batch
        wrong = self.signed_digest is not None and not hmac.compare_digest(
            self.signed_digest, self._hash.digest()
        )
        if wrong:
            raise Untrusted(
                "bad-signature",
                "cannot accept the request: its body is not the one that was signed",
            )

    async def whole(self, *, cap: int) -> bytes:
        """All of it. Raises as `batches`."""
        return b"".join([part async for part in self.batches(cap=cap)])

    async def _next(self) -> MutableMapping[str, Any]:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                message = await self.receive()
        except TimeoutError as error:
            raise Unavailable(
                "interrupted", f"cannot go on: nothing came for {IDLE_SECONDS:.0f} s"
            ) from error
        if message["type"] != "http.request":
            raise Unavailable("interrupted", "cannot go on: the connection was closed")
        return message


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was let in, for one repository."""

    store: FleetStore
    repository: Repository
    base: str  #: "/v2/<fleet>/<provider>/<name>"
    caller: Caller
    argument: str  #: reference, digest or upload id, as the route has it
    query: Mapping[str, str]
    body: Body

    @property
    def method(self) -> str:
        """The method."""
        return self.caller.method

    def header(self, name: str) -> str:
        """A header field; "" if it is not there."""
        return self.caller.headers.get(name, "")


def read_query(raw: str) -> dict[str, str]:
    """The parameters of a query, each at most once. Raises InvalidInput `bad-query`."""
    if len(raw) > MAX_QUERY:
        raise InvalidInput("bad-query", "cannot read the query: it is too long")
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, max_num_fields=16, errors="strict")
    except (ValueError, UnicodeError) as error:
        raise InvalidInput("bad-query", "cannot read the query") from error
    if len(dict(pairs)) != len(pairs):
        raise InvalidInput("bad-query", "cannot read the query: a parameter stands twice")
    return dict(pairs)


#: Our codes -> OCI's code and HTTP status (OCI distribution 1.1, "Error Codes").
_ERRORS: Final[Mapping[str, tuple[str, int]]] = {
    "manifest-unknown": ("MANIFEST_UNKNOWN", 404),
    "blob-unknown": ("BLOB_UNKNOWN", 404),
    "not-found": ("BLOB_UPLOAD_UNKNOWN", 404),
    "repository-unknown": ("NAME_UNKNOWN", 404),
    "bad-repository": ("NAME_INVALID", 404),
    "missing-blob": ("MANIFEST_BLOB_UNKNOWN", 404),
    "bad-digest": ("DIGEST_INVALID", 400),
    "digest-mismatch": ("DIGEST_INVALID", 400),
    "bad-tag": ("TAG_INVALID", 400),
    "bad-query": ("UNSUPPORTED", 400),
    "bad-range": ("BLOB_UPLOAD_INVALID", 400),
    "wrong-offset": ("BLOB_UPLOAD_INVALID", 416),
    "range-not-satisfiable": ("SIZE_INVALID", 416),
    "too-large": ("SIZE_INVALID", 413),
    "method-not-allowed": ("UNSUPPORTED", 405),
    "unauthenticated": ("UNAUTHORIZED", 401),
    "bad-signature": ("UNAUTHORIZED", 401),
    "signature-too-old": ("UNAUTHORIZED", 401),
    "forbidden": ("DENIED", 403),
    "version-taken": ("DENIED", 409),
    "interrupted": ("BLOB_UPLOAD_INVALID", 400),
}


def error_answer(error: AllodError) -> Answer:
    """An error as OCI wants it; `detail` carries our own code and values."""
    if error.code in _ERRORS:
        code, status = _ERRORS[error.code]
    elif isinstance(error, InvalidInput):
        code, status = "MANIFEST_INVALID", 400
    else:
        code, status = "DENIED", error.http_status
    body = {
        "errors": [
            {
                "code": code,
                "message": error.message,
                "detail": {"code": error.code, "branch": error.branch.title, **error.details},
            }
        ]
    }
    headers: list[tuple[str, str]] = [("content-type", "application/json")]
    if status == 401:  # noqa: PLR2004
        headers.append(("www-authenticate", 'Basic realm="allod"'))
    if "received" in error.details:
        received = error.details["received"]
        headers.append(("range", f"0-{max(int(str(received)) - 1, 0)}"))
    return Answer(status, tuple(headers), msgspec.json.encode(body, enc_hook=str))


async def send_answer(send: Send, answer: Answer, *, head: bool) -> None:
    """Write an answer; HEAD gets the same fields and no body."""
    length = len(answer.body) if answer.length is None else answer.length
    fields = [(name.encode("ascii"), value.encode("latin-1")) for name, value in answer.headers]
    bare = answer.status in {204, 304}
    if not bare:
        fields.append((b"content-length", str(length).encode("ascii")))
    fields.append((b"docker-distribution-api-version", b"registry/2.0"))
    await send({"type": "http.response.start", "status": answer.status, "headers": fields})
    if answer.pieces is not None and not head:
        while (piece := await asyncio.to_thread(next, answer.pieces, _END)) is not _END:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    body = b"" if head or bare else answer.body
    await send({"type": "http.response.body", "body": body, "more_body": False})
