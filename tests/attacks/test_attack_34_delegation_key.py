"""Attack 34, 33, 28: somebody has a delegate's key, or one of the several that are needed."""

from __future__ import annotations

import pytest
from tests.attacks.delegate_world import DelegateWorld, word
from tests.attacks.trust_world import CELLAR, DEVICE, KITCHEN, World, wants
from tuf.api.metadata import Metadata

from allod.errors import Refused
from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient
from allod.testing.owner import key_from, role_keys
from allod.testing.repository import RepositorySimulator, TestOwner


def test_attack_34_a_thief_of_a_delegates_key_is_a_delegate_and_no_more() -> None:
    """They can order what the delegate could; nothing of the owner's, and not for long."""
    world = DelegateWorld.make(AuthorityLog(witnesses=1))
    world.sign(CELLAR.target_path, world.state(CELLAR, "6.6"))
    world.sign("by/ops/groups/cellar.json", world.state(CELLAR, "6.6", "ops"))
    world.sign("by/ops/groups/kitchen.json", world.state(KITCHEN, "1.6", "ops"))
    assert world.wanted() == "1.6"
    view = SimulatedClient(world.sim, groups=("cellar",)).accept()
    assert view.delegates == {}
    assert "7.0" in str(view.documents[CELLAR])
    stolen = world.sim.owner.delegates["ops"]
    draft = world.sim.draft()
    draft.revoke_delegation("delegation-ops")
    new = [key_from("ops/new")]
    delegations = draft._delegations()
    world.sim.owner.delegates["ops"] = new
    draft._roles.pop("delegation-ops")
    draft.delegate("delegation-ops", role_keys(new), ["by/ops/*/*"])
    draft._published["delegation-ops"] = 4
    draft.set_target("by/ops/groups/kitchen.json", world.state(KITCHEN, "1.7", "ops"))
    assert delegations.roles is not None
    world.sim.publish(draft)
    assert world.wanted() == "1.7"
    assert world.sim.log is not None
    world.sim.log.sign("delegation-ops", 99, "sha256:" + "6" * 64, stolen)
    world.sim.refresh()
    view = world.client.accept()
    assert [alarm.code for alarm in view.alarms] == ["log-entry-ignored"]
    assert world.wanted(view) == "1.7"


def test_attack_28_an_earlier_date_does_not_help_after_the_revocation() -> None:
    """What counts is the place in the log; the claimed time is nobody's evidence."""
    world = DelegateWorld.make(AuthorityLog(witnesses=1))
    thief = world.sim.snapshot_state()
    world.owner.revoke("ops")
    thief.now -= (thief.now - world.sim.now) * 2  # as if it were before
    thief.owner.delegates = {"ops": world.sim.owner.delegates["ops"]}
    thief.set_target("by/ops/groups/kitchen.json", world.state(KITCHEN, "6.6", "ops"))
    assert thief.log is not None
    assert world.sim.log is not None
    world.sim.log.entries.append(thief.log.entries[-1])
    version = Metadata.from_bytes(thief.roles["delegation-ops"]).signed.version
    name = f"tuf/{version}.delegation-ops.json"
    world.sim.files[name] = thief.files[name]
    world.sim.roles["delegation-ops"] = thief.roles["delegation-ops"]
    world.sim.refresh({"delegation-ops": thief.roles["delegation-ops"]})
    view = world.client.accept()
    assert word(view) is None
    assert "delegation-ops" not in world.client.floors.counted
    assert SimulatedClient(world.sim, device=DEVICE).accept().delegates == {}


def test_attack_33_one_of_two_keys_of_the_owner_signs_nothing() -> None:
    """Two of three have the daily role: one thief makes neither a file nor an entry."""
    three = [key_from(f"daily{number}") for number in range(3)]
    owner = TestOwner(targets=three, targets_threshold=2)
    log = AuthorityLog(witnesses=1)
    sim = RepositorySimulator(owner, log=log)
    sim.set_state(wants(sim, "1.0"))
    client = SimulatedClient(sim, device=DEVICE)
    world = World(sim, client, None)  # type: ignore[arg-type]
    assert world.wanted() == "1.0"
    sim.owner.targets = three[:1]
    with pytest.raises(Refused) as caught:
        sim.set_state(wants(sim, "6.6"))
    assert caught.value.code == "role-incomplete"
    log.sign("targets", 50, "sha256:" + "6" * 64, three[:1])
    sim.refresh()
    view = client.accept()
    assert [alarm.code for alarm in view.alarms] == ["log-entry-ignored"]
    assert "targets" in view.alarms[0].says
    assert world.wanted() == "1.0"


def test_attack_33_one_of_two_keys_of_a_delegate_signs_nothing() -> None:
    """A team of which two have to sign: the file of one is refused, and the owner goes on."""
    team = [key_from("team/a"), key_from("team/b")]
    world = DelegateWorld.make(AuthorityLog(witnesses=1), keys=team, threshold=2)
    world.sim.owner.delegates["ops"] = team[:1]
    draft = world.sim.draft()
    draft._signed("targets").delegations.roles["delegation-ops"].threshold = 1  # type: ignore[union-attr, index]
    draft.set_target("by/ops/groups/kitchen.json", world.state(KITCHEN, "6.6", "ops"))
    publication = draft.sign(world.sim.now, world.sim.owner.signers)
    world.sim.log.sign_roles(publication, world.sim.owner)  # type: ignore[union-attr]
    world.sim.upload(publication)
    view = world.client.accept()
    assert word(view) is None
    assert [one.code for one in view.refusals] == ["auth"]
    assert [alarm.code for alarm in view.alarms] == ["log-entry-ignored"]
    assert KITCHEN in view.documents
