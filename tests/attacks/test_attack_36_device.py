"""Attack 36 on the device: a log that its key forked needs a quorum, and convicts itself."""

from __future__ import annotations

from tests.attacks.trust_world import World, wants

from allod.testing.authority import AuthorityLog
from allod.tlog.checkpoint import CHECKPOINT_CAP, open_checkpoint
from allod.trust.authority_log import EVIDENCE


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
    blank = b"\n\n"
    parts = kept.split(blank)
    halves = (blank.join(parts[:2]) + b"\n", blank.join(parts[2:]))
    key = fork.log.signer.key
    short, long = (open_checkpoint(half, fork.log.origin, [key]) for half in halves)
    assert (short.size + 1, short.root == long.root) == (long.size, False)
    fork.log.cosigners = fork.log.cosigners[:1]
    fork.publish_log()
    assert world.refusal() == "no-quorum"
