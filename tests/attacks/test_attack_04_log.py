"""Attack 4 with a log: roles of two times, mixed for a device that has no floors of its own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.attacks.trust_world import DEVICE, OWN, World, wants

from allod.domain.desired import DeviceRecord, StateDocument
from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient
from allod.trust.metadata import BINS


def _mixed(log: AuthorityLog | None, role: str) -> World:
    """The owner lifted nothing and tightened: the device is held; the server shows the time before.

    The old role (`devices`, or the device's bin) stands beside the newest `targets`, all signed, under
    a new snapshot. The device is new: no floor of its own says that it is old.
    """
    world = World.make(log)
    free = StateDocument(world.sim.fleet, OWN, device=DeviceRecord(1))
    world.sim.set_state(free)
    if role == "bin":
        role = next(
            name
            for name, data in world.sim.roles.items()
            if name.startswith(BINS) and OWN.name.encode() in data
        )
    old = world.sim.roles[role]
    draft = world.sim.draft()
    draft._dirty.add("devices")
    world.sim.publish(draft)
    world.sim.set_state(StateDocument(world.sim.fleet, OWN, hold="stay", device=DeviceRecord(1)))
    world.sim.set_state(wants(world.sim, "2.0"))
    world.client = SimulatedClient(world.sim, device=DEVICE)
    world.attacker.show({role: old})
    return world


@pytest.mark.parametrize("role", ["devices", "bin"])
def test_attack_04_an_old_role_beside_newer_ones_is_not_the_newest_in_the_log(role: str) -> None:
    """With a log nobody is too new to know: the old file is waited over, and then called withheld."""
    world = _mixed(AuthorityLog(), role)
    assert world.refusal() == "publishing"
    world.sim.pass_time(timedelta(hours=1, seconds=1))
    world.attacker.show({})
    assert world.refusal() == "withheld"
    world.sim.refresh({name: data for name, data in world.sim.roles.items() if name != "root"})
    assert world.client.accept().documents[OWN].hold == "stay"


def test_attack_04_without_a_log_a_new_device_takes_it() -> None:
    """What the log changes: without one the mix is signed, unexpired, and above every floor."""
    world = _mixed(None, "bin")
    assert world.client.accept().documents[OWN].hold is None
