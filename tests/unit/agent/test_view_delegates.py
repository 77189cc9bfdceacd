"""What delegates say is as durable on a device as the owner's word."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from tests.unit.trust.test_delegates import wanted
from tests.unit.trust.test_following import ACME, KITCHEN, LAMP, STABLE, says

from allod.agent.twin import TwinFile
from allod.agent.view import load_view, save_view
from allod.domain.delegation import Delegate
from allod.domain.ids import Purl, group_scope
from allod.domain.terms import Lease, Soak, Windows
from allod.testing.authority import AuthorityLog
from allod.testing.delegations import Delegating
from allod.testing.link import SimulatedDevice
from allod.testing.repository import RepositorySimulator
from allod.trust.channels import ENVELOPE_CAP
from allod.trust.dsse import make_envelope
from allod.wire.channel import checkpoint_path
from allod.wire.codec import encode
from allod.wire.envelope import CHANNEL

_PACKAGES = 385  #: that fit into a channel's document, if its provider leaves out what they can


def delegated(tmp_path: Path) -> tuple[Delegating, SimulatedDevice]:
    """A device with an operator, a channel, approvals, and a witnessed log."""
    log = AuthorityLog(witnesses=1)
    world = Delegating(RepositorySimulator(log=log))
    world.set_provider(ACME)
    world.set_people(anna=("qa",))
    world.grant("ops", [KITCHEN], terms=[Soak(60), Lease(3600)])
    world.grant("acme", [KITCHEN], ["pkg:generic/acme/*"], follow=STABLE, terms=[Windows(())])
    world.set_manager(KITCHEN, "pkg:generic/acme/*", "acme")
    garden = group_scope("garden")
    world.set_manager(garden, LAMP, "ops")
    world.grant("spare", [garden])
    says(world, 1, "1.0")
    evidence = log.checkpoint(world.fleet.now).encode()
    world.fleet.files[checkpoint_path("acme", "stable", 1)] = evidence
    device = SimulatedDevice(tmp_path / "device", world.fleet)
    device.bind(world.fleet.invite(groups=["kitchen", "garden"]))
    return world, device


def test_delegates_come_back_from_the_disk_as_they_were_accepted(tmp_path: Path) -> None:
    """Delegation and terms, documents with verified approvals, the channel and since when."""
    world, device = delegated(tmp_path)
    garden = group_scope("garden")
    world.grant("garden-ops", [garden])
    world.set_manager(garden, LAMP, "garden-ops")
    entry = world.approve("anna", "qa", garden, LAMP, wanted(), author="garden-ops")
    world.order("garden-ops", garden, {Purl(LAMP): entry})
    view = device.accept().view
    assert view is not None
    stored = load_view(device.state.accepted)
    assert stored == view
    said = stored.delegates["garden-ops"].documents[garden].packages[LAMP]
    assert [one.person for one in said.approved] == ["anna"]
    channel = stored.delegates["acme"].channel
    assert channel is not None
    assert channel.seen_since is not None
    assert stored.witnessed is not None
    assert stored.delegate_authorities["acme", KITCHEN].delegation == "acme"


def test_what_stands_is_not_lost_without_network(tmp_path: Path) -> None:
    """The view of before, with its delegates, while nothing newer can be had."""
    world, device = delegated(tmp_path)
    view = device.accept().view
    assert view is not None
    device.transport.down = True
    world.fleet.pass_time(timedelta(days=1))
    standing = device.accept()
    assert not standing.fresh
    assert standing.view is not None
    assert standing.view.delegates == view.delegates


def test_a_view_of_before_there_were_delegates_still_loads(tmp_path: Path) -> None:
    """The durable form only grew."""
    _, device = delegated(tmp_path)
    view = device.accept().view
    assert view is not None
    save_view(device.state.accepted, view)
    twin = TwinFile(device.state.accepted, "view")
    content = twin.load()
    assert content is not None
    old = json.loads(content.data)
    for name in ("delegates", "gates", "witnessed"):
        del old[name]
    twin.save(json.dumps(old).encode())
    stored = load_view(device.state.accepted)
    assert stored is not None
    assert (stored.delegates, stored.gates, stored.witnessed) == ({}, {}, None)
    assert stored.documents == view.documents


def test_a_delegate_without_a_word_is_one_without_a_word(tmp_path: Path) -> None:
    """A delegation whose holder published nothing is stored as that."""
    _, device = delegated(tmp_path)
    device.accept()
    stored = load_view(device.state.accepted)
    assert stored is not None
    ops = stored.delegates["ops"]
    assert isinstance(ops, Delegate)
    assert (ops.documents, ops.channel) == ({}, None)


def test_no_channel_that_is_accepted_is_too_odd_to_be_kept(tmp_path: Path) -> None:
    """As long as it may be with defaults left out, and as old: nothing stops the owner's word."""
    world, device = delegated(tmp_path)
    said = {"version": "1", "digest": "sha256:" + "0" * 64}
    payload = {
        "type": "allod.channel",
        "format": 1,
        "provider": "acme",
        "channel": "stable",
        "sequence": 2,
        "at": "0001-01-01T00:00:00Z",
        "expires": "9999-12-31T23:59:59Z",
        "packages": {f"pkg:generic/acme/{n:03d}": said for n in range(_PACKAGES)},
    }
    envelope = make_envelope(encode(payload), CHANNEL, ACME.keys)
    raw = encode(envelope)
    assert len(raw) < ENVELOPE_CAP
    world.publish_channel(raw)
    view = device.accept().view
    assert view is not None
    channel = view.delegates["acme"].channel
    assert channel is not None
    assert len(channel.packages) == _PACKAGES
    assert load_view(device.state.accepted) == view
