"""What is not as it should be in the activity log, bindings and reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.audit.fleet_source import Auditor, audited

from allod.audit.activity import Place
from allod.testing.server import ServerRig, SimulatedDevice
from allod.testing.server_logs import logged, naming
from allod.wire.log import ReportEntry
from allod.wire.report import TrustState


@dataclass
class Scene:
    """An auditor, and one device that reported twice."""

    auditor: Auditor
    device: SimulatedDevice

    def report(self, **fields: Any) -> bytes:
        """The device reports; the server takes it."""
        raw = self.device.report(**fields)
        self.auditor.rig.server.receive_report(self.auditor.rig.fleet, self.device.id, raw)
        return raw

    @property
    def place(self) -> Place:
        return Place(self.device.id, self.device.epoch)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """See `Scene`."""
    auditor = audited(tmp_path)
    made = Scene(auditor, auditor.rig.bound())
    made.report()
    made.report()
    return made


def test_a_report_that_is_named_and_not_shown(scene: Scene) -> None:
    """The server cannot take back what a device said: the log names it."""
    scene.auditor.source.hidden.add((scene.place, 2))
    (finding,) = scene.auditor.audit().findings
    assert (finding.code, finding.subject) == ("withheld", scene.device.id)


def test_a_report_that_is_shown_and_not_named(scene: Scene) -> None:
    """What carries changes has to be in the log; a heartbeat has not."""
    unlogged = scene.device.report()
    scene.auditor.source.more.append((scene.place, 3, unlogged))
    (finding,) = scene.auditor.audit().findings
    assert finding.code == "unlogged-report"
    scene.auditor.rig.server.receive_report(scene.auditor.rig.fleet, scene.device.id, unlogged)
    scene.auditor.source.more.clear()
    assert scene.auditor.codes(scratch=True) == []
    scene.report(kind="heartbeat")
    assert scene.auditor.codes() == []


def test_a_report_that_comes_while_the_audit_runs(scene: Scene) -> None:
    """It stands in the checkpoint that is served by then, so it is no finding."""
    scene.auditor.audit()
    source = scene.auditor.source
    plain = source.reports
    came: list[bytes] = []

    def reports(place: Place, after: int) -> Any:
        if not came:
            came.append(scene.report())
        return plain(place, after)

    source.reports = reports  # type: ignore[method-assign]
    assert scene.auditor.codes() == []
    assert came


def test_a_report_that_is_not_the_devices(scene: Scene) -> None:
    """One changed bit, and it is another's word: refused, and the true one is missing."""
    ((_, raw),) = [one for one in scene.auditor.source.reports(scene.place, 0) if one[0] == 2]
    scene.auditor.source.hidden.add((scene.place, 2))
    scene.auditor.source.more.append((scene.place, 2, raw.replace(b'"sig":"', b'"sig":"AAAA', 1)))
    assert scene.auditor.codes() == ["report-refused"]


def test_a_gap_in_the_chain(scene: Scene) -> None:
    """A report that never came shows by the one that follows it."""
    scene.device.report()
    scene.report()
    (finding,) = scene.auditor.audit().findings
    assert finding.code == "report-gap"


def test_entries_of_devices_that_are_none(scene: Scene) -> None:
    """Who holds the log's key makes a device up: nothing of it can be verified."""
    rig = scene.auditor.rig
    entry = ReportEntry(
        fleet=rig.fleet, device="d" * 64, epoch=1, sequence=1, previous=None, digest="sha256:" + "0" * 64
    )  # fmt: skip
    rig.server.publications.logs.record(rig.fleet, entry)
    rig.server.publications.logs.record(
        rig.fleet, msgspec.structs.replace(entry, fleet="e" * 64, device=scene.device.id)
    )
    assert scene.auditor.codes() == ["log-entry-ignored", "unknown-device"]


def test_a_binding_that_is_not_shown_or_another(scene: Scene) -> None:
    """The log names every binding record; the device's reports need it."""
    source = scene.auditor.source
    (entry,) = source.bindings()
    source.bindings = lambda: iter(())  # type: ignore[method-assign]
    assert scene.auditor.codes() == ["unknown-device", "withheld"]
    forged = msgspec.structs.replace(entry, epoch=2)
    source.bindings = lambda: iter([entry, forged])  # type: ignore[method-assign]
    assert scene.auditor.codes(scratch=True) == ["binding-refused"]


def test_more_devices_than_an_invite_allows(scene: Scene) -> None:
    """An invite for one brought two: told, whoever the server let in."""
    rig = scene.auditor.rig
    invite = rig.simulator.invite(id="shared", uses=1)
    for seed in ("a", "b"):
        rig.server.admit_binding(rig.fleet, rig.device(seed).bind(invite, rig.clock.moment))
    assert scene.auditor.codes() == ["surplus-binding"]


