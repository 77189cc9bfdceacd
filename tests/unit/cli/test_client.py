"""The owner's HTTP client against real servers: pins, signatures, caps, errors, retries."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from allod.cli.certificates import authority, server_certificate
from allod.cli.client import ApiClient, ApiKey, check_url
from allod.cli.keystore import public_key, to_wire
from allod.errors import AllodError, Conflict, InvalidInput, Refused, Unavailable, Untrusted
from allod.wire.api import NewsAnswer
from allod.wire.httpsig import read_request, verify_body, verify_request
from allod.wire.trust import Location

Answer = tuple[int, dict[str, str], bytes]
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


class Server:
    """A small HTTP server whose answers are given by a function of the request."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler, bytes], Answer]) -> None:
        outer = self
        self.seen: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                outer.seen.append(f"{self.command} {self.path}")
                status, headers, data = answer(self, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = handle_any

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        return self.http.server_address[1]

    def start(self) -> Server:
        self.thread.start()
        return self

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts plain servers on this machine."""
    servers: list[Server] = []

    def start(answer: Callable[[BaseHTTPRequestHandler, bytes], Answer]) -> Server:
        servers.append(Server(answer).start())
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def client(server: Server, **more: object) -> ApiClient:
    """A client of a plain server that never sleeps."""
    location = Location(url=f"http://127.0.0.1:{server.port}")
    return ApiClient(location, "ab" * 32, sleep=lambda _: None, **more)  # type: ignore[arg-type]


def problem(status: int, title: str, code: str, **more: object) -> Answer:
    """An answer in problem+json."""
    body = {"type": "x", "title": title, "status": status, "detail": "cannot do it", "code": code}
    return status, {}, msgspec.json.encode(body | more)


def test_requests_are_signed(serve: Callable[..., Server]) -> None:
    """The server's own check accepts method, path, query and body as the client signed them."""
    key = Ed25519PrivateKey.generate()
    public = public_key(key)
    checked = []

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> Answer:
        path, _, query = request.path.partition("?")
        headers = {name.lower(): value for name, value in request.headers.items()}
        signed = read_request(request.command, path, query, headers)
        verify_request(signed, to_wire(public), int(time.time()))
        import hashlib

        verify_body(signed.body_digest, hashlib.sha256(body).digest())
        checked.append(signed.nonce)
        return 200, {}, b'{"news":7}'

    made = client(serve(answer), key=ApiKey(public.keyid, key.sign))
    assert made.get("devices?after=3&x=%20y", NewsAnswer).news == 7
    assert made.post("changes", {"a": 1}, NewsAnswer).news == 7
    assert len(set(checked)) == 2
    made.close()


@pytest.mark.parametrize(
    ("status", "title", "branch"),
    [
        (422, "Invalid input", InvalidInput),
        (404, "Invalid input", InvalidInput),
        (403, "Refused", Refused),
        (409, "Conflict", Conflict),
        (422, "Untrusted", Untrusted),
        (503, "Unavailable", Unavailable),
    ],
)
def test_problems_become_our_errors(
    serve: Callable[..., Server], status: int, title: str, branch: type[AllodError]
) -> None:
    """The branch, the code, the words and the reasons of the server's problem come through."""
    made = client(serve(lambda *_: problem(status, title, "some-code", reasons=["one"])))
    with pytest.raises(branch) as caught:
        made.post("changes", {}, NewsAnswer)
    assert caught.value.code == "some-code"
    assert caught.value.message == "cannot do it"
    if isinstance(caught.value, Refused):
        assert caught.value.reasons == ("one",)
    made.close()


def test_a_missing_file_is_none_and_nothing_else_is(serve: Callable[..., Server]) -> None:
    """Only 404 reads as 'not there'; an error never does (attack 8)."""
    statuses = iter([404, 500, 200])
    made = client(serve(lambda *_: (next(statuses), {}, b"data")))
    assert made.file("tuf/9.root.json", cap=100) is None
    assert made.file("tuf/9.root.json", cap=100) == b"data", "500 was repeated"
    made.close()


def test_an_endless_answer_is_cut(serve: Callable[..., Server]) -> None:
    """More bytes than the cap are never taken."""
    made = client(serve(lambda *_: (200, {}, b"x" * 5000)))
    with pytest.raises(Untrusted) as caught:
        made.file("tuf/timestamp.json", cap=4999)
    assert caught.value.code == "too-large"
    made.close()


def test_redirects_are_not_followed(serve: Callable[..., Server]) -> None:
    """A redirect is an error, whoever it points at (attack 11)."""
    elsewhere = serve(lambda *_: (200, {}, b"loot"))
    target = f"http://127.0.0.1:{elsewhere.port}/"
    made = client(serve(lambda *_: (302, {"location": target}, b"")))
    with pytest.raises(AllodError):
        made.file("tuf/timestamp.json", cap=100)
    assert elsewhere.seen == []
    made.close()


def test_only_what_took_no_effect_is_repeated(serve: Callable[..., Server]) -> None:
    """A GET is repeated; a POST only where the server says that it did nothing (503)."""
    server = serve(lambda *_: problem(500, "Failed", "server-failed"))
    made = client(server)
    with pytest.raises(Unavailable):
        made.get("", NewsAnswer)
    assert len(server.seen) == 4
    with pytest.raises(Unavailable):
        made.post("changes", {}, NewsAnswer)
    assert len(server.seen) == 5
    busy = serve(lambda *_: problem(503, "Unavailable", "busy"))
    other = client(busy)
    with pytest.raises(Unavailable):
        other.post("changes", {}, NewsAnswer)
    assert len(busy.seen) == 4
    made.close()
    other.close()


def test_nobody_there_says_so() -> None:
    """A refused connection is 'unavailable', with the address and what to try."""
    made = ApiClient(Location(url="http://127.0.0.1:9"), "ab" * 32, sleep=lambda _: None)
    with pytest.raises(Unavailable, match="allod serve") as caught:
        made.get("", NewsAnswer)
    assert caught.value.code == "server-unreachable"


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://example.org", "https://u:p@x", "https://x?y", "x"]
)
def test_odd_addresses_are_refused(url: str) -> None:
    """Plain HTTP only to this machine; no credentials, queries or other schemes."""
    with pytest.raises(InvalidInput):
        check_url(url)


