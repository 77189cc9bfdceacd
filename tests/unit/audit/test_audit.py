"""An audit of a fleet: what an honest one proves, and what each lie is found as."""

from __future__ import annotations

from pathlib import Path

from tests.unit.audit.fleet_source import audited


def test_an_honest_fleet_has_no_findings(tmp_path: Path) -> None:
    """Changes, bindings and reports later, nothing is found; the second time reads what is new."""
    auditor = audited(tmp_path)
    rig = auditor.rig
    auditor.publish("one")
    device = rig.bound()
    for kind in ("change", "heartbeat", "change"):
        rig.server.receive_report(rig.fleet, device.id, device.report(kind=kind))
    first = auditor.audit()
    assert first.findings == []
    assert [log.proved for log in first.logs] == [True, True]
    assert first.counts["reports"] == 3
    assert first.counts["files"] > 16
    auditor.publish("two")
    second = auditor.audit()
    assert second.findings == []
    assert [log.fresh for log in second.logs] == [1, 0]
    assert auditor.audit(scratch=True).findings == []
