"""Reading a registry that nobody trusts: caps, deadlines, digests, and where it may send us."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from allod.domain.ids import sha256
from allod.errors import AllodError
from allod.server.http.foreign_registry import ForeignRegistry, read_source
from allod.wire import oci

DATA = b"x" * 100_000
EMPTY = oci.encode_document(oci.Index(schema_version=2, media_type=oci.INDEX, manifests=[]))
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Server(http.server.ThreadingHTTPServer):
    """Answers as it is told: path -> what is done."""

    daemon_threads = True
    answers: dict[str, Answer]
    seen: list[tuple[str, str | None]]


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:  # noqa: N802 — the library's name
        self.server.seen.append((self.path, self.headers.get("authorization")))
        answer = self.server.answers.get(self.path.partition("?")[0])
        if answer is None:
            self.send_error(404)
        else:
            answer(self)

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def vendor() -> Iterator[Server]:
    """A registry on a socket that does what a test says."""
    server = Server(("127.0.0.1", 0), Handler)
    server.answers, server.seen = {}, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def url(vendor: Server) -> str:
    return f"http://127.0.0.1:{vendor.server_port}/acme"


def body(data: bytes, length: int | None = None) -> Answer:
    """Answer with bytes, whatever length is said."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("content-length", str(len(data) if length is None else length))
        request.end_headers()
        request.wfile.write(data)

    return answer


def moved(place: str) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(307)
        request.send_header("location", place)
        request.end_headers()

    return answer


def drip(request: http.server.BaseHTTPRequestHandler) -> None:
    """A byte now and then, for ever."""
    request.send_response(200)
    request.send_header("content-length", "100000")
    request.end_headers()
    try:
        for _ in range(100):
            request.wfile.write(b"x")
            request.wfile.flush()
            time.sleep(0.1)
    except OSError:
        return


def code(act: Callable[[], object]) -> str:
    with pytest.raises(AllodError) as caught:
        act()
    assert caught.value.message.startswith("cannot ")
    return caught.value.code


def test_what_is_asked_for_comes(vendor: Server) -> None:
    """Manifests by tag and digest, blobs, referrers; what is not there is None or nothing."""
    place, registry = url(vendor), ForeignRegistry()
    digest = sha256(DATA)
    vendor.answers["/v2/acme/toaster/manifests/1.0"] = body(b"{}")
    vendor.answers[f"/v2/acme/toaster/manifests/{sha256(b'{}')}"] = body(b"{}")
    vendor.answers[f"/v2/acme/toaster/blobs/{digest}"] = body(DATA)
    vendor.answers[f"/v2/acme/toaster/referrers/{digest}"] = body(EMPTY)
    assert registry.manifest(place, "toaster", "1.0") == b"{}"
    assert registry.manifest(place, "toaster", sha256(b"{}")) == b"{}"
    assert registry.manifest(place, "toaster", "2.0") is None
    assert b"".join(registry.blob(place, "toaster", digest, len(DATA))) == DATA
    assert registry.referrers(place, "toaster", digest, oci.STATEMENT) == []
    assert registry.referrers(place, "oven", digest, oci.STATEMENT) == []
    assert ("/v2/acme/oven/manifests/" + digest.replace(":", "-"), None) in vendor.seen


def test_other_bytes_under_a_digest(vendor: Server) -> None:
    """A manifest is checked here, a blob by whoever stores it, but never beyond its size."""
    place, registry = url(vendor), ForeignRegistry()
    digest = sha256(DATA)
    vendor.answers[f"/v2/acme/t/manifests/{digest}"] = body(b"other")
    vendor.answers[f"/v2/acme/t/blobs/{digest}"] = body(DATA + b"more")
    assert code(lambda: registry.manifest(place, "t", digest)) == "wrong-digest"
    assert code(lambda: list(registry.blob(place, "t", digest, len(DATA)))) == "wrong-digest"