def tls_server(serve: Callable[..., Server], chain: str, key: str, directory: Path) -> Server:
    """A server that speaks TLS with the given certificate."""
    server = Server(lambda *_: (200, {}, b'{"news":1}'))
    (directory / "chain.pem").write_text(chain)
    (directory / "key.pem").write_text(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "chain.pem", directory / "key.pem")
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    return server.start()


def test_tls_is_pinned_and_dates_do_not_count(
    serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fleet's authority is accepted though its dates are over; another one is not."""
    monkeypatch.setattr("allod.cli.certificates.FOR_EVER", datetime(2002, 1, 1, tzinfo=UTC))
    ours, theirs = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    pin = authority(ours, name="ours", now=LONG_AGO)
    wrong = authority(theirs, name="ours", now=LONG_AGO)
    server = tls_server(
        serve, *server_certificate(pin, ours, ("127.0.0.1",), now=LONG_AGO), tmp_path
    )
    url = f"https://127.0.0.1:{server.port}"
    good = ApiClient(Location(url=url, pins=[wrong, pin]), "ab" * 32, sleep=lambda _: None)
    assert good.get("", NewsAnswer).news == 1
    good.close()
    bad = ApiClient(Location(url=url, pins=[wrong]), "ab" * 32, sleep=lambda _: None)
    with pytest.raises(Untrusted) as caught:
        bad.get("", NewsAnswer)
    assert caught.value.code == "wrong-certificate"
    bad.close()
    server.stop()
