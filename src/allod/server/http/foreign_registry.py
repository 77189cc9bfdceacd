"""Reading other people's OCI registries: under caps and deadlines, everything by its digest.

Only https, or http to this machine; anonymous, with the token that public registries hand out.
Nothing of an answer is believed but bytes whose digest was signed, or whose signature is checked
by whoever asked. The deadline is of the whole exchange: drop by drop is cut off too (attack 12).
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

from allod.domain.ids import Digest, sha256
from allod.errors import InvalidInput, Unavailable, Untrusted
from allod.wire import oci
from allod.wire.codec import parse_strict
from allod.wire.oci import Descriptor

_CONNECT: Final = 10.0  #: seconds
DEADLINE: Final = 30.0  #: seconds for a small answer
SLOWEST: Final = 64 * 1024  #: bytes a second that a blob must come with
_PIECE: Final = 256 * 1024
_HOPS: Final = 5
_TOKEN_CAP: Final = 256 * 1024
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PATH: Final = re.compile(r"(?:/[a-z0-9][a-z0-9._-]{0,127}){0,8}", re.ASCII)
_CHALLENGE: Final = re.compile(r'([a-z]+)="([^"]*)"')
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_OK: Final = 200
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class _Place:
    """One repository: scheme and host, and its name there."""

    base: SplitResult
    name: str

    def url(self, path: str) -> str:
        """The address of something in it."""
        return f"{self.base.scheme}://{self.base.netloc}/v2/{self.name}/{path}"


def read_source(source: str) -> SplitResult:
    """The address of a registry, like `https://registry.acme.example/acme`.

    Raises:
        InvalidInput: `bad-source`.
    """
    try:
        parts = urlsplit(source.rstrip("/"))
        local = parts.hostname in _LOCAL
        fits = parts.scheme == "https" or (parts.scheme == "http" and local)
        more = parts.query or parts.fragment or parts.username or parts.port == 0
    except ValueError:
        fits, more, parts = False, True, SplitResult("", "", "", "", "")
    if not fits or more or not parts.hostname or _PATH.fullmatch(parts.path) is None:
        raise InvalidInput(
            "bad-source",
            f"cannot copy from {source[:200]!r}: it is like https://registry.acme.example/acme",
        )
    return parts


class ForeignRegistry:
    """Implements `allod.server.services.mirror.Source`. May be used from several threads.

    Args:
        deadline: seconds for a small answer.
        slowest: bytes a second that a blob must come with.
    """

    def __init__(self, deadline: float = DEADLINE, slowest: int = SLOWEST) -> None:
        self._deadline = deadline
        self._slowest = slowest
        self._tls = ssl.create_default_context()

    def manifest(self, source: str, name: str, reference: str) -> bytes | None:
        """See the port."""
        place = _place(source, name)
        accept = f"{oci.MANIFEST}, {oci.INDEX}"
        with self._open(place, f"manifests/{reference}", accept, self._deadline) as answer:
            if answer is None:
                return None
            raw = _whole(answer, oci.MANIFEST_CAP)
        if ":" in reference and sha256(raw) != reference:
            raise _wrong(reference)
        return raw

    def referrers(
        self, source: str, name: str, subject: Digest, kind: str | None
    ) -> list[Descriptor]:
        """See the port."""
        place = _place(source, name)
        query = "" if kind is None else f"?{urlencode({'artifactType': kind})}"
        path = f"referrers/{subject}{query}"
        with self._open(place, path, oci.INDEX, self._deadline) as answer:
            raw = None if answer is None else _whole(answer, oci.MANIFEST_CAP)
        if raw is None:  # a registry without that address has a tag of that form (OCI 1.1)
            raw = self.manifest(source, name, subject.replace(":", "-"))
        if raw is None:
            return []
        found = oci.decode_index(raw, what="the referrers")
        return [one for one in found.manifests if kind in {None, one.artifact_type}]

    def blob(self, source: str, name: str, digest: Digest, size: int) -> Iterator[bytes]:
        """See the port."""
        place, left = _place(source, name), size
        seconds = self._deadline + size / self._slowest
        with self._open(place, f"blobs/{digest}", "*/*", seconds) as answer:
            if answer is None:
                raise Unavailable("registry-failed", f"cannot find {digest} at {source[:200]}")
            while piece := answer.read(min(_PIECE, left + 1)):
                left -= len(piece)
                if left < 0:
                    raise _wrong(digest)
                yield piece
        if left:
            raise Unavailable("registry-unreachable", f"cannot read {digest}: it was cut off")

    @contextmanager
    def _open(
        self, place: _Place, path: str, accept: str, seconds: float
    ) -> Iterator[http.client.HTTPResponse | None]:
        """The answer to a GET, to be read within the deadline; None: not found."""
        with _Cut(seconds) as cut:
            try:
                answer = self._follow(place, path, accept, cut)
                yield None if answer.status == _NOT_FOUND else answer
                if cut.done:
                    raise TimeoutError
            except (OSError, http.client.HTTPException, ValueError) as error:
                why = "it takes too long" if cut.done else type(error).__name__
                raise Unavailable(
                    "registry-unreachable", f"cannot read from {place.base.netloc[:200]}: {why}"
                ) from error

    def _follow(self, place: _Place, path: str, accept: str, cut: _Cut) -> http.client.HTTPResponse:
        """Over redirections, and with a token if one is asked for."""
        url, token = place.url(path), ""
        for _ in range(_HOPS):
            answer = self._get(url, accept, token, cut)
            if answer.status in {_OK, _NOT_FOUND}:
                return answer
            if answer.status in _MOVED:
                url, token = self._moved(place, url, answer.getheader("location") or ""), ""
            elif answer.status == _UNAUTHORIZED and not token:
                token = self._token(place, answer.getheader("www-authenticate") or "", cut)
            else:
                break
        raise Unavailable(
            "registry-failed",
            f"cannot read {path[:120]}: {place.base.netloc[:200]} said {answer.status}",
        )

    def _moved(self, place: _Place, url: str, location: str) -> str:
        """Where it is instead: https, or the same host (attack 11)."""
        target = urlsplit(urljoin(url, location))
        same = (target.scheme, target.netloc) == (place.base.scheme, place.base.netloc)
        if not (same or target.scheme == "https") or target.username or not target.hostname:
            raise Unavailable(
                "registry-failed", f"cannot follow {place.base.netloc[:200]} to {location[:100]!r}"
            )
        return target.geturl()

    def _token(self, place: _Place, challenge: str, cut: _Cut) -> str:
        """What a public registry hands out to anybody."""
        fields = dict(_CHALLENGE.findall(challenge))
        realm = fields.get("realm", "")
        if not challenge.lower().startswith("bearer ") or urlsplit(realm).scheme != "https":
            raise Unavailable(
                "registry-failed",
                f"cannot copy from {place.base.netloc[:200]}: it wants to know who asks",
            )
        query = {"scope": f"repository:{place.name}:pull"}
        if "service" in fields:
            query["service"] = fields["service"]
        answer = self._get(f"{realm}?{urlencode(query)}", "application/json", "", cut)
        said = parse_strict(_whole(answer, _TOKEN_CAP), cap=_TOKEN_CAP, what="the token")
        token = said.get("token") or said.get("access_token") if isinstance(said, dict) else None
        if answer.status != _OK or not isinstance(token, str) or not token.isprintable():
            raise Unavailable(
                "registry-failed", f"cannot copy from {place.base.netloc[:200]}: it gave no token"
            )
        return token

    def _get(self, url: str, accept: str, token: str, cut: _Cut) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        connection: http.client.HTTPConnection
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                host, port, timeout=_CONNECT, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=_CONNECT)
        fields = {"accept": accept, "connection": "close", "accept-encoding": "identity"}
        if token:
            fields["authorization"] = f"Bearer {token}"
        cut.of(connection)
        http.client.HTTPConnection.connect(connection)
        if parts.scheme == "https":  # no byte of its handshake before it can be cut off
            connection.sock = self._tls.wrap_socket(
                connection.sock, server_hostname=host, do_handshake_on_connect=False
            )
        cut.begin(connection)
        if isinstance(connection.sock, ssl.SSLSocket):
            connection.sock.do_handshake()
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers=fields)
        answer = connection.getresponse()
        cut.of(answer)
        return answer


def _place(source: str, name: str) -> _Place:
    parts = read_source(source)
    return _Place(parts, f"{parts.path.strip('/')}/{name}".strip("/"))


def _whole(answer: http.client.HTTPResponse, cap: int) -> bytes:
    data = answer.read(cap + 1)
    if len(data) > cap:
        raise InvalidInput("too-large", f"cannot take an answer of more than {cap} bytes")
    if answer.length:
        raise Unavailable("registry-unreachable", "cannot read an answer: it was cut off")
    return data


def _wrong(reference: str) -> Untrusted:
    return Untrusted(
        "wrong-digest", f"cannot use {reference}: the registry sends other bytes under this digest"
    )


class _Cut:
    """Ends an exchange that lasts too long, wherever it is; closes what it opened."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._guard = threading.Lock()
        self._opened: list[http.client.HTTPConnection | http.client.HTTPResponse] = []
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._now)
        self._timer.daemon = True
        self.done = False  #: what was read may be a part

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def of(self, opened: http.client.HTTPConnection | http.client.HTTPResponse) -> None:
        """One more thing of this exchange that is closed at its end."""
        self._opened.append(opened)

    def begin(self, connection: http.client.HTTPConnection) -> None:
        """It is open. Raises TimeoutError: too late."""
        with self._guard:
            if self.done:
                raise TimeoutError
            self._socket = connection.sock
        if self._socket is not None:
            self._socket.settimeout(self._seconds)

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for opened in self._opened:
            opened.close()

    def _now(self) -> None:
        with self._guard:
            self.done = True
            with suppress(OSError):
                if self._socket is not None:
                    self._socket.shutdown(socket.SHUT_RDWR)
