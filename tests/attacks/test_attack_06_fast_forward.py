"""Attack 6: the online keys sign versions of 2^62."""

from __future__ import annotations

import pytest
from tests.attacks.trust_world import DEVICE, World, wants

from allod.errors import Untrusted
from allod.testing.repository import BUILD_TIME
from allod.trust.online import snapshot_of, timestamp_of
from allod.wire.trust import Repair

HUGE = 2**62


def restart(world: World) -> None:
    """Snapshot and timestamp begin at 51, as if the attacker had never signed."""
    roles = {
        role: data for role, data in world.sim.roles.items() if role not in {"root", "snapshot"}
    }
    owner, now = world.sim.owner, world.sim.now
    snapshot = snapshot_of(None, roles, [owner.snapshot], now, above=50)
    world.sim.files["tuf/51.snapshot.json"] = world.sim.roles["snapshot"] = snapshot
    world.sim.files["tuf/timestamp.json"] = timestamp_of(
        None, snapshot, [owner.timestamp], now, above=50
    )


def test_attack_06_the_owner_repairs_what_the_online_keys_ran_up() -> None:
    """Floors that were driven up fall by a trust statement that names them, and only so."""
    world = World.make()
    world.attacker.show({}, snapshot_version=HUGE, timestamp_version=HUGE)
    world.client.accept()
    assert world.client.floors.roles["snapshot"] == HUGE
    good = {name: version for name, version in world.client.floors.roles.items() if version < HUGE}

    # The owner takes the keys away, and the server starts again from honest versions.
    # That alone lowers nothing.
    world.sim.rotate_online()
    restart(world)
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "rollback"

    # A statement that names other devices changes nothing here.
    world.sim.add_statement(
        repairs=[Repair(roles={"timestamp": 50, "snapshot": 50}, devices=["0" * 64])]
    )
    with pytest.raises(Untrusted):
        world.client.accept()
    world.sim.add_statement(
        repairs=[Repair(roles={"timestamp": 50, "snapshot": 50}, devices=[DEVICE])]
    )
    assert world.wanted() == "1.0"
    assert world.client.floors.roles["snapshot"] == 51
    for role, version in good.items():
        assert world.client.floors.roles[role] >= version
    # The repair is done once: what is verified since then counts again.
    world.sim.set_state(wants(world.sim, "2.0"))
    assert world.wanted() == "2.0"
    assert world.client.floors.roles["snapshot"] == 52
    assert world.client.floors.time > BUILD_TIME


def test_attack_06_a_snapshot_raises_no_floor_of_the_owners_roles() -> None:
    """That `targets` is at 2^62 counts only once the owner's keys have signed it."""
    world = World.make()
    floor = world.client.floors.roles["targets"]
    world.attacker.show({"targets": world.sim.roles["targets"]}, versions={"targets": HUGE})
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "rollback"
    assert world.client.floors.roles["targets"] == floor
