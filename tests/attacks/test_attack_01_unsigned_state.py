"""Attack 1: the server, with all online keys, serves state that the owner did not sign."""

from __future__ import annotations

import hashlib

import pytest
from tests.attacks.trust_world import KITCHEN, World, wants
from tuf.api.metadata import TargetFile

from allod.errors import Untrusted
from allod.testing.repository import key_from
from allod.trust.metadata import read
from allod.wire.desired import encode_state


@pytest.mark.parametrize("how", ["unsigned", "wrong-key", "online-key", "altered"])
def test_attack_01_forged_state_is_refused_as_auth(how: str) -> None:
    """However the attacker signs a changed targets file, the device answers `auth` and keeps."""
    world = World.make()
    floors = world.client.floors
    metadata = read(world.sim.roles["targets"], "targets")
    evil = encode_state(wants(world.sim, "6.6.6"))
    metadata.signed.version += 1
    metadata.signed.targets[KITCHEN.target_path] = TargetFile.from_data(
        KITCHEN.target_path, evil, ["sha256"]
    )
    signers = {
        "unsigned": [],
        "wrong-key": [key_from("stranger")],
        "online-key": [world.sim.owner.snapshot, world.sim.owner.timestamp],
        "altered": [],
    }[how]
    if how != "altered":
        metadata.signatures.clear()
    for signer in signers:
        metadata.sign(signer, append=True)
    digest = hashlib.sha256(evil).hexdigest()
    world.sim.files[f"tuf/targets/state/groups/{digest}.kitchen.json"] = evil
    world.attacker.show({"targets": metadata.to_bytes()})
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "auth"
    assert world.client.floors.roles["targets"] == floors.roles["targets"]


def test_attack_01_altered_document_is_refused() -> None:
    """Other bytes under the signed digest are refused before they are read."""
    world = World.make()
    world.sim.set_state(wants(world.sim, "2.0"))
    name = next(p for p in reversed(world.sim.files) if p.endswith(".kitchen.json"))
    world.sim.files[name] = world.sim.files[name].replace(b"2.0", b"6.6")
    with pytest.raises(Untrusted) as caught:
        world.client.accept()
    assert caught.value.code == "mix-and-match"