def test_what_is_cut_off_or_too_long(vendor: Server) -> None:
    """Fewer bytes than were said, more than may come, and none at all."""
    place, registry = url(vendor), ForeignRegistry()
    vendor.answers["/v2/acme/t/manifests/cut"] = body(b"{", 100)
    vendor.answers["/v2/acme/t/manifests/long"] = body(b" " * (oci.MANIFEST_CAP + 1))
    vendor.answers["/v2/acme/t/blobs/cut"] = body(DATA, 2 * len(DATA))
    assert code(lambda: registry.manifest(place, "t", "cut")) == "registry-unreachable"
    assert code(lambda: registry.manifest(place, "t", "long")) == "too-large"
    assert (
        code(lambda: list(registry.blob(place, "t", "cut", 2 * len(DATA))))  # type: ignore[arg-type]
        == "registry-unreachable"
    )
    assert code(lambda: registry.manifest("http://127.0.0.1:1/a", "t", "x")) == (
        "registry-unreachable"
    )


def test_drop_by_drop_is_cut_off(vendor: Server) -> None:
    """Nobody holds a thread for longer than the exchange may last."""
    place, registry = url(vendor), ForeignRegistry(deadline=0.4, slowest=10**6)
    vendor.answers["/v2/acme/t/manifests/slow"] = drip
    vendor.answers["/v2/acme/t/blobs/slow"] = drip
    begun = time.monotonic()
    assert code(lambda: registry.manifest(place, "t", "slow")) == "registry-unreachable"
    assert (
        code(lambda: list(registry.blob(place, "t", "slow", 100_000)))  # type: ignore[arg-type]
        == "registry-unreachable"
    )
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "//169.254.169.254/",
        "https://user:secret@example.org/",
        "",
    ],
)
def test_nobody_is_sent_where_nothing_should_be_asked(vendor: Server, place: str) -> None:
    """A registry may send us to https or to itself, and to nothing else; not round in circles."""
    registry = ForeignRegistry()
    vendor.answers["/v2/acme/t/manifests/m"] = moved(place)
    assert code(lambda: registry.manifest(url(vendor), "t", "m")) in {
        "registry-failed",
        "registry-unreachable",
    }
    assert len(vendor.seen) <= 5


def test_a_handshake_drop_by_drop_is_cut_off() -> None:
    """The deadline holds before the first byte of an answer: nobody keeps a thread by their TLS."""
    listener = socket.create_server(("127.0.0.1", 0))

    def dribble() -> None:
        with suppress(OSError), listener.accept()[0] as connection:
            connection.sendall(b"\x16\x03\x03\x40\x00")
            for _ in range(100):
                connection.sendall(b"x")
                time.sleep(0.05)

    threading.Thread(target=dribble, daemon=True).start()
    registry = ForeignRegistry(deadline=0.4)
    begun = time.monotonic()
    place = f"https://127.0.0.1:{listener.getsockname()[1]}/acme"
    assert code(lambda: registry.manifest(place, "toaster", "1.0")) == "registry-unreachable"
    assert time.monotonic() - begun < 2
    listener.close()


def test_the_same_host_may_move_things(vendor: Server) -> None:
    """As registries with a storage behind them do."""
    registry = ForeignRegistry()
    vendor.answers["/v2/acme/t/manifests/m"] = moved("/storage/m")
    vendor.answers["/storage/m"] = body(b"{}")
    assert registry.manifest(url(vendor), "t", "m") == b"{}"


@pytest.mark.parametrize(
    "challenge",
    [
        'Basic realm="x"',
        'Bearer realm="http://127.0.0.1:9/token"',
        "Bearer",
        'Bearer realm="file:/x"',
    ],
)
def test_nobody_logs_in(vendor: Server, challenge: str) -> None:
    """A token is asked for over https only; there are no passwords to give away."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(401)
        request.send_header("www-authenticate", challenge)
        request.end_headers()

    vendor.answers["/v2/acme/t/manifests/m"] = answer
    assert code(lambda: ForeignRegistry().manifest(url(vendor), "t", "m")) == "registry-failed"


@pytest.mark.parametrize(
    "source",
    [
        "",
        "acme",
        "http://registry.example/acme",
        "ftp://registry.example/acme",
        "https://user@registry.example/acme",
        "https://registry.example/a/../b",
        "https://registry.example/A",
        "https://registry.example/acme?x=1",
        "https://registry.example:0/acme",
        "https://[::1",
    ],
)
def test_what_is_no_source(source: str) -> None:
    """Only https with a plain path, or http to this machine."""
    assert code(lambda: read_source(source)) == "bad-source"
    assert read_source("https://registry.example:5000/acme/").path == "/acme"
    assert read_source("http://localhost:5000").hostname == "localhost"
