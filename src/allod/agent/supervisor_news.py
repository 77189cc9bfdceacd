"""Asking the fleet's server whether something is new, with the standard library alone.

One kept-alive connection, one question at a time, held open by the server for as long as nothing
is new. The answer carries no authority: at worst the worker looks once for nothing, or is told
nothing and looks when its time has come anyway.
"""

from __future__ import annotations

import socket
import ssl
import time

_HEAD_CAP = 16 * 1024
_BODY_CAP = 1024
_DIGITS = 19
_CONNECT_SECONDS = 10.0
_GRACE_SECONDS = 20.0  #: beyond what the server was asked to hold the question for
_NO_CHECK_TIME = 0x200000  #: X509_V_FLAG_NO_CHECK_TIME, see tls.py

QUIET = "quiet"  #: nothing is new
NEWS = "news"  #: something is; `Poll.number` says up to where
DENIED = "denied"  #: a token is wanted
FAILED = "failed"  #: no answer, or none of use


class Location:
    """Where to ask."""

    __slots__ = ("host", "path", "pins", "port", "tls")

    def __init__(self, url: str, pins: list[str]) -> None:
        scheme, _, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        host, port = authority, ""
        if authority.startswith("["):
            host, _, port = authority[1:].partition("]")
            port = port.removeprefix(":")
        elif ":" in authority:
            host, _, port = authority.partition(":")
        self.tls = scheme == "https"
        self.host = host
        self.port = int(port) if port else (443 if self.tls else 80)
        self.path = (slash + path).rstrip("/")
        self.pins = pins

    def context(self) -> ssl.SSLContext:
        """As `tls.client_context`, without its imports."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.pins:
            context.check_hostname = False
            context.load_verify_locations(cadata="\n".join(self.pins))
        else:
            context.load_default_certs()
        context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME) | ssl.VERIFY_X509_PARTIAL_CHAIN
        return context


class Poll:
    """One question after another to one location. Never raises for what a server does."""

    __slots__ = (
        "_buffer",
        "_context",
        "_deadline",
        "_fleet",
        "_location",
        "_sock",
        "asking",
        "number",
    )

    def __init__(self, location: Location, fleet: str) -> None:
        self._location = location
        self._fleet = fleet
        self._context: ssl.SSLContext | None = None
        self._sock: socket.socket | None = None
        self._buffer = b""
        self._deadline = 0.0
        self.asking = False  #: a question is open
        self.number = 0

    @property
    def deadline(self) -> float:
        """Monotonic time after which the question has failed."""
        return self._deadline

    def fileno(self) -> int:
        """For select; -1 while nothing is asked."""
        return -1 if self._sock is None else self._sock.fileno()

    def ask(self, after: int, wait: float, token: str) -> bool:
        """Send the question; False if it cannot be sent."""
        where = self._location
        name = f"[{where.host}]" if ":" in where.host else where.host
        lines = [
            f"GET {where.path}/f/{self._fleet}/news?after={after}&wait={int(wait)} HTTP/1.1",
            f"Host: {name}:{where.port}",
            "Accept: application/json",
            "User-Agent: allod-supervisor",
        ]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        question = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "replace")
        for fresh in (self._sock is None, True):
            try:
                if fresh:
                    self._connect()
                if self._sock is not None:
                    self._sock.settimeout(_CONNECT_SECONDS)
                    self._sock.sendall(question)
                    self._sock.setblocking(False)
                    self._buffer = b""
                    self._deadline = time.monotonic() + wait + _GRACE_SECONDS
                    self.asking = True
                    return True
            except (OSError, ValueError):
                self.close()
        return False

    def hear(self) -> str:
        """What there is of an answer: one of the four words, or '' while it is not whole."""
        if self._sock is None:
            return FAILED
        try:
            while True:
                piece = self._sock.recv(4096)
                self._buffer += piece
                if not piece or len(self._buffer) > _HEAD_CAP + _BODY_CAP:
                    break
                answer = self._read()
                if answer:
                    self.asking = False
                    return answer
        except (ssl.SSLWantReadError, BlockingIOError):
            if time.monotonic() < self._deadline:
                return ""
        except OSError:
            pass
        self.close()
        return FAILED

    def close(self) -> None:
        """Hang up."""
        self.asking = False
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _connect(self) -> None:
        self.close()
        where = self._location
        plain = socket.create_connection((where.host, where.port), _CONNECT_SECONDS)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if not where.tls:
            self._sock = plain
            return
        try:
            if self._context is None:
                self._context = where.context()
            self._sock = self._context.wrap_socket(plain, server_hostname=where.host)
        except BaseException:
            plain.close()
            raise

    def _read(self) -> str:
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return ""
        lines = head.split(b"\r\n")
        status = lines[0].split(b" ")[1:2]
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            fields[name.strip().lower()] = value.strip()
        length = fields.get(b"content-length", b"0" if status == [b"204"] else b"-")
        if not length.isdigit() or int(length) > _BODY_CAP:
            self.close()
            return _word(status, b"", self)
        if len(body) < int(length):
            return ""
        if fields.get(b"connection", b"").lower() == b"close":
            self.close()
        return _word(status, body, self)


def _word(status: list[bytes], body: bytes, poll: Poll) -> str:
    if status == [b"204"]:
        return QUIET
    if status in ([b"401"], [b"403"]):
        return DENIED
    if status == [b"200"]:
        digits = body.partition(b'"news"')[2].lstrip(b" :\t\r\n")
        number = b""
        while digits[:1].isdigit() and len(number) < _DIGITS:
            number, digits = number + digits[:1], digits[1:]
        if number:
            poll.number = int(number)
            return NEWS
    return FAILED
