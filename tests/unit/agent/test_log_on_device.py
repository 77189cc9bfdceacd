"""The log as the agent keeps it: from the invite on, over restarts, in floors, view and evidence."""

from __future__ import annotations

from pathlib import Path

from tests.attacks.trust_world import KITCHEN, wants

from allod.agent.floors_store import FloorsStore
from allod.testing.authority import AuthorityLog
from allod.testing.link import SimulatedDevice
from allod.testing.repository import RepositorySimulator
from allod.trust.authority_log import EVIDENCE


def _fleet() -> RepositorySimulator:
    sim = RepositorySimulator(log=AuthorityLog(witnesses=2, quorum=2))
    sim.set_state(wants(sim, "1.0"))
    return sim


def test_a_device_says_how_far_it_read_the_log(tmp_path: Path) -> None:
    """The report names the newest checkpoint, and each document's entry."""
    sim = _fleet()
    device = SimulatedDevice(tmp_path, sim)
    device.bind(sim.invite())
    view = device.accept().view
    assert view is not None
    assert sim.log is not None
    size = len(sim.log.entries)
    said = view.trust.logs[sim.log.origin]
    assert said.split()[0] == str(size)
    assert view.authorities[KITCHEN].log_index == size - 1


def test_an_invites_checkpoint_is_a_floor_of_the_log(tmp_path: Path) -> None:
    """A device that never looked is not shown a log without what the owner's machine saw."""
    sim = _fleet()
    short = sim.snapshot_state()
    sim.set_state(wants(sim, "2.0"))
    device = SimulatedDevice(tmp_path, sim)
    device.bind(sim.invite())
    device.meet(short)
    found = device.accept()
    assert found.failure is not None
    assert found.failure.code in {"log-consistency", "rollback"}
    device.meet(sim)
    assert device.accept().fresh


def test_a_fork_leaves_evidence_on_the_disk_and_what_was_accepted_stands(tmp_path: Path) -> None:
    """Refused, reported as an alarm, and both checkpoints are kept over a restart."""
    sim = _fleet()
    fork = sim.snapshot_state()
    device = SimulatedDevice(tmp_path, sim)
    device.bind(sim.invite())
    sim.set_state(wants(sim, "2.0"))
    before = device.accept().view
    fork.set_state(wants(fork, "3.0"))
    device.meet(fork)
    found = device.accept()
    assert not found.fresh
    assert found.view is not None
    assert before is not None
    assert found.view.authorities == before.authorities
    assert "log-consistency" in {alarm.code for alarm in found.view.alarms}
    assert FloorsStore(device.state).read(EVIDENCE) is not None
