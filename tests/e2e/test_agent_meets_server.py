"""The agent's own transport against the server's own application, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from allod.agent.binding import Binder
from allod.agent.invites import read_invite
from allod.agent.link import connector, open_link
from allod.errors import Refused
from allod.testing.link import SimulatedDevice
from allod.testing.local_server import Request, local_server
from allod.testing.server import ServerRig
from allod.wire.trust import Location

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # litestar's own, to come


class Bridge:
    """HTTP/1.1 on this machine in front of an ASGI application."""

    def __init__(self, application) -> None:
        self.application = application
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def act(self, request: Request) -> None:
        """Answer one request through the application."""
        answer = asyncio.run_coroutine_threadsafe(self._ask(request), self.loop).result(20)
        start, body = answer
        fields = {k.decode().title(): v.decode() for k, v in start["headers"]}
        fields.pop("Content-Length", None)
        status = start["status"]
        if status == 204:
            request.handler.send_response(204)
            request.handler.end_headers()
        else:
            request.answer(status, body, **{k.replace("-", "_"): v for k, v in fields.items()})

    async def _ask(self, request: Request):
        path, _, query = request.path.partition("?")
        said: list[dict] = []

        async def receive():
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message):
            said.append(message)

        scope = {
            "type": "http",
            "method": request.method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode()) for k, v in request.headers.items()],
            "scheme": "http",
            "http_version": "1.1",
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await self.application(scope, receive, send)
        return said[0], b"".join(message.get("body", b"") for message in said[1:])

    def close(self) -> None:
        """Stop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Meeting:
    """A server with one fleet, and a device that may be bound to it."""

    def __init__(self, tmp_path: Path, url: str, rig: ServerRig) -> None:
        self.rig = rig
        self.url = url
        self.device = SimulatedDevice(tmp_path / "device", rig.simulator)
        self.device.clock.wall = rig.clock.moment

    def invite(self, uses: int = 1) -> bytes:
        """As the owner makes it; the online roles' versions are the server's own business here."""
        floors = self.rig.simulator.observe().floors
        roles = {k: v for k, v in floors.roles.items() if k not in {"snapshot", "timestamp"}}
        return self.rig.simulator.invite(uses=uses, floors=replace(floors, roles=roles, digests={}))

    def binder(self) -> Binder:
        """Binds over the network, to wherever the server listens."""
        connect = connector(self.device.state, self.device.clock)
        here = [Location(url=self.url)]
        return Binder(
            self.device.state,
            self.device.clock,
            {},
            lambda fleet, _places, key, epoch: connect(fleet, here, key, epoch),
        )

    def link(self):
        """The bound device's link."""
        bound = replace(self.device.bound, anchors=(Location(url=self.url),), locations=())
        return open_link(self.device.state, self.device.clock, bound)


@pytest.fixture
def meeting(tmp_path: Path) -> Iterator[Meeting]:
    """Both ends, and the wire between them."""
    rig = ServerRig.make(tmp_path / "server")
    bridge = Bridge(rig.application)
    with local_server(bridge.act) as server:
        yield Meeting(tmp_path, server.url, rig)
    bridge.close()
    rig.server.close()


def short(invite: bytes) -> str:
    document = {k: v for k, v in json.loads(invite).items() if k not in {"root", "trust"}}
    packed = base64.urlsafe_b64encode(zlib.compress(json.dumps(document).encode()))
    return "allod:" + packed.decode().rstrip("=")


@pytest.mark.parametrize("form", ["file", "url"])
def test_a_device_is_bound_admitted_and_reads_with_a_token(meeting: Meeting, form: str) -> None:
    """Root without a token, record, challenge, token, documents: by the server's own rules."""
    invite = meeting.invite()
    data = read_invite(short(invite)) if form == "url" else invite
    bound = meeting.binder().bind(data)
    assert bound.handed_in
    found = meeting.link().look()
    assert found.failure is None
    assert found.fresh
    assert found.view.fleet.fleet == bound.fleet


def test_a_surplus_device_is_refused_by_the_servers_count(meeting: Meeting, tmp_path: Path) -> None:
    """The second device of a single-use invite."""
    invite = meeting.invite()
    meeting.binder().bind(invite)
    other = Meeting(tmp_path / "other", meeting.url, meeting.rig)
    with pytest.raises(Refused) as caught:
        other.binder().bind(invite)
    assert caught.value.code == "invite-surplus"
    assert other.device.bound is None


def test_a_change_reaches_the_device(meeting: Meeting) -> None:
    """Published by the owner, accepted by the device."""
    meeting.binder().bind(meeting.invite())
    assert not meeting.link().look().view.fleet.revoked_invites
    people = meeting.rig.server.fleets.need(meeting.rig.fleet).document.people
    meeting.rig.change(
        meeting.rig.simulator.set_fleet(people=list(people), revoked_invites=["some"])
    )
    assert meeting.link().look().view.fleet.revoked_invites == ["some"]
