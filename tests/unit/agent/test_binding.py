"""Binding against a simulated fleet: what holds, and what is refused without a trace."""

from __future__ import annotations

import base64
import json
import zlib
from datetime import timedelta
from pathlib import Path

import pytest

from allod.agent.invites import read_invite
from allod.errors import AllodError, Conflict, InvalidInput, Refused, Unavailable, Untrusted
from allod.testing.link import SimulatedDevice, SimulatedTransport
from allod.testing.repository import RepositorySimulator, TestOwner
from allod.trust.binding import verify_binding
from allod.wire.trust import Transfer


@pytest.fixture
def fleet() -> RepositorySimulator:
    return RepositorySimulator()


@pytest.fixture
def device(tmp_path: Path, fleet: RepositorySimulator) -> SimulatedDevice:
    return SimulatedDevice(tmp_path / "device", fleet)


def roots_of(fleet: RepositorySimulator):
    return lambda version: fleet.files.get(f"tuf/{version}.root.json")


def test_binding_offline_leaves_a_record_that_anyone_can_check(device, fleet) -> None:
    """No network: bound, with floors of the invite; the record is signed by invite and device."""
    bound = device.bind(fleet.invite(), online=False)
    assert bound.groups == ("kitchen",)
    assert not bound.handed_in
    assert device.bound == bound
    record = (device.directory / "binding" / "record.json").read_bytes()
    binding = verify_binding(record, roots_of(fleet)).value
    assert (binding.device, binding.record.epoch) == (bound.device, 1)
    assert binding.record.facts == {"device.name": "toaster"}
    assert not device.transport.posted


def test_binding_online_hands_the_record_in(device, fleet) -> None:
    """The server has the record before the device says that it is bound."""
    bound = device.bind(fleet.invite())
    assert bound.handed_in
    assert [path for path, _ in device.transport.posted] == ["bindings"]


def test_a_fleet_that_cannot_be_reached_does_not_stop_binding(device, fleet) -> None:
    """Online was tried; the record waits, and goes with the next contact."""
    device.transport.down = True
    assert not device.bind(fleet.invite()).handed_in


def test_the_secret_is_burnt(device, fleet) -> None:
    """No file of the state directory holds the invite's secret afterwards."""
    invite = fleet.invite()
    secret = json.loads(invite)["secret"]
    device.bind(invite)
    for file in device.directory.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert secret.encode() not in data
            assert base64.b64decode(secret) not in data
            assert base64.b64encode(invite)[:200] not in data


def test_files_are_private(device, fleet) -> None:
    """Nobody else reads keys, floors and bindings."""
    device.bind(fleet.invite())
    for room in ("identity", "binding", "floors", "tuf", "secrets", "accepted"):
        directory = device.directory / room
        assert directory.stat().st_mode & 0o077 == 0
        assert all(file.stat().st_mode & 0o077 == 0 for file in directory.iterdir())


def short(invite: bytes) -> str:
    """The URL form."""
    document = json.loads(invite)
    document.pop("root", None)
    document.pop("trust", None)
    packed = base64.urlsafe_b64encode(zlib.compress(json.dumps(document).encode()))
    return "allod:" + packed.decode().rstrip("=")


def test_binding_by_url_fetches_the_root_that_it_names(device, fleet) -> None:
    """The short form needs the network for the root, whose hash it holds."""
    bound = device.bind(read_invite(short(fleet.invite())))
    assert bound.fleet == fleet.anchor.fleet


def test_binding_by_url_refuses_another_root(device, fleet) -> None:
    """A server that gives another root binds nobody."""
    fleet.tamper["tuf/1.root.json"] = lambda data: (
        RepositorySimulator(TestOwner("stranger")).first_root
    )
    with pytest.raises(Untrusted) as caught:
        device.bind(read_invite(short(fleet.invite())))
    assert caught.value.code == "wrong-root"
    assert device.bound is None


def test_binding_by_url_offline_says_what_would_help(device, fleet) -> None:
    """Without network the file form is needed."""
    with pytest.raises(Unavailable) as caught:
        device.bind(read_invite(short(fleet.invite())), online=False)
    assert caught.value.code == "root-needed"


@pytest.mark.parametrize("cut", [1, 10, 100, -1, -20])
def test_a_url_that_was_not_copied_whole_is_refused(fleet, cut: int) -> None:
    """Missing signs are noticed, whatever they are."""
    url = short(fleet.invite())
    with pytest.raises(InvalidInput) as caught:
        read_invite(url[:cut] if cut > 6 or cut < 0 else "allod:" + "A" * cut)
    assert caught.value.code == "bad-invite"


def test_a_url_is_not_unpacked_without_end() -> None:
    """A small URL that unpacks to a great deal is refused before it does."""
    bomb = base64.urlsafe_b64encode(zlib.compress(b" " * 50_000_000)).decode()
    with pytest.raises(InvalidInput) as caught:
        read_invite("allod:" + bomb)
    assert caught.value.code == "bad-invite"


