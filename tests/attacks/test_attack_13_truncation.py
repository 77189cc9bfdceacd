"""Attack 13: truncation at a boundary, and a Content-Length that lies."""

from __future__ import annotations

import gc

import pytest

from allod.agent.transport import HttpTransport
from allod.agent.transport_http import Limits
from allod.domain.ids import FleetId
from allod.errors import Unavailable
from allod.testing.clock import StoppedClock
from allod.testing.local_server import Request, local_server
from allod.wire.trust import Location

FLEET = FleetId("f" * 64)
LIMITS = Limits(connect=1, silence=0.3, headers=0.5, whole=1.0)
BODY = b"0123456789" * 100


@pytest.mark.parametrize("kept", [0, 1, 500, 999])
def test_attack_13_a_body_that_ends_too_early_is_refused(kept: int) -> None:
    """However much came: fewer bytes than stated are no file."""
    with local_server(lambda r: r.answer(200, BODY[:kept], length=len(BODY))) as server:
        way = HttpTransport(FLEET, [Location(url=server.url)], StoppedClock(), limits=LIMITS)
        with pytest.raises(Unavailable) as caught:
            way.get("tuf/timestamp.json", cap=5000)
        assert caught.value.code == "truncated"
        with pytest.raises(Unavailable) as caught, way.stream("tuf/timestamp.json") as pieces:
            assert b"".join(pieces) == b""
        assert caught.value.code in {"truncated", "bad-range"}


def test_attack_13_bytes_after_the_stated_length_are_never_read() -> None:
    """A length that is too small cuts the file; the rest does not become the next answer."""
    with local_server(lambda r: r.answer(200, BODY, length=10)) as server:
        way = HttpTransport(FLEET, [Location(url=server.url)], StoppedClock(), limits=LIMITS)
        assert way.get("tuf/timestamp.json", cap=5000) == BODY[:10]
        assert way.get("tuf/timestamp.json", cap=5000) == BODY[:10]


# urllib3 leaves a socket to the garbage collector where it refuses a list of lengths itself.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("length", ["-1", "1e3", "", "9" * 30, "10, 1000", "0x10"])
def test_attack_13_a_length_that_is_none_is_refused(length: str) -> None:
    """No number, no file; nothing is allocated for it."""

    def act(request: Request) -> None:
        request.handler.close_connection = True
        request.write(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode() + BODY)

    with local_server(act) as server:
        way = HttpTransport(FLEET, [Location(url=server.url)], StoppedClock(), limits=LIMITS)
        with pytest.raises(Unavailable) as caught:
            way.get("tuf/timestamp.json", cap=5000)
    assert caught.value.code in {"no-length", "unreachable"}
    del caught
    gc.collect()


@pytest.mark.parametrize("cut", [b"", b"5\r\n0123", b"5\r\n01234\r\n", b"5\r\n01234\r\n0"])
def test_attack_13_chunks_are_refused_wherever_they_end(cut: bytes) -> None:
    """A chunked body, whole or cut at any boundary, has no stated length."""

    def act(request: Request) -> None:
        request.handler.close_connection = True
        request.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + cut)

    with local_server(act) as server:
        way = HttpTransport(FLEET, [Location(url=server.url)], StoppedClock(), limits=LIMITS)
        with pytest.raises(Unavailable) as caught:
            way.get("tuf/timestamp.json", cap=5000)
    assert caught.value.code == "no-length"
