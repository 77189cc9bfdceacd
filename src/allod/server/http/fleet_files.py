"""`/f/<fleet>/…`: what devices read and write. Bare ASGI; the poll is the hot path.

A poll with a known token and no news is answered within one turn of the event loop: one look into
a dictionary for the token, one for the counter. Everything else goes to a worker thread.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from allod.domain.ids import FleetId, parse_digest, parse_fleet
from allod.errors import AllodError, InvalidInput, Refused
from allod.server.http.answers import IMMUTABLE, in_thread, send_range, tag_of, whole
from allod.server.http.log_files import LogFilesApp
from allod.server.http.messages import (
    NO_STORE,
    Bodies,
    Receive,
    Scope,
    Send,
    header,
    method_not_allowed,
    not_found,
    respond,
    respond_json,
    respond_problem,
    unexpected,
)
from allod.server.registry.ports import Caller
from allod.server.services.access import PUBLISH, PULL, Access, Principal
from allod.server.services.admit_binding import AdmitBinding
from allod.server.services.publication import Stores
from allod.server.services.read_tokens import (
    REQUEST_CAP,
    ReadTokens,
    device_or_refuse,
    is_read_token,
)
from allod.server.services.receive_report import BODY_CAP, ReceiveReport
from allod.trust.binding import BINDING_CAP
from allod.wire.api import Challenge, NewsAnswer
from allod.wire.httpsig import verify_body

if TYPE_CHECKING:
    from allod.server.services.fleets import Fleets

_TOKENS: Final = 65_536  #: read tokens that are remembered
_WAITS_OF_ONE: Final = 8  #: polls of one reader that may wait at once
_PIECE: Final = 256 * 1024
_ROOT: Final = re.compile(r"tuf/[1-9][0-9]{0,9}\.root\.json", re.ASCII)  #: public: keys, no state
_DEVICE: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_OF_DEVICE: Final = re.compile(
    r"tuf/targets/(?:state|by/[^/]+)/devices/[0-9a-f]{64}\.([0-9a-f]{64})\.json", re.ASCII
)
_NO_NEWS: Final = {
    "type": "http.response.start",
    "status": 204,
    "headers": [(b"cache-control", b"no-store")],
}
_EMPTY: Final = {"type": "http.response.body", "body": b""}


@dataclass(frozen=True, slots=True)
class FleetServices:
    """What this edge calls."""

    stores: Stores
    fleets: Fleets
    access: Access
    read_tokens: ReadTokens
    admit_binding: AdmitBinding
    receive_report: ReceiveReport
    log_files: LogFilesApp
    bodies: Bodies
    wait_seconds: float
    waits: int  #: polls that may wait at once; beyond, they are answered at once


class FleetApp:
    """Answers below `/f/`."""

    def __init__(self, services: FleetServices) -> None:
        self._services = services
        self._logs = services.log_files
        self._known: dict[bytes, tuple[str, str, int]] = {}
        self._seconds = services.stores.clock.seconds
        self._current = services.stores.news.current
        self._waiting = 0
        self._waits_of: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; failures become problems, bugs are logged and hidden."""
        path: str = scope["path"]
        if path[67:] == "/news" and scope["method"] == "GET" and self._is_idle(scope, path[3:67]):
            await send(_NO_NEWS)
            await send(_EMPTY)
            return
        try:
            await self._answer(scope, receive, send, path)
        except AllodError as error:
            await respond_problem(send, error)
        except Exception as error:  # noqa: BLE001 - the edge: nothing may pass it
            await respond_problem(send, unexpected(error, scope))

    def _is_idle(self, scope: Scope, fleet: str) -> bool:
        """Whether this is a poll without waiting, by a known token, and there is no news."""
        known = self._known.get(_authorization(scope))
        if known is None or known[0] != fleet or known[2] < self._seconds():
            return False
        query: bytes = scope["query_string"]
        if query != b"after=%d" % (self._current(fleet) or 0):
            return False
        state = self._services.fleets.get(fleet)
        return state is not None and known[1] not in state.retired

    async def _answer(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        parts = path.split("/", 3)
        if len(parts) != 4:  # noqa: PLR2004 - "", "f", fleet, rest
            raise not_found("this address")
        fleet = _fleet(parts[2])
        if self._services.fleets.get(fleet) is None:
            raise not_found("this fleet")
        rest, method = parts[3], scope["method"]
        if rest == "bindings":
            await self._bindings(fleet, scope, receive, send)
        elif rest.startswith("devices/"):
            await self._devices(fleet, rest, scope, receive, send)
        elif rest.endswith("/cosignatures"):
            await self._logs.cosigned(fleet, rest, scope, receive, send)
        elif method not in {"GET", "HEAD"}:
            raise method_not_allowed(scope)
        elif rest == "news":
            await self._news(fleet, scope, send, await self._reader(fleet, scope))
        elif rest.startswith("blobs/"):
            await self._reader(fleet, scope)
            await self._blob(fleet, rest.removeprefix("blobs/"), scope, send)
        else:
            await self._static(fleet, rest, scope, send)

    async def _static(self, fleet: FleetId, rest: str, scope: Scope, send: Send) -> None:
        # An invite in its short form names the root by hash; who binds has no token yet.
        if _ROOT.fullmatch(rest) is None:
            self._check_own(fleet, rest, await self._reader(fleet, scope))
        if rest.startswith("log/"):
            await self._logs.file(fleet, rest, scope, send)
        else:
            await self._file(fleet, rest, scope, send)

    async def _reader(self, fleet: FleetId, scope: Scope) -> str:
        """Let a reader in, remember the read token for the hot path, and say who it is."""
        raw = _authorization(scope)
        known = self._known.get(raw)
        retired = self._services.fleets.need(fleet).retired
        counts = known is not None and known[0] == fleet and known[2] >= self._seconds()
        if known is not None and counts and known[1] not in retired:
            return known[1]
        principal = await self.identify(fleet, scope)
        principal.need(PULL)
        scheme, _, secret = raw.decode("latin-1").partition(" ")
        if scheme.lower() == "bearer" and is_read_token(secret):
            grant = self._services.read_tokens.check(secret)
            if len(self._known) >= _TOKENS:
                self._known.clear()
            self._known[raw] = (grant.fleet, grant.device, grant.expires)
        if principal.kind == "anybody":
            return ""
        return principal.device or f"{principal.kind} {principal.name}"

    def _check_own(self, fleet: FleetId, rest: str, reader: str) -> None:
        """A device reads no other device's own document. Raises Refused `forbidden`."""
        whose = _OF_DEVICE.fullmatch(rest)
        if whose is None or _DEVICE.fullmatch(reader) is None or whose.group(1) == reader:
            return
        if not self._services.fleets.need(fleet).document.public:
            raise Refused("forbidden", "cannot let a device read what is meant for another one")

    async def identify(self, fleet: str | None, scope: Scope) -> Principal:
        """Who is calling."""
        return await in_thread(self._services.access.identify, fleet, caller_of(scope))

    async def _news(self, fleet: FleetId, scope: Scope, send: Send, reader: str) -> None:
        query = _query(scope)
        after = _number(query.get("after", "0"))
        wait = min(_seconds(query.get("wait", "0")), self._services.wait_seconds)
        news = self._services.stores.news
        current = news.current(fleet)
        if current == after and wait > 0:
            current = await self._wait(fleet, after, wait, reader)
        if current is None or current == after:
            await respond(send, 204, headers=(NO_STORE,))
        else:
            await respond_json(send, NewsAnswer(news=current))

    async def _wait(self, fleet: FleetId, after: int, seconds: float, reader: str) -> int | None:
        """Wait for news; nobody can take all places, and without a place nobody waits."""
        key = f"{fleet}/{reader}"
        crowded = bool(reader) and self._waits_of[key] >= _WAITS_OF_ONE
        if crowded or self._waiting >= self._services.waits:
            return None
        self._waiting += 1
        self._waits_of[key] += 1
        try:
            return await self._services.stores.news.wait(fleet, after, seconds)
        finally:
            self._waiting -= 1
            self._waits_of[key] -= 1
            if not self._waits_of[key]:
                del self._waits_of[key]

    async def _bindings(self, fleet: FleetId, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise method_not_allowed(scope)
        body = await self._body(scope, receive, BINDING_CAP)
        carried = False
        if header(scope, b"signature-input") or header(scope, b"authorization"):
            principal = await self.identify(fleet, scope)
            _check_signed_body(principal, body)
            carried = PUBLISH in principal.may
        admit = partial(self._services.admit_binding, fleet, body, carried=carried)
        await respond_json(send, await in_thread(admit))

    async def _devices(
        self, fleet: FleetId, rest: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        parts = rest.split("/")
        if len(parts) != 3:  # noqa: PLR2004 - "devices", id, what
            raise not_found("this address")
        device, services = device_or_refuse(parts[1]), self._services
        what = (scope["method"], parts[2])
        if what == ("GET", "challenge"):
            challenge = services.read_tokens.challenge(fleet, device)
            await respond_json(send, Challenge(challenge=challenge))
        elif what == ("POST", "token"):
            body = await self._body(scope, receive, REQUEST_CAP)
            await respond_json(
                send, await in_thread(services.read_tokens.grant, fleet, device, body)
            )
        elif what == ("POST", "reports"):
            body = await self._body(scope, receive, BODY_CAP)
            await respond_json(send, await in_thread(services.receive_report, fleet, device, body))
        elif parts[2] in {"challenge", "token", "reports"}:
            raise method_not_allowed(scope)
        else:
            raise not_found("this address")

    async def _body(self, scope: Scope, receive: Receive, cap: int) -> bytes:
        return await self._services.bodies.read(scope, receive, cap=cap)

    async def _file(self, fleet: FleetId, rest: str, scope: Scope, send: Send) -> None:
        """A file that is published: of the repository, of trust, of a channel."""
        if rest == "tuf/timestamp.json":
            await whole(scope, send, self._services.fleets.need(fleet).online.timestamp)
            return
        path = self._services.stores.layout.fleet(fleet).served(rest)
        size = None if path is None else await in_thread(_size_of, path)
        if path is None or size is None:
            raise not_found("this file")
        if rest.startswith("trust/") or rest.endswith("/latest.json"):
            await whole(scope, send, await in_thread(path.read_bytes))
            return
        fields = [IMMUTABLE, (b"content-type", b"application/json")]
        pieces = partial(_pieces, path)
        await send_range(scope, send, size, pieces, fields, b'"%s"' % tag_of(rest))

    async def _blob(self, fleet: FleetId, name: str, scope: Scope, send: Send) -> None:
        try:
            digest = parse_digest(name)
        except InvalidInput as error:
            raise not_found("this blob") from error
        blobs = self._services.stores.blobs(fleet)
        size = await in_thread(blobs.size, digest)
        if size is None:
            raise not_found("this blob")

        def pieces(offset: int, length: int) -> Iterator[bytes]:
            return blobs.read(digest, offset=offset, length=length)

        fields = [IMMUTABLE, (b"content-type", b"application/octet-stream")]
        await send_range(scope, send, size, pieces, fields, b'"%s"' % digest.encode())


def _authorization(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return bytes(value)
    return b""


def caller_of(scope: Scope) -> Caller:
    """The request, as far as it says who sends it."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8")
    return Caller(
        scope["method"],
        raw.decode("latin-1").partition("?")[0],
        scope.get("query_string", b"").decode("latin-1"),
        {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
    )


def _check_signed_body(principal: Principal, body: bytes) -> None:
    if principal.body_digest is not None:
        verify_body(principal.body_digest, hashlib.sha256(body).digest())


def _fleet(text: str) -> FleetId:
    try:
        return parse_fleet(text)
    except InvalidInput as error:
        raise not_found("this fleet") from error


def _query(scope: Scope) -> dict[str, str]:
    pairs = scope.get("query_string", b"").decode("latin-1").split("&")
    return dict(pair.partition("=")[::2] for pair in pairs if "=" in pair)


def _number(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 18:  # noqa: PLR2004
        raise InvalidInput("bad-query", "cannot read the query: 'after' is a whole number")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:  # noqa: PLR2004 - a day; also refuses NaN
        raise InvalidInput("bad-query", "cannot read the query: 'wait' is a number of seconds")
    return seconds


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def _pieces(path: Path, offset: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        while length > 0 and (piece := file.read(min(length, _PIECE))):
            length -= len(piece)
            yield piece
