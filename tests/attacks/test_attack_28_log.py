"""Attack 28: a statement is dated back, to before the key that signs it was taken away."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.unit.audit.fleet_source import audited
from tests.unit.audit.simulated_fleet import SimulatedFleet

from allod.testing.repository import key_from
from allod.wire.codec import instant


def test_attack_28_the_place_in_the_log_decides(tmp_path: Path) -> None:
    """A taken key signs a file whose note says that it is older than the rotation: the file and its
    entry are good signatures, and the entry stands behind the rotation, so it does not count.
    """
    fleet = SimulatedFleet(tmp_path)
    thief = fleet.sim.snapshot_state()
    fleet.sim.pass_time(timedelta(days=30))
    fleet.sim.rotate_targets([key_from("targets 2")])
    assert fleet.codes() == []
    assert thief.now < fleet.sim.now
    made = thief.set_fleet(revoked_invites=["dated back"])
    assert thief.log is not None
    fleet.log.entries.append(thief.log.entries[-1])
    fleet.sim.publish_log()
    assert made.roles
    (finding,) = fleet.audit().findings
    assert (finding.code, finding.subject) == ("log-entry-ignored", "targets")
    assert finding.index == len(fleet.log.entries) - 1

    before = SimulatedFleet(tmp_path / "before")
    before.sim.set_fleet(revoked_invites=["dated back"])
    assert before.codes() == [], "the same, logged while the key held the role, counts"


def test_attack_28_no_time_that_a_device_claims_orders_anything(tmp_path: Path) -> None:
    """Reports whose clocks run backwards are one chain, by their numbers and the log's order."""
    auditor = audited(tmp_path)
    rig = auditor.rig
    device = rig.bound()
    now = rig.clock.moment
    for days in (0, -400, 400, -1):
        raw = device.report(at=instant(now + timedelta(days=days)))
        rig.server.receive_report(rig.fleet, device.id, raw)
    result = auditor.audit()
    assert result.findings == []
    assert result.counts["reports"] == 4