def test_an_expired_invite_is_refused(device, fleet) -> None:
    """By the device's clock, or by the floor of the invite where the clock is behind."""
    invite = fleet.invite(expires=fleet.now + timedelta(days=1))
    device.clock.wall += timedelta(days=2)
    with pytest.raises(Refused) as caught:
        device.bind(invite)
    assert caught.value.code == "invite-expired"
    assert device.bound is None


def test_every_altered_field_of_an_invite_is_refused(device, fleet) -> None:
    """One changed sign anywhere in what was signed, or in the signature, and nothing is bound."""
    document = json.loads(fleet.invite())
    signed = json.loads(base64.b64decode(document["invite"]["payload"]))
    changes = {"groups": ["attic"], "uses": 99, "expires": "2099-01-01T00:00:00Z", "name": "other"}
    changes |= {"fleet": "0" * 64, "id": "other", "locations": []}
    for name, value in changes.items():
        payload = base64.b64encode(json.dumps({**signed, name: value}).encode()).decode()
        altered = {**document, "invite": {**document["invite"], "payload": payload}}
        with pytest.raises((Untrusted, InvalidInput)):
            device.bind(json.dumps(altered).encode())
    assert device.bound is None


def test_a_revoked_invite_is_refused_online_and_leaves_nothing(device, fleet) -> None:
    """`fleet.json` is asked where it can be had."""
    invite = fleet.invite(id="taken-back")
    fleet.set_fleet(revoked_invites=["taken-back"])
    with pytest.raises(Refused) as caught:
        device.bind(invite)
    assert caught.value.code == "invite-revoked"
    assert device.bound is None
    assert device.binder(online=False).resume() is None


def test_a_server_that_refuses_leaves_the_device_unbound(device, fleet) -> None:
    """Too many uses, counted at admission: the code is the server's own."""
    device.transport.answer = Refused("invite-used-up", "cannot take another device")
    with pytest.raises(Refused) as caught:
        device.bind(fleet.invite())
    assert caught.value.code == "invite-used-up"
    assert device.bound is None
    device.transport.answer = None
    assert device.bind(fleet.invite()).epoch == 1


def test_a_bound_device_says_so(device, fleet) -> None:
    """The same fleet again is a conflict, and changes nothing."""
    bound = device.bind(fleet.invite())
    with pytest.raises(Conflict) as caught:
        device.bind(fleet.invite(groups=["attic"], id="second"))
    assert caught.value.code == "already-bound"
    assert device.bound == bound


def test_unbinding_ends_the_identity_and_is_declared(device, fleet) -> None:
    """Same machine, new device; its record says that a binding was ended here."""
    first = device.bind(fleet.invite())
    (device.directory / "secrets" / "x").mkdir()
    (device.directory / "packages" / "generic~me~toaster").mkdir()
    device.binder().unbind()
    assert device.bound is None
    assert not list((device.directory / "identity").iterdir())
    assert not list((device.directory / "secrets").iterdir())
    assert (device.directory / "packages" / "generic~me~toaster").is_dir()  # it runs on
    with pytest.raises(Conflict):
        device.binder().unbind()
    second = device.bind(fleet.invite(id="next"))
    assert second.device != first.device
    record = (device.directory / "binding" / "record.json").read_bytes()
    facts = verify_binding(record, roots_of(fleet)).value.record.facts
    assert facts["binding.unbound-before"] == "1"


def test_a_device_that_was_signed_over_goes_to_the_next_owner(device, fleet, tmp_path) -> None:
    """Root's trust statement names device and fleet: then, and only then, with the epoch raised."""
    second = RepositorySimulator(TestOwner("second"))
    bound = device.bind(fleet.invite())
    device.accept()
    with pytest.raises(Untrusted) as caught:
        device.bind(second.invite(), online=False)
    assert caught.value.code == "already-bound"
    until = (fleet.now + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    fleet.add_statement(
        transfers=[Transfer(devices=[bound.device], to=second.anchor.fleet, until=until)]
    )
    assert device.accept().fresh
    device.meet(second)
    moved = device.bind(second.invite(groups=["hall"]))
    assert (moved.device, moved.epoch, moved.fleet) == (bound.device, 2, second.anchor.fleet)
    assert device.accept().fresh
    with pytest.raises(AllodError):
        device.bind(fleet.invite(id="back"), online=False)


def test_a_surplus_device_is_told_and_stays_unbound(device, fleet) -> None:
    """The server counts the uses; it keeps the record, and the next attempt is another device."""
    posted = []

    def post(path: str, body: bytes) -> bytes:
        posted.append(json.loads(body))
        return json.dumps({"device": "x", "epoch": 1, "surplus": len(posted) == 1}).encode()

    device.transport = SurplusTransport(fleet, post)
    with pytest.raises(Refused) as caught:
        device.bind(fleet.invite())
    assert caught.value.code == "invite-surplus"
    assert device.bound is None
    assert device.bind(fleet.invite(id="another")).handed_in
    first, second = (
        json.loads(base64.b64decode(binding["record"]["payload"])) for binding in posted
    )
    assert first["device"] != second["device"]  # no two records of one device and epoch


class SurplusTransport(SimulatedTransport):
    """A server that answers as told."""

    def __init__(self, source: RepositorySimulator, post) -> None:
        super().__init__(source)
        self.post = post
