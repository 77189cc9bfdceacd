"""The log as the agent keeps it: from the invite on, over restarts, in floors, view and evidence."""

from __future__ import annotations

from pathlib import Path

from tests.attacks.trust_world import KITCHEN, wants

from allod.agent.floors_store import FloorsStore
from allod.testing.authority import AuthorityLog
from allod.testing.link import SimulatedDevice
from allod.testing.repository import RepositorySimulator
from allod.tlog.checkpoint import open_checkpoint
from allod.tlog.fork import parse_fork
from allod.trust.fork_evidence import EVIDENCE


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


def test_evidence_stands_in_each_report_until_another_log_follows(tmp_path: Path) -> None:
    """The proof goes to the owner with the alarm, also after the server shows the old log again."""
    sim = _fleet()
    fork = sim.snapshot_state()
    device = SimulatedDevice(tmp_path, sim)
    device.bind(sim.invite())
    sim.set_state(wants(sim, "2.0"))
    device.accept()
    fork.set_state(wants(fork, "3.0"))
    device.meet(fork)
    device.accept()
    device.meet(sim)
    assert sim.log is not None
    key = sim.log.signer.key
    for _ in range(2):
        found = device.accept()
        assert found.fresh
        assert found.view is not None
        (alarm,) = found.view.alarms
        assert alarm.code == "log-fork"
        parse_fork((alarm.evidence or "").encode()).verify(key.name, [key])
    sim.log.succeed()
    sim.log_everything()
    sim.add_statement()
    sim.set_state(wants(sim, "4.0"))
    view = device.accept().view
    assert view is not None
    assert view.alarms == ()


def test_what_is_not_served_is_reported_as_unproven(tmp_path: Path) -> None:
    """Entries of a third log, and no hashes: the owner gets both checkpoints all the same."""
    sim = _fleet()
    fork = sim.snapshot_state()
    device = SimulatedDevice(tmp_path, sim)
    device.bind(sim.invite())
    sim.set_state(wants(sim, "2.0"))
    device.accept()
    fork.set_state(wants(fork, "3.0"))
    fork.set_state(wants(fork, "3.1"))
    for path in [path for path in fork.files if "/tile/" in path]:
        if "/entries/" in path:
            fork.files[path] = fork.files[path].replace(b"allod", b"other")
        else:
            del fork.files[path]
    device.meet(fork)
    view = device.accept().view
    assert view is not None
    alarm = next(one for one in view.alarms if one.evidence is not None)
    assert alarm.code == "log-fork-unproven"
    assert sim.log is not None
    key = sim.log.signer.key
    assert len(parse_fork((alarm.evidence or "").encode()).checkpoints(key.name, [key])) == 2


def test_the_newest_checkpoint_is_reported_as_the_log_signed_it(tmp_path: Path) -> None:
    """The log's own hand, without the witnesses': it can be held against the log."""
    sim = _fleet()
    device = SimulatedDevice(tmp_path, sim)
    device.bind(sim.invite())
    view = device.accept().view
    assert view is not None
    assert sim.log is not None
    key = sim.log.signer.key
    signed = open_checkpoint(view.trust.notes[key.name].encode(), key.name, [key])
    assert len(signed.note.signatures) == 1
    assert view.trust.logs[key.name].split()[0] == str(signed.size)


def test_a_log_that_began_elsewhere_is_not_read(tmp_path: Path) -> None:
    """`genesis` is the digest of the empty checkpoint, or the statement names no log of this fleet."""
    sim = _fleet()
    device = SimulatedDevice(tmp_path, sim)
    device.bind(sim.invite())
    assert sim.log is not None
    sim.log.genesis = "sha256:" + "0" * 64
    sim.add_statement()
    found = device.accept()
    assert found.failure is not None
    assert found.failure.code == "wrong-log"
