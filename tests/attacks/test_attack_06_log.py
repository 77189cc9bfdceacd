"""Attack 6 with a log: versions that are run up stand in no entry that counts."""

from __future__ import annotations

import pytest
from tests.attacks.test_attack_06_fast_forward import HUGE, restart
from tests.attacks.trust_world import DEVICE, World, wants

from allod.errors import Untrusted
from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient
from allod.testing.repository import key_from
from allod.wire.trust import Repair


def test_attack_06_a_repair_of_online_roles_takes_nothing_from_the_log() -> None:
    """Snapshot and timestamp go back by name; what counted in the log, and its size, stay floors."""
    world = World.make(AuthorityLog(witnesses=1))
    behind = world.sim.snapshot_state()
    world.sim.set_state(wants(world.sim, "2.0"))
    world.attacker.show({}, snapshot_version=HUGE, timestamp_version=HUGE)
    assert world.wanted() == "2.0"
    before = world.client.floors
    world.sim.rotate_online()
    restart(world)
    with pytest.raises(Untrusted):
        world.client.accept()
    repair = Repair(roles={"timestamp": 50, "snapshot": 50}, devices=[DEVICE])
    world.sim.add_statement(repairs=[repair])
    assert world.wanted() == "2.0"
    after = world.client.floors
    assert after.roles["snapshot"] == 51
    assert after.log_sizes > before.log_sizes
    for role in ("targets", "devices"):
        assert after.counted[role].version >= before.counted[role].version
    behind.files["tuf/timestamp.json"] = world.sim.files["tuf/timestamp.json"]
    world.client.source = behind
    assert world.refusal() in {"log-consistency", "withheld", "rollback", "root-withheld"}


def test_attack_06_whoever_has_log_and_online_keys_runs_up_no_role() -> None:
    """`targets` 2^62 in the snapshot, and in the log by keys of nobody: no floor moves, for a device
    that is known and for one that is new; it is reported, and the next change goes through.
    """
    world = World.make(AuthorityLog())
    assert world.sim.log is not None
    for role in ("targets", "devices", "root", "trust"):
        world.sim.log.sign(role, HUGE, "sha256:" + "0" * 64, [key_from("thief")])
    world.sim.publish_log()
    for client in (world.client, SimulatedClient(world.sim, device=DEVICE)):
        view = client.accept()
        assert [alarm.code for alarm in view.alarms] == ["log-entry-ignored"]
        assert max(entry.version for entry in client.floors.counted.values()) < HUGE
        assert max(client.floors.roles.values()) < HUGE
    world.sim.set_state(wants(world.sim, "2.0"))
    assert world.wanted() == "2.0"
