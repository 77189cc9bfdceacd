"""Attack 14: somebody on the path keeps a device's signed reports and sends them again later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from allod.testing.asgi import ask
from allod.testing.server import ServerRig, SimulatedDevice
from allod.wire.api import DeviceSummary


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ServerRig]:
    """A server with one admitted fleet."""
    made = ServerRig.make(tmp_path / "server")
    yield made
    made.server.close()


def send(rig: ServerRig, device: SimulatedDevice, report: bytes) -> tuple[int, dict]:
    """Over HTTP, as anybody can."""
    path = f"/f/{rig.fleet}/devices/{device.id}/reports"
    answer = ask(rig.application, "POST", path, body=report)
    return answer.status, answer.json


def seen(rig: ServerRig, device: SimulatedDevice) -> tuple[DeviceSummary, list, list]:
    """Everything that an owner would be shown of the device."""
    listings = rig.server.listings
    return (
        listings.device(rig.fleet, device.id),
        listings.reports(rig.fleet, device.id, 0, 1000).reports,
        listings.alarms(rig.fleet).alarms,
    )


def test_attack_14_replayed_reports_change_nothing(rig: ServerRig) -> None:
    """Every report of a device's past, sent again in any order after the device fell silent: the
    device stays silent since when it was, says what it last said, and looks neither alive nor
    cloned. Also after a restart, and after the database was made again from the files.
    """
    device = rig.bound()
    sent = [
        device.report(kind="heartbeat" if number % 2 else "change", facts={"n": str(number)})
        for number in range(8)
    ]
    for report in sent:
        assert send(rig, device, report) == (200, {"sequence": sent.index(report) + 1, **NEW})
        rig.clock.pass_time(minutes=5)
    before = seen(rig, device)
    assert before[0].facts == {"n": "7"}

    def replay_all() -> None:
        rig.clock.pass_time(days=1)
        for report in [*reversed(sent), *sent]:
            status, receipt = send(rig, device, report)
            assert (status, receipt["duplicate"]) == (200, True)
        assert seen(rig, device) == before

    replay_all()
    rig.restart()
    replay_all()
    rig.server.rebuild(rig.fleet)
    replay_all()


NEW = {"duplicate": False}


def test_attack_14_a_forgotten_heartbeat_does_not_come_back(rig: ServerRig) -> None:
    """Old heartbeats are thrown away; one that is replayed after that neither makes the device
    look alive, nor stays, nor looks like a second device.
    """
    device = rig.bound()
    beats = [device.report(kind="heartbeat") for _ in range(rig.settings.heartbeats_kept + 5)]
    for beat in beats:
        send(rig, device, beat)
    before = seen(rig, device)
    assert len(before[1]) == rig.settings.heartbeats_kept
    rig.clock.pass_time(days=1)
    for beat in beats[:5]:
        assert send(rig, device, beat)[0] == 200
    assert seen(rig, device) == before


def test_attack_14_a_withheld_report_fills_its_place_only(rig: ServerRig) -> None:
    """A report that was held back and comes late does not pass for the newest state."""
    device = rig.bound()
    held = device.report(facts={"state": "old"})
    newest = device.report(facts={"state": "new"})
    send(rig, device, newest)
    when = rig.server.listings.device(rig.fleet, device.id).reported
    rig.clock.pass_time(days=1)
    assert send(rig, device, held)[0] == 200
    summary, reports, alarms = seen(rig, device)
    assert (summary.facts, summary.sequence, summary.reported) == ({"state": "new"}, 2, when)
    assert [entry.sequence for entry in reports] == [1, 2]
    assert (summary.quarantined, alarms) == (False, [])


def test_attack_14_reports_of_a_past_binding_or_another_place_are_refused(
    rig: ServerRig, tmp_path: Path
) -> None:
    """Epoch, device and fleet stand in what is signed: nothing counts anywhere else."""
    device, other = rig.bound(), rig.bound("another", invite="invite-2")
    past = device.report()
    assert send(rig, device, past)[0] == 200
    status, problem = send(rig, other, past)
    assert (status, problem["code"]) == (422, "auth")
    again = device.bind(rig.simulator.invite(id="invite-3"), rig.clock.moment, epoch=2)
    rig.server.admit_binding(rig.fleet, again)
    before = seen(rig, device)
    status, problem = send(rig, device, past)
    assert (status, problem["code"]) == (422, "wrong-epoch")
    assert seen(rig, device) == before
    elsewhere = ServerRig.make(tmp_path / "elsewhere", name="elsewhere")
    same_key = elsewhere.bound()
    assert same_key.id == device.id
    status, problem = send(elsewhere, same_key, past)
    assert (status, problem["code"]) == (422, "wrong-fleet")
    elsewhere.server.close()
