"""Attack 60, at the trust level: the owner's machine is shown an old base to sign upon."""

from __future__ import annotations

import pytest
from tests.attacks.trust_world import World

from allod.errors import Untrusted
from allod.testing.client import SimulatedClient
from allod.trust.authoring import RepositoryDraft
from allod.wire.codec import encode
from allod.wire.trust import ProviderDocument


def test_attack_60_the_owners_floors_refuse_the_base_without_the_revocation() -> None:
    """A provider was distrusted; the server, with all online keys, shows the day before."""
    world = World.make()
    owner = SimulatedClient(world.sim)
    owner.drive(owner.descend().load_all())
    before = dict(world.sim.roles)
    provider = ProviderDocument(
        fleet=world.sim.fleet, provider="me", keys=[], namespaces=[], distrusted="leaked"
    )
    world.sim.set_target("providers/me.json", encode(provider))
    repository = owner.descend()
    assert RepositoryDraft.from_repository(repository).target("providers/me.json") is not None
    world.attacker.show({"targets": before["targets"]})
    with pytest.raises(Untrusted) as caught:
        owner.descend()
    assert caught.value.code == "rollback"
