"""Attack 10 (and T7): somebody on the way has a certificate that the device accepts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from allod.agent.acceptance import accept
from allod.agent.floors_store import FloorsStore
from allod.agent.link import open_link
from allod.agent.tokens import Tokens
from allod.agent.transport import HttpTransport
from allod.domain.ids import DeviceId, GroupName, group_scope
from allod.errors import Unavailable
from allod.testing.link import SimulatedDevice
from allod.testing.local_server import Request, local_server, make_authority, server_context
from allod.testing.repository import RepositorySimulator
from allod.wire.trust import Location


class Fleet:
    """An honest fleet over TLS, with somebody on the way who changes one answer."""

    def __init__(self, tmp_path: Path) -> None:
        self.source = RepositorySimulator()
        self.source.set_packages(group_scope(GroupName("kitchen")), {})
        self.device = SimulatedDevice(tmp_path / "device", self.source)
        self.device.bind(self.source.invite())
        self.authority = make_authority()
        self.context = server_context(self.authority, tmp_path)
        self.path = ""
        self.struck = False
        self.change = lambda data: data

    def act(self, request: Request) -> None:
        """Serve the fleet's files."""
        path = request.path.removeprefix(f"/f/{self.source.anchor.fleet}/")
        found = self.source.get(path, 1 << 20)
        if path == self.path:
            self.struck = True
            found = self.change(found)
        if found is None:
            request.answer(404)
        else:
            request.answer(200, found)

    def look(self, url: str):
        """One look of the device over that way."""
        device = self.device
        place = Location(url=url, pins=[self.authority.pem])
        way = HttpTransport(device.bound.fleet, [place], device.clock)
        return accept(way, device.state, device.clock, device.bound)


def flip(at: float):
    """Change one bit of a file, at a fraction of its length."""

    def change(data: bytes | None) -> bytes | None:
        if not data:
            return data
        place = int(at * (len(data) - 1))
        return data[:place] + bytes([data[place] ^ 0x01]) + data[place + 1 :]

    return change


@pytest.mark.slow
def test_attack_10_nothing_altered_is_accepted(tmp_path: Path) -> None:
    """Every answer, changed in several places, cut, emptied, or exchanged for another's.

    What stood stands, floors do not fall, and the next honest look goes through.
    """
    fleet = Fleet(tmp_path)
    with local_server(fleet.act, fleet.context) as server:
        assert fleet.look(server.url).fresh
        fleet.source.set_fleet(public=True)
        fleet.source.set_packages(group_scope(GroupName("kitchen")), {})
        model = fleet.source.snapshot_state()
        probe = SimulatedDevice(tmp_path / "probe", model)
        probe.bind(model.invite())
        assert probe.accept().fresh
        asked = sorted({path for path in model.asked if model.files.get(path)})
        assert len(asked) >= 6
        other = RepositorySimulator().files["tuf/1.root.json"]
        changes = [
            flip(0.0),
            flip(0.3),
            flip(0.7),
            flip(1.0),
            lambda d: b"",
            lambda d: d and d[:-9],
        ]
        changes.append(lambda d: other)
        before = fleet.device.directory.rename(tmp_path / "before")
        refused = 0
        for path in asked:
            for change in changes:
                shutil.rmtree(fleet.device.directory, ignore_errors=True)
                shutil.copytree(before, fleet.device.directory)
                fleet.path, fleet.change, fleet.struck = path, change, False
                floors = FloorsStore(fleet.device.state).load(fleet.device.bound.fleet)
                found = fleet.look(server.url)
                now = FloorsStore(fleet.device.state).load(fleet.device.bound.fleet)
                assert all(now.roles[role] >= version for role, version in floors.roles.items())
                if found.fresh:  # what is known already is not asked for again
                    assert found.view.fleet.public
                    assert not fleet.struck
                    continue
                refused += 1
                assert found.failure is not None
                assert not found.view.fleet.public
        assert refused > 20
        fleet.path = ""
        found = fleet.look(server.url)
        assert found.fresh
        assert found.view.fleet.public


def test_attack_10_an_alarm_tells_of_it(tmp_path: Path) -> None:
    """What does not hold is reported, with a code, and not only dropped."""
    fleet = Fleet(tmp_path)
    with local_server(fleet.act, fleet.context) as server:
        assert fleet.look(server.url).fresh
        fleet.source.refresh_timestamp()
        fleet.path = "tuf/timestamp.json"
        fleet.change = lambda data: data.replace(b'"version":', b'"version":1', 1)
        found = fleet.look(server.url)
    assert not found.fresh
    assert found.view.refusals[0].code == found.failure.code
    assert found.failure.code in {alarm.code for alarm in found.view.alarms}


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b'{"challenge": 7}', b'{"challenge": "' + b"x" * 5000 + b'"}', b"\xff"]
)
def test_attack_10_an_altered_challenge_gets_no_signature_of_another_kind(tmp_path, answer) -> None:
    """The device signs token requests for its own fleet and device; a malformed challenge nothing."""
    fleet = Fleet(tmp_path)
    link = open_link(fleet.device.state, fleet.device.clock, fleet.device.bound)
    with local_server(lambda request: request.answer(200, answer)) as server:
        way = HttpTransport(link.bound.fleet, [Location(url=server.url)], fleet.device.clock)
        tokens = Tokens(
            fleet.device.state.token, link.bound.fleet, DeviceId(link.bound.device), 1, link.key
        )
        with pytest.raises(Unavailable) as caught:
            tokens.renew(way._places[0].source)
        assert caught.value.code in {"no-token", "too-large"}
        assert [request.method for request in server.requests] == ["GET"]
