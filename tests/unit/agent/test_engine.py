"""The engine over fakes: what a device does, waits for, refuses and says."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from allod.domain.desired import (
    Accepts,
    ConfigurationOrder,
    Level,
    PackageEntry,
    ReleaseOrder,
    Restart,
    Settings,
    Software,
    When,
    Window,
)
from allod.domain.ids import Digest, Purl, device_scope, group_scope
from allod.domain.observed import Inhibition
from allod.domain.release import Constraint, Data, Release
from allod.testing.device import ACME, DEVICE, KITCHEN, TOASTER, FakeDevice, Owner
from allod.testing.faults import Killed
from allod.testing.machine import START

BUTLER = Purl("pkg:generic/acme/butler")
Made = tuple[Release, Digest]


@pytest.fixture
def device(tmp_path: Path) -> FakeDevice:
    """An empty device."""
    return FakeDevice(tmp_path / "state")


@pytest.fixture
def owner() -> Owner:
    """Its owner."""
    return Owner()


def pending(device: FakeDevice, package: Purl = TOASTER) -> str:
    """What the newest report says that a package waits for."""
    told = device.said()[-1]
    (entry,) = [one for one in told["packages"] if one["package"] == package]
    return "; ".join(one["waitsFor"] for one in entry.get("pending", []))


def refusals(device: FakeDevice) -> dict[str, list[str]]:
    """What the newest report refuses."""
    return {one["code"]: one["reasons"] for one in device.said()[-1].get("refusals", [])}


def running(device: FakeDevice, owner: Owner, version: str = "1.0", **fields: Any) -> Made:
    """Make a version run."""
    release = device.publish(version, **fields)
    owner.deploy(release)
    device.run(owner.view())
    assert device.version() == version
    return release


def test_transfer_then_install_then_activate(device: FakeDevice, owner: Owner) -> None:
    """Each level by itself, and each higher one without doing the lower again."""
    release = device.publish("1.0")
    for level, state in [
        (Level.TRANSFERRED, "transferred"),
        (Level.INSTALLED, "installed"),
        (Level.ACTIVE, "active"),
    ]:
        owner.deploy(release, level=level)
        device.run(owner.view())
        (entry,) = device.said()[-1]["packages"]
        assert (entry["state"], entry["releases"][0]["level"]) == (state, state)
    assert device.hardware.source.fetched == [release[1]]


def test_nothing_changes_until_the_restart(device: FakeDevice, owner: Owner) -> None:
    """At the next restart: prepared now, active after it, and once."""
    running(device, owner)
    owner.deploy(device.publish("2.0"), when=When.RESTART)
    for _ in range(3):
        device.run(owner.view())
        assert (device.version(), pending(device)) == ("1.0", "restart")
    device.reboot()
    device.run(owner.view())
    assert device.version() == "2.0"
    starts = len(device.hardware.services.starts)
    device.reboot()
    device.run(owner.view())
    assert device.version() == "2.0"
    assert len(device.hardware.services.starts) == starts + 1, "only the init system started it"


def test_a_sick_release_at_restart_goes_back_by_itself(device: FakeDevice, owner: Owner) -> None:
    """Its health fails after the restart: the old one runs again, and no restart tries it anew."""
    running(device, owner)
    second = device.publish("2.0")
    device.hardware.probe.sick.add(second[1])
    owner.deploy(second, when=When.RESTART)
    device.run(owner.view())
    for _ in range(2):
        device.reboot()
        device.run(owner.view())
        assert device.version() == "1.0"
    assert "it failed" in pending(device)


def test_what_waits_for_a_restart_can_be_taken_back(device: FakeDevice, owner: Owner) -> None:
    """The owner changes their mind: the restart activates nothing."""
    first = running(device, owner)
    owner.deploy(device.publish("2.0"), when=When.RESTART)
    device.run(owner.view())
    owner.deploy(first)
    device.run(owner.view())
    device.reboot()
    device.run(owner.view())
    assert device.version() == "1.0"
    assert not (device.state.package(TOASTER) / "next").is_symlink()


def test_restart_order_becomes_now(device: FakeDevice, owner: Owner) -> None:
    """What was prepared for the restart is activated at once when the owner says so."""
    running(device, owner)
    second = device.publish("2.0")
    owner.deploy(second, when=When.RESTART)
    device.run(owner.view())
    owner.deploy(second)
    device.run(owner.view())
    assert device.version() == "2.0"


def test_a_window_is_waited_for(device: FakeDevice, owner: Owner) -> None:
    """The report says when it opens; within it, the activation happens."""
    running(device, owner)
    owner.replace(
        owner.document(), settings=Settings(windows=(Window(frozenset({0}), 22 * 60, 60),))
    )
    owner.deploy(device.publish("2.0"), when=When.WINDOW)
    device.run(owner.view())
    assert device.version() == "1.0"
    assert pending(device) == "window: opens 2026-01-05T22:00:00Z"
    device.pass_time(hours=10, minutes=30)
    device.run(owner.view())
    assert device.version() == "2.0"


def test_a_window_order_without_any_window_says_so(device: FakeDevice, owner: Owner) -> None:
    """It waits, visibly, rather than disturb at any time."""
    running(device, owner)
    owner.deploy(device.publish("2.0"), when=When.WINDOW)
    device.run(owner.view())
    assert pending(device) == "window: no scope sets one"


def test_an_inhibitor_is_respected_and_can_be_overridden_by_name(
    device: FakeDevice, owner: Owner
) -> None:
    """'Busy until' shows in the report; only the owner's document names who may be disturbed."""
    running(device, owner)
    device.hardware.inhibitors.holders = [Inhibition("baking", "a cake is in", START)]
    owner.deploy(device.publish("2.0"))
    device.run(owner.view())
    assert device.version() == "1.0"
    assert pending(device) == "busy: baking: a cake is in"
    assert device.said()[-1]["inhibitors"][0]["name"] == "baking"
    owner.replace(owner.document(), settings=Settings(override_inhibitors=frozenset({"baking"})))
    device.run(owner.view())
    assert device.version() == "2.0"


