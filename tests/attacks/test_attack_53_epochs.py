"""Attack 53, at the trust level: what was signed for an earlier binding, or for a hidden later one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.attacks.trust_world import DEVICE, OWN, World

from allod.domain.desired import DeviceRecord, StateDocument
from allod.domain.ids import FleetId, GroupName
from allod.errors import Untrusted
from allod.trust.statements import check_transfer
from allod.wire.codec import instant
from allod.wire.trust import Transfer

BUYER = FleetId("b" * 64)


def record(world: World, epoch: int) -> StateDocument:
    """The owner moves the device to the cellar, for its binding number `epoch`."""
    return StateDocument(
        world.sim.fleet, OWN, device=DeviceRecord(epoch, groups=(GroupName("cellar"),))
    )


def test_attack_53_a_document_of_an_earlier_binding_is_past() -> None:
    """It says nothing to the device that was bound again: its groups are its invite's."""
    world = World.make()
    world.sim.set_state(record(world, 1))
    assert world.client.accept().groups == ("cellar",)
    world.client.epoch, world.client.accepted_groups = 2, None
    view = world.client.accept()
    assert view.groups == ("kitchen",)
    assert OWN not in view.documents
    assert world.client.floors.epoch == 2


def test_attack_53_a_document_of_a_later_binding_is_an_alarm() -> None:
    """The owner knows of a binding that this device never made: hold, and say so."""
    world = World.make()
    world.sim.set_state(record(world, 2))
    view = world.client.accept()
    assert [alarm.code for alarm in view.alarms] == ["epoch-ahead"]
    assert [refusal.code for refusal in view.refusals] == ["epoch-ahead"]
    assert view.documents[OWN].hold is not None
    assert world.client.floors.epoch == 1


def test_attack_53_only_the_present_owner_signs_a_device_over() -> None:
    """Without a transfer, for another device, to another fleet, or too late: already bound."""
    world = World.make()
    now = world.sim.now
    until = instant(now + timedelta(days=1))
    world.sim.add_statement(transfers=[Transfer(devices=[DEVICE], to=BUYER, until=until)])
    statement = world.client.descend().statement
    check_transfer(statement, DEVICE, BUYER, now)
    for device, fleet, when, said in [
        (DEVICE, BUYER, now, None),
        (DEVICE, FleetId("c" * 64), now, statement),
        (DEVICE, BUYER, now + timedelta(days=2), statement),
        ("0" * 64, BUYER, now, statement),
    ]:
        with pytest.raises(Untrusted) as caught:
            check_transfer(said, device, fleet, when)  # type: ignore[arg-type]
        assert caught.value.code == "already-bound"
