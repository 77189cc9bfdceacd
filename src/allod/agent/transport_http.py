"""One location over HTTP(S): caps, deadlines and redirects, none of which a server can widen.

Numbered as the attacks: 8 (only 404 and 410 mean 'not there'), 11 and T6 (a redirect leads to the
same origin or nowhere), 12 (silence, total time and least rate are ours), 13 (a length is stated
and held).
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urljoin, urlsplit

from urllib3 import HTTPConnectionPool, HTTPHeaderDict, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, IncompleteRead, SSLError
from urllib3.exceptions import TimeoutError as Urllib3Timeout
from urllib3.response import BaseHTTPResponse

from allod import __version__
from allod.agent.tls import client_context
from allod.errors import AllodError, InvalidInput, Unavailable
from allod.wire.codec import parse_strict

PIECE: Final = 256 * 1024
ANSWER_CAP: Final = 256 * 1024  #: of what a server says to a statement handed in
_CODE: Final = re.compile(r"[a-z][a-z0-9-]{1,60}", re.ASCII)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 3
_LENGTH_DIGITS: Final = 15
_SHORTEST_PAUSE: Final = 0.02  #: seconds; shorter ones are added up


class Ticks(Protocol):
    """The part of the agent's clock that measures spans."""

    def monotonic(self) -> float:
        """Seconds that never go back while the machine runs."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a location may take, in seconds, and how slow it may be."""

    connect: float = 10.0
    silence: float = 15.0  #: longest wait for the next byte
    headers: float = 30.0  #: until an answer's headers are there
    whole: float = 120.0  #: for one small file or statement, headers and body
    window: float = 30.0  #: over each such span of a long transfer …
    rate: int = 1024  #: … so many bytes a second must come