def test_a_device_that_went_back(scene: Scene) -> None:
    """Floors do not fall, but by a newer trust statement."""
    state = TrustState(root=1, trust=2, roles={"targets": 7}, time="2026-11-01T12:00:00Z")
    scene.report(trust=state)
    assert scene.auditor.codes() == []
    scene.report(trust=msgspec.structs.replace(state, roles={"targets": 6}))
    (finding,) = scene.auditor.audit().findings
    assert finding.code == "device-went-back"
    assert "targets 7 to 6" in finding.says
    scene.report(trust=msgspec.structs.replace(state, trust=3, roles={"targets": 5}))
    assert scene.auditor.codes() == [], "statement 3 may have repaired it"


def test_a_device_that_was_shown_another_log(scene: Scene) -> None:
    """It says which checkpoint it holds: one that is no beginning of this log is an alarm."""
    origin = scene.auditor.audit().logs[0].origin
    root = "A" * 43 + "="
    logs = {origin: f"3 {root}"}
    state = TrustState(root=1, trust=2, roles={}, time="2026-11-01T12:00:00Z", logs=logs)
    scene.report(trust=state)
    assert scene.auditor.codes() == ["other-history"]
    more = msgspec.structs.replace(state, logs={origin: f"100000 {root}"})
    scene.report(trust=more)
    assert scene.auditor.codes() == ["log-withheld"]


def test_a_device_that_was_bound_again(scene: Scene) -> None:
    """Each binding has a chain of its own, and its own record."""
    rig = scene.auditor.rig
    invite = rig.simulator.invite(id="again", uses=1)
    record = scene.device.bind(invite, rig.clock.moment, epoch=2)
    rig.server.admit_binding(rig.fleet, record)
    scene.report()
    result = scene.auditor.audit()
    assert result.findings == []
    assert result.counts["bindings"] == 2
    assert result.counts["devices"] == 1
    assert result.counts["reports"] == 3


def test_refusals_of_the_server_are_shown(scene: Scene) -> None:
    """They are its own word: no finding, and they stand in the answer."""
    rig = scene.auditor.rig
    invite = rig.simulator.invite(id="late", uses=1)
    rig.clock.pass_time(days=30)
    with pytest.raises(Exception, match="expired"):
        rig.server.admit_binding(rig.fleet, rig.device("late").bind(invite, rig.simulator.now))
    result = scene.auditor.audit()
    assert result.findings == []
    assert [said.code for said in result.said] == ["invite-expired"]


def test_several_devices_and_processes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of many devices are read in one stream, and each is held against its own device."""
    rig = scene.auditor.rig
    others = [rig.bound(f"d{n}", invite=f"invite-d{n}") for n in range(3)]
    for device in (*others, *others[:2]):
        rig.server.receive_report(rig.fleet, device.id, device.report())
    scene.auditor.source.hidden.add((Place(others[1].id, 1), 2))
    scene.auditor.source.hidden.add((Place(others[2].id, 1), 1))
    alone = scene.auditor.audit(scratch=True)
    monkeypatch.setattr("allod.cli.audit.run.MANY", 3)
    together = scene.auditor.audit(scratch=True)
    assert together == alone
    assert sorted(one.subject for one in alone.findings) == sorted(d.id for d in others[1:])
    assert {one.code for one in alone.findings} == {"withheld"}
    assert alone.counts["reports"] == 5


def test_a_lost_activity_log_accuses_no_device(scene: Scene) -> None:
    """The owner named a successor: from scratch, what stood in the lost one is nowhere."""
    rig = scene.auditor.rig
    second = scene.auditor.source.file("trust/2.json", 1 << 20)
    assert second is not None
    rig.simulator.statements.append(second)
    rig.server.publish(rig.fleet, naming(rig, 2))
    scene.report()
    assert scene.auditor.codes() == []
    for path in ("checkpoint", "2/checkpoint"):
        assert scene.auditor.source.file(f"log/activity/{path}", 1 << 20) is not None
    scene.auditor.source.lie["log/activity/checkpoint"] = None
    result = scene.auditor.audit(scratch=True)
    assert result.findings == []
    assert len(result.notes) == 1


def test_a_log_that_begins_later(tmp_path: Path) -> None:
    """What devices did before there was a log is no finding; what they do afterwards has to be in it."""
    rig = ServerRig.make(tmp_path / "server")
    auditor = Auditor(rig, tmp_path)
    old = rig.bound("old")
    for _ in range(2):
        rig.server.receive_report(rig.fleet, old.id, old.report())
    logged(rig)
    assert auditor.codes() == []
    rig.server.receive_report(rig.fleet, old.id, old.report())
    new = rig.bound("new", invite="invite-2")
    rig.server.receive_report(rig.fleet, new.id, new.report())
    assert auditor.codes() == []
    assert auditor.codes(scratch=True) == []
    for device, number in ((old, 4), (new, 2)):
        auditor.source.more.append((Place(device.id, 1), number, device.report()))
    assert [one.subject for one in auditor.audit().findings] == sorted([old.id, new.id])