def test_a_hold_stops_everything_but_what_runs(device: FakeDevice, owner: Owner) -> None:
    """Nothing is even transferred; after it, all goes on."""
    running(device, owner)
    owner.deploy(device.publish("2.0"))
    owner.replace(owner.document(), hold="holiday")
    device.run(owner.view())
    assert (device.version(), len(device.hardware.source.fetched)) == ("1.0", 1)
    assert "holiday" in pending(device)
    owner.replace(owner.document(), hold=None)
    device.run(owner.view())
    assert device.version() == "2.0"


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("access-not-accepted", {"access": frozenset({"network.outbound"})}),
        ("constraint-not-accepted", {"constraints": (Constraint("fuse", "no way back"),)}),
        ("wrong-hardware", {"hardware": ("acme,other",)}),
        ("wrong-architecture", {"architecture": "riscv64"}),
        ("one-way-not-accepted", {"data": Data(2, (1, 2), snapshot=False)}),
        ("data-unreadable", {"data": Data(2, (2,))}),
    ],
)
def test_what_the_owner_did_not_accept_is_refused_before_its_payload(
    device: FakeDevice, owner: Owner, code: str, fields: dict[str, Any]
) -> None:
    """The refusal names its code; not a byte of the payload is fetched; what runs runs on."""
    running(device, owner, data=Data(1, (1,)))
    owner.deploy(device.publish("2.0", **fields), accepts=Accepts())
    device.run(owner.view())
    assert code in refusals(device)
    assert device.version() == "1.0"
    assert len(device.hardware.source.fetched) == 1


