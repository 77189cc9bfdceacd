"""Attack 44: a local root application edits managed configuration, or the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from allod.testing.device import TOASTER, FakeDevice, Owner


@pytest.mark.parametrize("how", ["edit", "remove"])
def test_attack_44_an_edited_configuration_is_reported_and_put_back(
    tmp_path: Path, how: str
) -> None:
    """The next run tells what was changed, puts it back, and the service reads it again."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    first = device.publish("1.0")
    owner.deploy(first)
    owner.configure(device.publish_document(b"the owner's"))
    device.run(owner.view())
    place = device.state.package(TOASTER) / "current" / "config" / "config"
    if how == "edit":
        place.write_text("mine")
    else:
        place.unlink()
    device.run(owner.view())
    assert device.runs() == (first[1], "the owner's")
    told = device.said()[-1]
    (entry,) = told["packages"]
    measured = entry["configuration"]["measured"]
    assert (measured["healed"], measured["changed"]) == (True, ["config"])
    assert any(alarm["code"] == "drift" for alarm in told["alarms"])
    assert [change["what"] for change in told["changes"]] == ["healed"]


def test_attack_44_where_the_owner_only_wants_to_know_nothing_is_touched(tmp_path: Path) -> None:
    """Policy `report`: told in every run, left as it is."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    owner.drift = "report"
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    place = device.state.package(TOASTER) / "current" / "config" / "config"
    place.write_text("mine")
    for _ in range(2):
        device.run(owner.view())
        (entry,) = device.said()[-1]["packages"]
        assert entry["configuration"]["measured"]["ok"] is False
    assert place.read_text() == "mine"
