"""Attack 12: one byte at a time, for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from allod.agent.transport import HttpTransport
from allod.agent.transport_http import Limits
from allod.domain.ids import FleetId
from allod.errors import Unavailable
from allod.testing.local_server import Request, local_server
from allod.wire.trust import Location

FLEET = FleetId("f" * 64)
QUICK = Limits(connect=1, silence=0.3, headers=0.5, whole=0.6, window=0.3, rate=2000)


class Clock:
    """Real spans, but no pauses between attempts."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        pass


def _drip(request: Request, head: bytes, drop: bytes, every: float) -> None:
    request.handler.close_connection = True
    try:
        request.write(head)
        for _ in range(400):
            request.write(drop)
            time.sleep(every)
    except OSError:
        return


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
DRIPS: dict[str, Callable[[Request], None]] = {
    "body": lambda request: _drip(request, HEAD, b"x", 0.02),
    "headers": lambda request: _drip(request, b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.02),
    "status line": lambda request: _drip(request, b"", b"H", 0.02),
    "one header": lambda request: _drip(request, b"HTTP/1.1 200 OK\r\nX: ", b"y", 0.02),
    "silence": lambda request: _drip(request, HEAD, b"x", 29.0),
}


@pytest.mark.parametrize("drip", DRIPS)
def test_attack_12_a_dripping_location_is_left_for_a_mirror(drip: str) -> None:
    """Small files: the whole answer has one deadline, headers included; then the next is asked."""

    def good(request: Request) -> None:
        request.answer(200, b"{}")

    with local_server(DRIPS[drip]) as slow, local_server(good) as mirror:
        places = [Location(url=slow.url), Location(url=mirror.url)]
        start = time.monotonic()
        way = HttpTransport(FLEET, places, Clock(), limits=QUICK)
        assert way.get("tuf/timestamp.json", cap=200_000) == b"{}"
        assert time.monotonic() - start < 1.5


@pytest.mark.parametrize("drip", ["body", "silence"])
def test_attack_12_a_long_transfer_has_a_least_rate(drip: str) -> None:
    """Blobs: no total deadline, but each span of time must bring its share."""
    data = b"d" * 100_000

    def good(request: Request) -> None:
        offset = int(request.headers.get("range", "bytes=0-")[6:-1])
        span = f"bytes {offset}-{len(data) - 1}/{len(data)}"
        request.answer(206 if offset else 200, data[offset:], Content_Range=span)

    with local_server(DRIPS[drip]) as slow, local_server(good) as mirror:
        places = [Location(url=slow.url), Location(url=mirror.url)]
        start = time.monotonic()
        way = HttpTransport(FLEET, places, Clock(), limits=QUICK)
        with way.stream(f"v2/{FLEET}/me/x/blobs/sha256:aa") as pieces:
            assert sum(map(len, pieces)) == len(data)
        assert mirror.requests[0].headers["range"] != "bytes=0-"
        assert time.monotonic() - start < 2.0


def test_attack_12_without_a_mirror_it_is_said() -> None:
    """The agent gives up in time and says why."""
    with local_server(DRIPS["body"]) as slow, pytest.raises(Unavailable) as caught:
        HttpTransport(FLEET, [Location(url=slow.url)], Clock(), limits=QUICK).get("x", cap=200_000)
    assert caught.value.code == "too-slow"