def test_what_the_owner_accepted_by_name_is_done(device: FakeDevice, owner: Owner) -> None:
    """Access, constraint and one-way data, each by its name; the constraint shows in the report."""
    running(device, owner, data=Data(1, (1,)))
    second = device.publish(
        "2.0",
        access=frozenset({"network.outbound:example.org"}),
        constraints=(Constraint("fuse", "no way back"),),
        data=Data(2, (1, 2), snapshot=False),
    )
    accepts = Accepts(frozenset({"network.outbound"}), frozenset({"fuse"}), frozenset({second[1]}))
    owner.deploy(second, accepts=accepts)
    device.run(owner.view())
    assert device.version() == "2.0"
    assert device.said()[-1]["constraints"] == ["fuse"]


def test_access_that_the_running_release_has_needs_no_new_word(
    device: FakeDevice, owner: Owner
) -> None:
    """Only what is new is asked for."""
    access = frozenset({"network.listen:tcp/8080"})
    running(device, owner, access=access)
    owner.deploy(device.publish("2.0", access=access), accepts=Accepts())
    device.run(owner.view())
    assert device.version() == "2.0"


def test_a_withdrawn_release_is_not_newly_activated_but_runs_on(
    device: FakeDevice, owner: Owner
) -> None:
    """No automatic removal: an alarm where it runs, a refusal where it does not."""
    first = running(device, owner)
    owner.withdrawn[first[1]] = "it burns toast"
    device.run(owner.view())
    assert device.version() == "1.0"
    assert any(one["code"] == "withdrawn-runs" for one in device.said()[-1]["alarms"])
    second = device.publish("2.0")
    owner.withdrawn[second[1]] = "worse"
    owner.deploy(second)
    device.run(owner.view())
    assert "withdrawn" in refusals(device)


def test_an_untrusted_release_is_refused_and_an_absent_one_waited_for(
    device: FakeDevice, owner: Owner
) -> None:
    """A stranger's release is a refusal with its code; a missing one only waits."""
    running(device, owner)
    second = device.publish("2.0")
    device.hardware.source.distrusted.add(second[1])
    owner.deploy(second)
    device.run(owner.view())
    assert "auth" in refusals(device)
    device.hardware.source.online = False
    owner.deploy(device.publish("3.0"))
    device.run(owner.view())
    assert "cannot reach the fleet" in pending(device)
    assert device.version() == "1.0"
    device.hardware.source.online = True
    device.run(owner.view())
    assert device.version() == "3.0"


def test_configuration_failing_its_check_is_refused_before_anything_stops(
    device: FakeDevice, owner: Owner
) -> None:
    """A document that can't be used interrupts nothing, and is asked again when it can."""
    running(device, owner)
    starts = len(device.hardware.services.starts)
    owner.configure(device.publish_document(b"invalid"))
    device.run(owner.view())
    assert "bad-configuration" in refusals(device)
    assert len(device.hardware.services.starts) == starts
    owner.configure(device.publish_document(b"fine"))
    device.run(owner.view())
    assert device.runs() is not None
    assert device.runs()[1] == "fine"  # type: ignore[index]


def test_a_sick_configuration_goes_back_alone(device: FakeDevice, owner: Owner) -> None:
    """The release stays, the configuration before it holds again."""
    first = running(device, owner)
    owner.configure(device.publish_document(b"good"))
    device.run(owner.view())
    owner.configure(device.publish_document(b"sick"))
    device.run(owner.view())
    assert device.runs() == (first[1], "good")


def test_a_configuration_signed_by_itself_does_not_wait_for_the_softwares_restart(
    device: FakeDevice, owner: Owner
) -> None:
    """Each of two changes happens at its own time."""
    first = running(device, owner)
    second = device.publish("2.0")
    owner.deploy(second, when=When.RESTART)
    device.run(owner.view())
    scope = device_scope(DEVICE)
    document = device.publish_document(b"mine")
    owner.sign(scope=scope, configuration=ConfigurationOrder(digest=document))
    device.run(owner.view())
    assert device.runs() == (first[1], "mine")
    device.run(owner.view())
    device.reboot()
    device.run(owner.view())
    assert device.runs() == (second[1], "mine")


