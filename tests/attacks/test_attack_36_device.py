"""Attack 36 on the device: a log that its key forked needs a quorum, and convicts itself."""

from __future__ import annotations

from tests.attacks.trust_world import World, wants

from allod.testing.authority import AuthorityLog
from allod.tlog.checkpoint import CHECKPOINT_CAP
from allod.tlog.fork import parse_fork
from allod.trust.fork_evidence import EVIDENCE


def test_attack_36_a_device_refuses_a_fork_and_keeps_both_checkpoints() -> None:
    """Even with every witness bribed: what the device saw is not in the other log."""
    world = World.make(AuthorityLog(witnesses=2, quorum=2))
    fork = world.sim.snapshot_state()
    world.sim.set_state(wants(world.sim, "2.0"))
    assert world.wanted() == "2.0"
    assert fork.log is not None
    fork.set_state(wants(fork, "3.0"))
    fork.set_state(wants(fork, "3.1"))
    world.client.source = fork
    assert world.refusal() == "log-consistency"
    kept = world.client.cached[EVIDENCE]
    assert len(kept) < 2 * CHECKPOINT_CAP
    short, long = parse_fork(kept).verify(fork.log.origin, [fork.log.signer.key])
    assert short.size + 1 == long.size
    fork.log.cosigners = fork.log.cosigners[:1]
    fork.publish_log()
    assert world.refusal() == "no-quorum"
