"""Attack 46 on a whole device: a local user selects a vulnerable old slot or version."""

from __future__ import annotations

from pathlib import Path

import pytest

from allod.domain.desired import When
from allod.testing.device import TOASTER, FakeDevice, Owner


@pytest.mark.parametrize("link", ["current", "next"])
def test_attack_46_an_old_activation_selected_by_hand_does_not_last(
    tmp_path: Path, link: str
) -> None:
    """The link is turned to the retained old activation: one run later the ordered one runs."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    for version in ("1.0", "2.0"):
        owner.deploy(device.publish(version))
        device.run(owner.view())
    place = device.state.package(TOASTER) / link
    place.unlink(missing_ok=True)
    place.symlink_to("activations/1")
    device.reboot()
    device.run(owner.view())
    assert device.version() == "2.0"
    if link == "current":
        whats = [change["what"] for change in device.said()[-1]["changes"]]
        assert "activated" in whats, "the visit to the old one is in the report"


def test_attack_46_a_link_out_of_the_store_names_nothing(tmp_path: Path) -> None:
    """A foreign tree under the right number is not taken for the activation."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    first = device.publish("1.0")
    owner.deploy(first)
    device.run(owner.view())
    evil = tmp_path / "activations" / "1"
    evil.mkdir(parents=True)
    place = device.state.package(TOASTER) / "current"
    place.unlink()
    place.symlink_to(evil)
    device.run(owner.view())
    assert str(place.readlink()).startswith("activations/")
    assert device.runs() == (first[1], "default")


def test_attack_46_a_tree_that_leads_elsewhere_is_drift_and_healed(tmp_path: Path) -> None:
    """The activation's own link is turned to another release in the store."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    made = {version: device.publish(version) for version in ("1.0", "2.0")}
    for version in ("1.0", "2.0"):
        owner.deploy(made[version])
        device.run(owner.view())
    tree = device.state.package(TOASTER) / "current" / "tree"
    tree.unlink()
    tree.symlink_to(device.hardware.installer.directory(TOASTER, made["1.0"][1]))
    device.run(owner.view())
    assert any(one["code"] == "drift" for one in device.said()[-1]["alarms"])
    assert made["2.0"][1][7:] in str(tree.readlink())
    assert device.version() == "2.0"


def test_attack_46_what_waits_for_a_restart_is_told_by_the_journal(tmp_path: Path) -> None:
    """Turning `next` to something else does not change what the restart activates."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    owner.deploy(device.publish("2.0"), when=When.RESTART)
    device.run(owner.view())
    place = device.state.package(TOASTER) / "next"
    place.unlink()
    place.symlink_to("activations/1")
    device.reboot()
    device.run(owner.view())
    assert device.version() == "2.0"