def test_retention_keeps_what_was_active(device: FakeDevice, owner: Owner) -> None:
    """Of releases that the list lacks, the newest that ran stay; going back needs no download."""
    made = [running(device, owner, version) for version in ("1.0", "2.0", "3.0")]
    assert device.hardware.installer.staged(TOASTER) == {made[1][1], made[2][1]}
    owner.deploy(made[1])
    device.run(owner.view())
    assert device.version() == "2.0"
    assert len(device.hardware.source.fetched) == 3
    owner.replace(owner.document(), settings=Settings(retention_releases=0))
    device.run(owner.view())
    assert device.hardware.installer.staged(TOASTER) == {made[1][1]}


def test_delete_is_a_named_package_with_an_empty_list(device: FakeDevice, owner: Owner) -> None:
    """It stops, and nothing of it is left but its data."""
    running(device, owner, data=Data(1, (1,)))
    owner.sign(software=Software())
    device.run(owner.view())
    assert device.runs() is None
    assert device.hardware.installer.staged(TOASTER) == frozenset()
    assert device.hardware.snapshots.data[TOASTER] == (1, "1.0")
    whats = [change["what"] for change in device.said()[-1]["changes"]]
    assert whats == ["deactivated", "deleted"]


def test_packages_that_go_together_go_back_together(device: FakeDevice, owner: Owner) -> None:
    """One of two is sick: both run their old version; when both are well, both are new."""
    running(device, owner)
    owner.deploy(device.publish("1.0", BUTLER))
    device.run(owner.view())
    sick = device.publish("2.0", BUTLER)
    device.hardware.probe.sick.add(sick[1])
    owner.deploy(device.publish("2.0"), together=(BUTLER,))
    owner.deploy(sick)
    device.run(owner.view())
    assert (device.version(), device.version(BUTLER)) == ("1.0", "1.0")
    owner.deploy(device.publish("3.0", BUTLER))
    owner.sign(together=(BUTLER,))
    device.run(owner.view())
    assert (device.version(), device.version(BUTLER)) == ("2.0", "3.0")


def test_together_needs_one_scope(device: FakeDevice, owner: Owner) -> None:
    """Two parties cannot be made to wait for each other by one of them."""
    running(device, owner)
    other = device.publish("1.0", BUTLER)
    order = ReleaseOrder(ACME, other[0].version, other[1], Level.ACTIVE)
    owner.sign(BUTLER, scope=device_scope(DEVICE), software=Software(releases=(order,)))
    owner.deploy(device.publish("2.0"), together=(BUTLER,))
    device.run(owner.view())
    assert "together-apart" in refusals(device)
    assert device.version() == "1.0"


def test_a_scheduled_restart_is_done_once(device: FakeDevice, owner: Owner) -> None:
    """Not before its time, once, never repeated, and told in the report."""
    restart = Restart("r1", START + timedelta(hours=1), START + timedelta(hours=2))
    owner.replace(owner.document(), restarts=(restart,))
    device.run(owner.view())
    assert device.hardware.restarter.reasons == []
    device.pass_time(hours=1, minutes=1)
    device.run(owner.view())
    assert len(device.hardware.restarter.reasons) == 1
    device.reboot()
    for _ in range(3):
        device.run(owner.view())
    assert len(device.hardware.restarter.reasons) == 1
    assert device.said()[-1]["restarts"][0]["state"] == "done"
    assert any(
        change["what"] == "restarted"
        for told in device.said()
        for change in told.get("changes", [])
    )


def test_a_restart_whose_time_has_passed_is_missed(device: FakeDevice, owner: Owner) -> None:
    """A device that was off does not restart out of the blue."""
    restart = Restart("r1", START - timedelta(hours=2), START - timedelta(hours=1))
    owner.replace(owner.document(), restarts=(restart,))
    device.run(owner.view())
    assert device.hardware.restarter.reasons == []
    assert device.said()[-1]["restarts"][0]["state"] == "missed"


