"""Attack 60, with the log: what was published since stands there, also for who never saw it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.attacks.trust_world import World

from allod.errors import Unavailable
from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient
from allod.trust.authoring import RepositoryDraft
from allod.wire.codec import encode
from allod.wire.trust import ProviderDocument


def revoked(world: World) -> bytes:
    """A provider was distrusted; the server, with all online keys, shows the day before."""
    before = world.sim.roles["targets"]
    provider = ProviderDocument(
        fleet=world.sim.fleet, provider="me", keys=[], namespaces=[], distrusted="leaked"
    )
    world.sim.set_target("providers/me.json", encode(provider))
    world.attacker.show({"targets": before})
    return before


def test_attack_60_a_new_machine_gets_no_old_base() -> None:
    """No floors at all: the log alone says that there is a newer version, within an hour as
    'publishing', then as 'withheld'.
    """
    world = World.make(AuthorityLog())
    revoked(world)
    owner = SimulatedClient(world.sim)
    with pytest.raises(Unavailable) as caught:
        owner.descend()
    assert caught.value.code == "publishing"
    with pytest.raises(Unavailable) as caught:
        owner.descend(world.sim.now + timedelta(hours=2))
    assert caught.value.code == "withheld"


def test_attack_60_without_a_log_it_would() -> None:
    """What the log is for: without one the old base is signed, unexpired, and all there is."""
    world = World.make()
    revoked(world)
    base = RepositoryDraft.from_repository(SimulatedClient(world.sim).descend())
    assert base.target("providers/me.json") is not None
