"""The read token against a server that checks it as the real one does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from allod.agent.link import open_link
from allod.errors import Unavailable
from allod.testing.link import SimulatedDevice
from allod.testing.local_server import Request, local_server
from allod.testing.repository import RepositorySimulator
from allod.trust.binding import verify_token_request
from allod.wire.trust import Location


class GuardedFleet:
    """Reads want the token; it is given for a good answer to the challenge, once admitted."""

    def __init__(self, tmp_path: Path) -> None:
        self.source = RepositorySimulator()
        self.device = SimulatedDevice(tmp_path / "device", self.source)
        self.device.transport.down = True
        self.bound = self.device.bind(self.source.invite())
        self.key = open_link(self.device.state, self.device.clock, self.bound).key
        self.admitted: set[str] = set()
        self.token = "first"
        self.asked = 0

    def act(self, request: Request) -> None:
        """Answer as the server does."""
        path = request.path.removeprefix(f"/f/{self.bound.fleet}/")
        mine = f"devices/{self.bound.device}"
        if path == "bindings":
            self.admitted.add(json.loads(request.body)["record"]["payload"])
            request.answer(201)
        elif path == f"{mine}/challenge":
            self.asked += 1
            known = json.dumps({"challenge": f"c{self.asked}"}).encode()
            request.answer(200, known) if self.admitted else request.answer(404)
        elif path == f"{mine}/token":
            verify_token_request(
                request.body,
                self.key.key,
                fleet=self.bound.fleet,
                epoch=1,
                challenge=f"c{self.asked}",
            )
            said = {"token": self.token, "expires": "2026-12-01T00:00:00Z"}
            request.answer(200, json.dumps(said).encode())
        elif request.headers.get("authorization") != f"Bearer {self.token}":
            request.answer(401)
        else:
            found = self.source.get(path, 1 << 20)
            request.answer(404) if found is None else request.answer(200, found)

    def link(self, url: str):
        """The device's link to this server."""
        self.device.clock.wall = self.source.now
        bound = self.device.bound
        only = replace(bound, anchors=(Location(url=url),), locations=())
        return open_link(self.device.state, self.device.clock, only)


def test_a_device_introduces_itself_and_gets_a_token(tmp_path: Path) -> None:
    """Binding record, challenge, token, documents; the next look needs no new one."""
    fleet = GuardedFleet(tmp_path)
    with local_server(fleet.act) as server:
        assert fleet.link(server.url).look().fresh
        assert fleet.asked == 1
        assert fleet.link(server.url).look().fresh
        assert fleet.asked == 1
        fleet.token = "second"
        assert fleet.link(server.url).look().fresh
        assert fleet.asked == 2
    assert len(fleet.admitted) == 1
    assert json.loads(fleet.device.state.token.read_text())["token"] == "second"
    assert fleet.device.state.token.stat().st_mode & 0o077 == 0


def test_a_server_that_forgot_the_device_is_told_again(tmp_path: Path) -> None:
    """Restored from a backup of before the binding: the record is handed in once more."""
    fleet = GuardedFleet(tmp_path)
    with local_server(fleet.act) as server:
        assert fleet.link(server.url).look().fresh
        assert fleet.device.bound.handed_in
        fleet.admitted.clear()
        fleet.token = "after the restore"
        assert fleet.link(server.url).look().fresh
    assert fleet.admitted


def test_a_device_that_is_not_admitted_says_so_and_runs_on(tmp_path: Path) -> None:
    """No token, no documents; what was accepted stands."""
    fleet = GuardedFleet(tmp_path)

    def act(request: Request) -> None:
        request.answer(403) if request.path.endswith("/bindings") else request.answer(401)

    with local_server(fleet.act) as server:
        assert fleet.link(server.url).look().fresh
    with local_server(act) as server:
        found = fleet.link(server.url).look()
    assert not found.fresh
    assert found.failure.code == "no-token"
    assert found.view is not None
    assert "http-403" in {alarm.code for alarm in found.view.alarms}


def test_a_token_goes_with_blobs_too(tmp_path: Path) -> None:
    """A transfer whose token ran out goes on with a new one."""
    fleet = GuardedFleet(tmp_path)
    fleet.source.files["blobs/sha256:aa"] = b"blob"
    fleet.admitted.add("x")
    with local_server(fleet.act) as server:
        link = fleet.link(server.url)
        with link.transport.stream("blobs/sha256:aa") as pieces:
            assert b"".join(pieces) == b"blob"
        assert fleet.asked == 1
        fleet.token = "\n"
        with pytest.raises(Unavailable), link.transport.stream("blobs/sha256:aa") as pieces:
            b"".join(pieces)
