"""Attack 11 (and T6): redirects to the link-local metadata service, file:, gopher: …"""

from __future__ import annotations

from pathlib import Path

import pytest

from allod.agent.transport import HttpTransport
from allod.agent.transport_http import Limits
from allod.agent.transport_stick import StickTransport
from allod.domain.ids import FleetId
from allod.errors import Unavailable
from allod.testing.clock import StoppedClock
from allod.testing.local_server import (
    Request,
    local_server,
    make_authority,
    server_context,
)
from allod.wire.trust import Location

FLEET = FleetId("f" * 64)
ELSEWHERE = [
    "http://169.254.169.254/latest/meta-data/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:70/",
    "unix:///run/docker.sock",
    "//127.0.0.2/x",
    "http://localhost:1/x",
    "http://user:word@127.0.0.1/x",
    "http://[::1]/x",
    "http://127.0.0.1:99999999/x",
    "",
]


@pytest.mark.parametrize("where", ELSEWHERE)
def test_attack_11_a_redirect_leads_to_the_same_origin_or_nowhere(where: str) -> None:
    """No request goes anywhere else, whatever the status; another location is tried instead."""
    with local_server(lambda request: request.answer(200, b"{}")) as mirror:
        for status in (301, 302, 303, 307, 308):
            act = lambda request: request.answer(status, Location=where)  # noqa: B023, E731
            with local_server(act) as server:
                clock = StoppedClock()
                alone = HttpTransport(FLEET, [Location(url=server.url)], clock)
                with pytest.raises(Unavailable) as caught:
                    alone.get("tuf/timestamp.json", cap=100)
                assert caught.value.code == "bad-redirect"
                places = [Location(url=server.url), Location(url=mirror.url)]
                both = HttpTransport(FLEET, places, clock)
                assert both.get("tuf/timestamp.json", cap=100) == b"{}"


def test_attack_11_within_the_origin_redirects_are_followed_three_times() -> None:
    """A moved file is found; a circle is left."""

    def act(request: Request) -> None:
        count = int(request.path.rpartition("/")[2]) if request.path.startswith("/to") else 0
        if count == goal:
            request.answer(200, b"here")
        else:
            request.answer(302, Location=f"/to/{count + 1}")

    with local_server(act) as server:
        way = HttpTransport(FLEET, [Location(url=server.url)], StoppedClock())
        goal = 3
        assert way.get("tuf/timestamp.json", cap=100) == b"here"
        goal = 4
        with pytest.raises(Unavailable) as caught:
            way.get("tuf/timestamp.json", cap=100)
        assert caught.value.code == "bad-redirect"


def test_attack_11_no_step_down_from_tls(tmp_path: Path) -> None:
    """A redirect from https to http is refused, even on the same host."""
    ours = make_authority()
    with local_server(lambda request: request.answer(200, b"{}")) as plain:
        act = lambda request: request.answer(302, Location=plain.url)  # noqa: E731
        with local_server(act, server_context(ours, tmp_path)) as server:
            way = HttpTransport(
                FLEET, [Location(url=server.url, pins=[ours.pem])], StoppedClock(), limits=Limits()
            )
            with pytest.raises(Unavailable) as caught:
                way.get("tuf/timestamp.json", cap=100)
        assert caught.value.code == "bad-redirect"
        assert not plain.requests


def test_attack_11_no_location_is_a_file() -> None:
    """Only http and https locations are ever used, even if the owner's word named others."""
    odd = [Location(url="file:///etc"), Location(url="gopher://x"), Location(url="ftp://x")]
    with pytest.raises(Unavailable) as caught:
        HttpTransport(FLEET, odd, StoppedClock())
    assert caught.value.code == "no-location"


def test_attack_11_nothing_outside_a_stick_is_read_or_written(tmp_path: Path) -> None:
    """Links on a stick, at any step of a path, lead nowhere."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "timestamp.json").write_text("mine")
    stick = tmp_path / "stick"
    fleet = stick / "f" / FLEET
    fleet.mkdir(parents=True)
    (fleet / "tuf").symlink_to(secret)
    (fleet / "trust").mkdir()
    (fleet / "trust" / "1.json").symlink_to(secret / "timestamp.json")
    (fleet / "trust" / "2.json").mkdir()
    (stick / "outbox").symlink_to(secret)
    way = StickTransport(FLEET, stick)
    for path in ("tuf/timestamp.json", "trust/1.json", "trust/2.json"):
        with pytest.raises(Unavailable) as caught:
            way.get(path, cap=100)
        assert caught.value.code == "bad-stick"
    with pytest.raises(Unavailable):
        way.post(f"devices/{'a' * 64}/reports", REPORT)
    assert sorted(entry.name for entry in secret.iterdir()) == ["timestamp.json"]


REPORT = (
    b'{"payloadType": "x", "payload": "eyJzZXF1ZW5jZSI6IDd9", "signatures": []}'  # {"sequence": 7}
)
