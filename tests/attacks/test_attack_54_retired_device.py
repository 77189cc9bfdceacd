"""Attack 54, on the device: it is retired, or stolen and reset."""

from __future__ import annotations

from pathlib import Path

import pytest

from allod.domain.desired import DeviceRecord, StateDocument
from allod.domain.ids import device_scope
from allod.errors import Untrusted
from allod.testing.link import SimulatedDevice
from allod.testing.repository import RepositorySimulator


def retired(tmp_path: Path) -> SimulatedDevice:
    source = RepositorySimulator()
    device = SimulatedDevice(tmp_path / "device", source)
    bound = device.bind(source.invite())
    record = DeviceRecord(1, status="retired")
    source.set_state(StateDocument(bound.fleet, device_scope(bound.device), device=record))
    assert device.accept().view.retired
    return device


def test_attack_54_retired_stays_retired_without_network_and_from_older_files(tmp_path) -> None:
    """Neither silence nor a replay of the state before brings it back."""
    device = retired(tmp_path)
    device.transport.down = True
    assert device.accept().view.retired
    old = RepositorySimulator()
    device.meet(old)
    found = device.accept()
    assert not found.fresh
    assert found.view.retired


def test_attack_54_a_reset_does_not_bring_the_key_back(tmp_path: Path) -> None:
    """After `unbind` the machine is another device; the retired key is destroyed."""
    device = retired(tmp_path)
    former = device.bound.device
    device.binder().unbind()
    again = device.bind(device.source.invite(id="again"))
    assert again.device != former
    assert not device.accept().view.retired


def test_attack_54_deleting_the_floors_is_no_reset(tmp_path: Path) -> None:
    """Half a reset by a thief: an alarm, and nothing changes."""
    device = retired(tmp_path)
    for file in (device.directory / "floors").iterdir():
        file.unlink()
    with pytest.raises(Untrusted) as caught:
        device.accept()
    assert caught.value.code == "floors-damaged"