@dataclass(frozen=True, slots=True)
class Answer:
    """What a location said to a request, without its body's trustworthiness."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def problem(self) -> tuple[str, str]:
        """The code and the words of a problem document (RFC 9457), or of the bare status."""
        code, words = f"http-{self.status}", f"it answers {self.status}"
        try:
            said = parse_strict(self.body, cap=ANSWER_CAP)
        except InvalidInput:
            return code, words
        if not isinstance(said, dict):
            return code, words
        named, detail = said.get("code"), said.get("detail")
        if isinstance(named, str) and _CODE.fullmatch(named):
            code = named
        if isinstance(detail, str) and detail.isprintable():
            words = detail[:300] or words
        return code, words


class Pace:
    """Holds a long transfer to its least rate, and to the bandwidth that it may use at most."""

    def __init__(self, ticks: Ticks, limits: Limits, bandwidth: int | None) -> None:
        self._ticks = ticks
        self._limits = limits
        self._bandwidth = bandwidth
        self._due = self._since = ticks.monotonic()
        self._taken = 0

    @property
    def piece(self) -> int:
        """How much to read at a time: never more than a quarter of a second's share."""
        return PIECE if self._bandwidth is None else max(1, min(PIECE, self._bandwidth // 4))

    def took(self, count: int) -> None:
        """Account for `count` bytes, and wait where they came faster than they may.

        Raises:
            Unavailable: `too-slow`.
        """
        now = self._ticks.monotonic()
        self._taken += count
        span = now - self._since
        if span >= self._limits.window:
            if self._taken < self._limits.rate * span:
                raise Unavailable(
                    "too-slow", f"cannot wait for {self._taken} bytes in {span:.0f} seconds"
                )
            self._since, self._taken = now, 0
        if self._bandwidth is not None:
            self._due = max(now, self._due) + count / self._bandwidth
            wait = self._due - now
            if wait > _SHORTEST_PAUSE:
                self._ticks.sleep(wait)
                self._since += wait


class HttpSource:
    """One location. Every method raises Unavailable where the location fails."""

    def __init__(self, url: str, pins: tuple[str, ...], ticks: Ticks, limits: Limits) -> None:
        self.url: Final = url.rstrip("/")
        parts = urlsplit(self.url)
        self._ticks = ticks
        self._limits = limits
        timeout = Timeout(connect=limits.connect, read=limits.silence)
        options: dict[str, Any] = {"timeout": timeout, "retries": False, "maxsize": 1}
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise InvalidInput("bad-location", f"cannot use {url[:200]!r} as a location")
        if parts.query or parts.fragment:
            raise InvalidInput("bad-location", f"cannot use {url[:200]!r}: it has a query")
        self._base = parts.path
        self._origin = _origin(self.url)
        self._pool: HTTPConnectionPool
        if parts.scheme == "http":
            self._pool = HTTPConnectionPool(parts.hostname, parts.port, **options)
            self._pool.ConnectionCls = _guarded(HTTPConnection, limits.headers)
        else:
            self._pool = HTTPSConnectionPool(
                parts.hostname,
                parts.port,
                ssl_context=client_context(pins),
                assert_hostname=False if pins else None,
                **options,
            )
            self._pool.ConnectionCls = _guarded(HTTPSConnection, limits.headers)

    def request(
        self, method: str, path: str, headers: Mapping[str, str], *, cap: int, body: bytes = b""
    ) -> Answer:
        """Ask, and take an answer of at most `cap` bytes, within the limits."""
        deadline = self._ticks.monotonic() + self._limits.whole
        with self._opened(method, path, headers, body) as response:
            found = b"" if method == "HEAD" else self._body(response, path, cap, deadline)
            return Answer(response.status, _plain(response.headers), found)

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], pace: Pace
    ) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """Ask, and take the answer in pieces, however long it is (its length is stated)."""
        with self._opened("GET", path, headers, b"") as response:
            if response.status not in {200, 206}:
                yield Answer(response.status, _plain(response.headers), b""), iter(())
                return
            _length(response, self.url, path)
            yield (
                Answer(response.status, _plain(response.headers), b""),
                self._pieces(response, path, pace),
            )

    def close(self) -> None:
        """Give the connection up."""
        self._pool.close()

    @contextmanager
    def _opened(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Iterator[BaseHTTPResponse]:
        """The response at the end of at most three redirects within the same origin."""
        sent = {
            "Accept-Encoding": "identity",
            "User-Agent": f"allod-agent/{__version__}",
            **headers,
        }
        target = f"{self._base}/{path.lstrip('/')}"
        for _ in range(_MAX_REDIRECTS + 1):
            with self._errors(path):
                response = self._pool.urlopen(
                    method,
                    target,
                    body=body or None,
                    headers=sent,
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                )
            if response.status not in _REDIRECTS:
                break
            response.close()
            target = self._redirected(target, response.headers.get("Location", ""))
        else:
            raise Unavailable("bad-redirect", f"cannot follow {self.url}: it leads in circles")
        whole = False
        try:
            yield response
            whole = response.length_remaining == 0
        finally:
            if whole:
                response.release_conn()
            else:
                response.close()

    def _redirected(self, target: str, where: str) -> str:
        parts = urlsplit(urljoin(f"{self._origin}{target}", where))
        try:
            same = _origin(parts.geturl()) == self._origin and parts.username is None
        except ValueError:
            same = False
        if not where or not same:
            raise Unavailable(
                "bad-redirect",
                f"cannot follow {self.url} to {where[:200]!r}: only to the same scheme and host",
            )
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def _body(self, response: BaseHTTPResponse, path: str, cap: int, deadline: float) -> bytes:
        wanted = response.status in {200, 201, 202}
        length = _length(response, self.url, path) if wanted else 0
        if length > cap:
            raise Unavailable(
                "too-large", f"cannot take {path} from {self.url}: {length} bytes, at most {cap}"
            )
        taken = bytearray()
        with self._errors(path):
            while piece := response.read1(min(PIECE, cap + 1 - len(taken))):
                taken += piece
                if len(taken) > cap:
                    break
                if self._ticks.monotonic() > deadline:
                    raise Unavailable(
                        "too-slow", f"cannot wait for {path} from {self.url} any longer"
                    )
        if wanted and len(taken) > cap:
            raise Unavailable("too-large", f"cannot take {path} from {self.url}: above {cap} bytes")
        return bytes(taken)

    def _pieces(self, response: BaseHTTPResponse, path: str, pace: Pace) -> Iterator[bytes]:
        with self._errors(path):
            while piece := response.read1(pace.piece):
                pace.took(len(piece))
                yield piece

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except AllodError:
            raise
        except Urllib3Timeout as error:
            raise Unavailable(
                "too-slow",
                f"cannot reach {path} at {self.url} in time; the network is down or slow",
            ) from error
        except SSLError as error:
            raise Unavailable(
                "bad-certificate",
                f"cannot trust the server at {self.url}: {error}; its certificate must come from "
                "one of the CAs that the owner pinned",
            ) from error
        except (HTTPError, OSError) as error:
            if isinstance(error.__cause__, IncompleteRead):
                raise Unavailable(
                    "truncated", f"cannot take {path} from {self.url}: it ends too early"
                ) from error
            raise Unavailable(
                "unreachable", f"cannot reach {path} at {self.url}: {error}"
            ) from error


def _origin(url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _plain(headers: HTTPHeaderDict) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _length(response: BaseHTTPResponse, url: str, path: str) -> int:
    """What the server says the body's length is; without it a cut cannot be told from an end.

    Chunked bodies are refused along: their framing can be dripped without end or cap.
    """
    stated = response.headers.get("Content-Length", "")
    if (
        "Transfer-Encoding" in response.headers
        or not stated.isdecimal()
        or len(stated) > _LENGTH_DIGITS
    ):
        raise Unavailable("no-length", f"cannot take {path} from {url}: its length is not stated")
    return int(stated)


def _guarded(connection: Any, seconds: float) -> Any:
    """`connection` with a limit on the whole time that an answer's headers may take.

    The socket's timeout bounds each read, the TLS handshake and each send as a whole; only the
    lines of the headers are many reads.
    """

    class Guarded(connection):  # type: ignore[misc]
        def getresponse(self) -> Any:
            timer = threading.Timer(seconds, _cut, (self.sock,))
            timer.daemon = True
            timer.start()
            try:
                return super().getresponse()
            finally:
                timer.cancel()

    return Guarded


def _cut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
