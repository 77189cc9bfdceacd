"""Attack 8: the server says 404, 500 or nothing for everything."""

from __future__ import annotations

import pytest

from allod.agent.transport import HttpTransport
from allod.agent.transport_http import Limits
from allod.domain.ids import FleetId
from allod.errors import Unavailable
from allod.testing.clock import StoppedClock
from allod.testing.local_server import Request, local_server
from allod.wire.trust import Location

FLEET = FleetId("f" * 64)


def test_attack_08_only_404_and_410_say_not_there() -> None:
    """Every other answer is 'cannot be had now': it is retried, with jitter, and removes nothing."""
    status = 404

    def act(request: Request) -> None:
        if status == 0:
            request.handler.close_connection = True
        else:
            request.answer(status, b"" if status != 206 else b"{}")

    with local_server(act) as server:
        for status in (404, 410):  # noqa: B007 - read by `act`
            way = HttpTransport(FLEET, [Location(url=server.url)], StoppedClock())
            assert way.get("tuf/2.root.json", cap=100) is None
        waits = []
        for status in (0, 204, 206, 400, 401, 403, 429, 500, 502, 503):  # noqa: B007
            ticks = StoppedClock()
            before = len(server.requests)
            way = HttpTransport(FLEET, [Location(url=server.url)], ticks, limits=Limits(silence=1))
            with pytest.raises(Unavailable):
                way.get("tuf/timestamp.json", cap=100)
            assert len(server.requests) - before == 2
            waits += ticks.slept
        assert len(set(waits)) == len(waits) == 10  # one pause each, no two alike
        assert all(0.1 < wait <= 1.0 for wait in waits)


def test_attack_08_an_empty_answer_is_not_absence() -> None:
    """200 with an empty body is a file of no bytes, for trust to refuse, and not None."""
    with local_server(lambda request: request.answer(200)) as server:
        way = HttpTransport(FLEET, [Location(url=server.url)], StoppedClock())
        assert way.get("tuf/timestamp.json", cap=100) == b""