def test_a_restart_waits_for_who_must_not_be_disturbed(device: FakeDevice, owner: Owner) -> None:
    """It is done as soon as the inhibitor is gone, if its time is not over."""
    restart = Restart("r1", START, START + timedelta(hours=2))
    owner.replace(owner.document(), restarts=(restart,))
    device.hardware.inhibitors.holders = [Inhibition("baking", "a cake is in", START)]
    device.run(owner.view())
    assert device.hardware.restarter.reasons == []
    device.hardware.inhibitors.holders = []
    device.run(owner.view())
    assert len(device.hardware.restarter.reasons) == 1


def test_drift_is_reported_within_one_run_and_healed(device: FakeDevice, owner: Owner) -> None:
    """A changed byte of store or configuration is told and, by policy, put back."""
    first = running(device, owner)
    device.hardware.installer.damage(TOASTER, first[1])
    device.run(owner.view())
    (entry,) = device.said()[-1]["packages"]
    measured = entry["releases"][0]["measured"]
    assert (measured["ok"], measured["healed"], measured["changed"]) == (True, True, ["bin/app"])
    assert [change["what"] for change in device.said()[-1]["changes"]] == ["healed"]
    place = device.state.package(TOASTER) / "current" / "config" / "config"
    place.write_text("mine now")
    device.run(owner.view())
    assert place.read_text() == "default"


def test_drift_is_only_reported_if_the_owner_says_so(device: FakeDevice, owner: Owner) -> None:
    """Report means report."""
    owner.drift = "report"
    first = running(device, owner)
    device.hardware.installer.damage(TOASTER, first[1])
    device.run(owner.view())
    (entry,) = device.said()[-1]["packages"]
    assert entry["releases"][0]["measured"]["ok"] is False
    assert not device.hardware.installer.measure(TOASTER, first[1]).ok


def test_a_service_that_should_run_and_does_not_is_started(
    device: FakeDevice, owner: Owner
) -> None:
    """Also without network, before anything else."""
    running(device, owner)
    device.hardware.services.runs.clear()
    device.run(owner.view())
    assert device.version() == "1.0"
    assert any(one["code"] == "service-started" for one in device.said()[-1]["alarms"])


