"""What the owner hears about access that can't be enforced, or that is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from allod.agent.engine import EngineSettings
from allod.agent.services.observe import remember
from allod.domain.desired import Software
from allod.domain.ids import Purl
from allod.testing.agent import FakeServices
from allod.testing.device import TOASTER, FakeDevice, Owner


def test_a_manager_that_can_not_enforce_access_is_a_constraint_in_each_report(
    tmp_path: Path,
) -> None:
    """Nothing pretends: the device says `access-not-enforced`, also when nothing changed."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    device.hardware.services.enforces_access = False
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    assert device.report is not None
    assert device.report.constraints == ["access-not-enforced"]
    device.pass_time(hours=2)
    device.run(owner.view())
    assert [said["constraints"] for said in device.said()] == [["access-not-enforced"]] * 2


def test_what_a_sandbox_leaves_open_is_a_constraint_of_the_package(tmp_path: Path) -> None:
    """In words, with the package and for the device; it goes when the service no longer runs."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    device.hardware.services.open = ("a service that listens can also open connections",)
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    assert device.report is not None
    says = ["access-open: a service that listens can also open connections"]
    assert [package.constraints for package in device.report.packages] == [says]
    assert device.report.constraints == says
    owner.sign(software=Software())
    device.run(owner.view())
    assert device.report.constraints == []


def test_complain_mode_is_a_constraint(tmp_path: Path) -> None:
    """In complain mode nothing is denied, whatever the service manager could deny."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    device.settings = EngineSettings(complain=True)
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    assert device.report is not None
    assert device.report.constraints == ["access-not-enforced"]


def test_access_that_was_seen_once_stays_known(tmp_path: Path) -> None:
    """Several looks add up, for as long as the unit is the same."""
    file = tmp_path / "missing.json"
    assert remember(file, b"unit", frozenset()) == frozenset()
    assert not file.exists()
    assert remember(file, b"unit", frozenset({"camera"})) == {"camera"}
    assert remember(file, b"unit", frozenset({"microphone"})) == {"camera", "microphone"}
    assert remember(file, b"other", frozenset()) == frozenset()
    file.write_text("damaged")
    assert remember(file, b"unit", frozenset({"camera"})) == {"camera"}


def test_access_that_is_used_and_not_declared_is_an_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In complain mode the report names the package and the access that its release lacks."""

    def missing(self: FakeServices, package: Purl) -> frozenset[str]:
        return frozenset({"network.outbound:192.0.2.7", "camera"})

    monkeypatch.setattr(FakeServices, "missing_access", missing)
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    assert device.report is not None
    found = [alarm for alarm in device.report.alarms if alarm.code == "access-missing"]
    assert [alarm.says for alarm in found] == [
        f"{TOASTER} uses what its release does not declare: camera, network.outbound:192.0.2.7"
    ]
