"""Attack 56: the server writes group, status and epoch into its own records."""

from __future__ import annotations

import pytest
from tests.attacks.trust_world import OWN, World
from tuf.api.metadata import TargetFile

from allod.domain.desired import DeviceRecord, StateDocument
from allod.domain.ids import GroupName
from allod.errors import Untrusted
from allod.trust.metadata import BINS, read
from allod.wire.desired import encode_state


def test_attack_56_a_device_document_of_the_server_moves_nobody() -> None:
    """Groups, status and epoch come from the owner's keys: the server's document is refused."""
    world = World.make()
    role = next(r for r in world.client.floors.roles if r.startswith(BINS))
    record = DeviceRecord(2**62, "retired", (GroupName("cellar"),))
    evil = encode_state(StateDocument(world.sim.fleet, OWN, device=record))
    metadata = read(world.sim.roles[role], role)
    metadata.signed.version += 1
    metadata.signed.targets[OWN.target_path] = TargetFile.from_data(
        OWN.target_path, evil, ["sha256"]
    )
    metadata.sign(world.sim.owner.snapshot)
    world.attacker.show({role: metadata.to_bytes()})
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "auth"
    assert world.client.floors.epoch == 1


def test_attack_56_without_a_document_the_groups_are_the_invites() -> None:
    """There is no other source of groups, and no answer of the server is asked for them."""
    world = World.make()
    view = world.client.accept()
    assert view.groups == ("kitchen",)
    assert view.own_groups is None
    assert not view.retired
    assert not [path for path in world.sim.asked if "devices/" in path and "tuf" not in path]