def test_failures_of_the_machine_are_tried_again_with_back_off(
    device: FakeDevice, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service manager that fails once costs a retry, no new signature; three times is final."""
    running(device, owner)
    services = device.hardware.services
    real = type(services).start
    failing = {"left": 1}

    def start(self: Any, unit: Any) -> None:
        if failing["left"] and unit.directory.resolve().parent.name == second[1][7:]:
            failing["left"] -= 1
            raise OSError(5, "Input/output error")
        real(self, unit)

    monkeypatch.setattr(type(services), "start", start)
    second = device.publish("2.0")
    owner.deploy(second)
    device.run(owner.view())
    assert device.version() == "1.0"
    device.run(owner.view())
    assert device.version() == "1.0", "not before its back-off"
    device.pass_time(minutes=5)
    device.run(owner.view())
    assert device.version() == "2.0"


def test_a_quiet_run_says_nothing_until_the_heartbeat(device: FakeDevice, owner: Owner) -> None:
    """No report without news; one an hour as a sign of life, outside the chain."""
    running(device, owner)
    device.run(owner.view())
    count = len(device.server)
    for _ in range(3):
        device.run(owner.view())
    assert len(device.server) == count
    device.pass_time(hours=1, minutes=1)
    device.run(owner.view())
    assert len(device.server) == count + 1
    assert device.said()[-1]["kind"] == "heartbeat"


def test_each_change_names_its_authority(device: FakeDevice, owner: Owner) -> None:
    """Document, role, version and change of the owner's word stand with what was done."""
    running(device, owner)
    for change in device.said()[-1]["changes"]:
        assert change["authority"]["document"] == group_scope(KITCHEN).target_path
        assert change["authority"]["change"] == 1


def test_reports_wait_until_the_server_has_them(
    device: FakeDevice, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline for long: every change is told later, in order, none twice."""
    from allod.errors import Unavailable

    def down(self: Any, faults: Any) -> Any:
        def post(envelope: bytes) -> bytes:
            raise Unavailable("unreachable", "cannot reach the server")

        return post

    with monkeypatch.context() as patch:
        patch.setattr(FakeDevice, "_post", down)
        for version in ("1.0", "2.0"):
            owner.deploy(device.publish(version))
            with pytest.raises(Unavailable):
                device.run(owner.view())
    device.run(owner.view())
    said = device.said()
    assert [one["sequence"] for one in said] == sorted(one["sequence"] for one in said)
    done = [change["what"] for one in said for change in one.get("changes", [])]
    assert done.count("activated") == 2


def test_entries_that_cannot_be_read_are_reported_and_leave_the_package(
    device: FakeDevice, owner: Owner
) -> None:
    """A format of tomorrow refuses one package and no other."""
    running(device, owner)
    other = device.publish("1.0", BUTLER)
    document = owner.document()
    owner.replace(
        document,
        packages={},
        unreadable={str(TOASTER): "cannot read the entry: unknown field 'hover'"},
    )
    owner.deploy(other)
    device.run(owner.view())
    assert device.version() == "1.0"
    assert device.version(BUTLER) == "1.0"
    assert "unreadable-entry" in refusals(device)


def test_an_entry_without_software_stops_nothing(device: FakeDevice, owner: Owner) -> None:
    """A package that is only configured, and not there, is no error."""
    owner.replace(owner.document(), packages={str(TOASTER): PackageEntry()})
    device.run(owner.view())
    assert refusals(device) == {}


@pytest.mark.parametrize("call", ["start", "attempt"])
def test_a_release_that_kills_the_machine_every_time_goes_back(
    device: FakeDevice, owner: Owner, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """An activation that is found interrupted again and again is given up, and not tried anew."""
    running(device, owner)
    second = device.publish("2.0")
    owner.deploy(second)
    place = type(device.hardware.services if call == "start" else device.hardware.probe)
    real = getattr(place, call)
    deaths = []

    def deadly(self: Any, *given: Any) -> Any:
        unit = given[0] if call == "start" else given[1]
        if unit.directory.resolve().parent.name == second[1][7:]:
            deaths.append(1)
            raise Killed(call)
        return real(self, *given)

    monkeypatch.setattr(place, call, deadly)
    for _ in range(6):
        with contextlib.suppress(Killed):
            device.run(owner.view())
        device.hardware.clock.boot += 1
    assert len(deaths) == 4
    assert device.version() == "1.0"
    assert "interrupted 3 times" in pending(device)


def test_a_first_release_that_fails_leaves_no_data_behind(device: FakeDevice, owner: Owner) -> None:
    """What it wrote in its probation does not bar an older release afterwards."""
    sick = device.publish("2.0", data=Data(2, (1, 2)))
    device.hardware.probe.sick.add(sick[1])
    owner.deploy(sick)
    device.run(owner.view())
    assert device.hardware.snapshots.data == {}
    running(device, owner, data=Data(1, (1,)))


def test_data_that_outlived_their_package_are_kept_from_a_failing_release(
    device: FakeDevice, owner: Owner
) -> None:
    """Nothing runs, but there are data: they are copied before the next release touches them."""
    first = running(device, owner, data=Data(1, (1,)))
    owner.sign(software=Software())
    device.run(owner.view())
    sick = device.publish("2.0", data=Data(2, (1, 2)))
    device.hardware.probe.sick.add(sick[1])
    owner.deploy(sick)
    device.run(owner.view())
    assert device.hardware.snapshots.data[TOASTER] == (1, "1.0")
    owner.deploy(first)
    device.run(owner.view())
    assert device.version() == "1.0"
