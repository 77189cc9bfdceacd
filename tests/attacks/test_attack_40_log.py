"""Attack 40, seen by who audits: a disk was copied, and two machines speak with one key."""

from __future__ import annotations

import copy
from pathlib import Path

from tests.unit.audit.fleet_source import audited

from allod.audit.activity import Place


def test_attack_40_two_reports_with_one_number(tmp_path: Path) -> None:
    """The copy goes on from where the original was: both reports are logged, and it is an alarm."""
    auditor = audited(tmp_path)
    rig = auditor.rig
    device = rig.bound()
    rig.server.receive_report(rig.fleet, device.id, device.report())
    assert auditor.codes() == []
    clone = copy.copy(device)
    rig.server.receive_report(rig.fleet, device.id, device.report(facts={"device.name": "one"}))
    rig.server.receive_report(rig.fleet, device.id, clone.report(facts={"device.name": "two"}))
    findings = auditor.audit().findings
    assert [one.code for one in findings] == ["device-cloned"]
    assert findings[0].subject == device.id
    assert findings[0].index is not None


def test_attack_40_two_chains_from_one_past(tmp_path: Path) -> None:
    """The copy uses another number, but follows a report that another one follows already."""
    auditor = audited(tmp_path)
    rig = auditor.rig
    device = rig.bound()
    rig.server.receive_report(rig.fleet, device.id, device.report())
    clone = copy.copy(device)
    rig.server.receive_report(rig.fleet, device.id, device.report())
    rig.server.receive_report(rig.fleet, device.id, clone.report(kind="heartbeat", advance=False))
    clone.sequence += 1
    rig.server.receive_report(rig.fleet, device.id, clone.report())
    assert "device-cloned" in auditor.codes()


def test_attack_40_a_chain_that_begins_again(tmp_path: Path) -> None:
    """A disk that was put back to its first day speaks again from there, far behind."""
    auditor = audited(tmp_path)
    rig = auditor.rig
    device = rig.bound()
    rig.server.receive_report(rig.fleet, device.id, device.report())
    old = copy.copy(device)
    for _ in range(40):
        rig.server.receive_report(rig.fleet, device.id, device.report())
    assert auditor.codes() == []
    rig.server.receive_report(rig.fleet, device.id, old.report(facts={"device.name": "old"}))
    assert auditor.codes() == ["device-cloned"]


def test_attack_40_the_server_hides_one_of_the_two(tmp_path: Path) -> None:
    """The log names both; the one that is not shown is said to be missing."""
    auditor = audited(tmp_path)
    rig = auditor.rig
    device = rig.bound()
    clone = copy.copy(device)
    rig.server.receive_report(rig.fleet, device.id, device.report(facts={"device.name": "one"}))
    rig.server.receive_report(rig.fleet, device.id, clone.report(facts={"device.name": "two"}))
    auditor.source.hidden.add((Place(device.id, 1), 1))
    assert auditor.codes() == ["device-cloned", "withheld"]


def test_attack_40_a_replay_is_no_clone(tmp_path: Path) -> None:
    """The same report twice, and one that comes late and fills its gap, accuse nobody."""
    auditor = audited(tmp_path)
    rig = auditor.rig
    device = rig.bound()
    first, second, third = device.report(), device.report(), device.report()
    rig.server.receive_report(rig.fleet, device.id, first)
    rig.server.receive_report(rig.fleet, device.id, third)
    rig.server.receive_report(rig.fleet, device.id, first)
    assert auditor.codes() == ["report-gap"]
    rig.server.receive_report(rig.fleet, device.id, second)
    assert auditor.codes() == []
    assert auditor.codes(scratch=True) == []
