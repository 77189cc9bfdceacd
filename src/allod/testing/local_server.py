"""A real HTTP(S) server on this machine that does whatever a test wants, and its certificates."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The certificate, as a location's pin."""
        return self.certificate.public_bytes(Encoding.PEM).decode()


def make_authority(
    name: str = "test", *, age: timedelta = _DAY, left: timedelta = _DAY
) -> Authority:
    """A CA that began `age` ago and ends in `left` (negative: it has ended)."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, subject, key, age, left).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    return Authority(builder.sign(key, SHA256()), key)


def server_context(
    authority: Authority,
    directory: Path,
    *,
    host: str = "device.invalid",
    age: timedelta = _DAY,
    left: timedelta = _DAY,
) -> ssl.SSLContext:
    """What a server certified by `authority` for `host` uses."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    builder = _builder(subject, authority.certificate.subject, key, age, left).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False
    )
    pem = builder.sign(authority.key, SHA256()).public_bytes(Encoding.PEM)
    file = directory / f"{host}-{id(key)}.pem"
    file.write_bytes(pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    age: timedelta,
    left: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - age)
        .not_valid_after(now + left)
    )


@dataclass(slots=True)
class Request:
    """One request, and the raw connection to answer it on."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    handler: BaseHTTPRequestHandler

    def answer(
        self, status: int, body: bytes = b"", *, length: int | None = None, **headers: str
    ) -> None:
        """Answer whole; `length` may lie about the body."""
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.send_header("Content-Length", str(len(body) if length is None else length))
        self.handler.end_headers()
        self.handler.wfile.write(body)
        if length is not None and length != len(body):
            self.handler.close_connection = True

    def write(self, data: bytes) -> None:
        """Write raw bytes now."""
        self.handler.wfile.write(data)
        self.handler.wfile.flush()


@dataclass(slots=True)
class LocalServer:
    """A running server."""

    url: str
    requests: list[Request] = field(default_factory=list)

    def asked(self, path: str) -> int:
        """How often `path` was asked for."""
        return sum(request.path == path for request in self.requests)


@contextmanager
def local_server(
    act: Callable[[Request], None], context: ssl.SSLContext | None = None
) -> Iterator[LocalServer]:
    """Run a server that answers every request by `act`, over TLS if there is a context."""
    server: LocalServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10.0

        def setup(self) -> None:
            if context is not None:
                self.request.settimeout(5)
                self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            try:
                super().finish()
            finally:
                self.request.close()

        def _any(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            request = Request(
                self.command,
                self.path,
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(length),
                self,
            )
            server.requests.append(request)
            act(request)

        do_GET = do_POST = do_HEAD = do_PUT = _any  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is what many tests want."""

    with Server(("127.0.0.1", 0), Handler) as running:
        scheme = "http" if context is None else "https"
        server = LocalServer(f"{scheme}://127.0.0.1:{running.server_port}")
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            running.shutdown()
            thread.join()


def serve_directory(directory: Path) -> Callable[[Request], None]:
    """Answer with the files below `directory`, and 404 for everything else; knows Range."""

    def act(request: Request) -> None:
        file = directory / request.path.lstrip("/")
        if not file.is_file():
            request.answer(404)
            return
        data = file.read_bytes()
        start = request.headers.get("range", "")
        if start.startswith("bytes="):
            offset = int(start[6:].rstrip("-"))
            request.answer(
                206,
                data[offset:],
                Content_Range=f"bytes {offset}-{len(data) - 1}/{len(data)}",
            )
            return
        request.answer(200, data)

    return act
