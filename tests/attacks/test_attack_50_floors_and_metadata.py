"""Attack 50, for floors, metadata, binding, key and accepted view: bits flip."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from allod.agent.bound import load_bound
from allod.agent.floors_store import FloorsStore
from allod.agent.identity import load_identity
from allod.agent.view import load_view
from allod.errors import Untrusted
from allod.testing.link import SimulatedDevice
from allod.testing.repository import RepositorySimulator


@pytest.fixture
def device(tmp_path: Path) -> SimulatedDevice:
    source = RepositorySimulator()
    made = SimulatedDevice(tmp_path / "device", source)
    made.bind(source.invite())
    assert made.accept().fresh
    return made


def flip(file: Path, at: int, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[at % len(data)] ^= 1 << bit
    file.write_bytes(data)


LOADERS = {
    "floors/floors": lambda device: FloorsStore(device.state).load(device.bound.fleet),
    "binding/bound": lambda device: load_bound(device.state),
    "identity/key": lambda device: load_identity(device.state.identity).device,
    "accepted/view": lambda device: load_view(device.state.accepted).raw,
}


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("copy", [1, 2])
def test_attack_50_one_damaged_copy_is_healed_from_the_other(device, name: str, copy: int) -> None:
    """A flip anywhere, a cut, or a missing file: the same content, and both copies whole again."""
    load = LOADERS[name]
    file = device.directory / f"{name}.{copy}"
    whole, right = file.read_bytes(), load(device)
    places = range(0, len(whole), max(1, len(whole) // 60))
    for at in places:
        flip(file, at, at % 8)
        assert load(device) == right
        assert file.read_bytes() == whole
    for cut in (0, 1, 13, 80, len(whole) - 1):
        file.write_bytes(whole[:cut])
        assert load(device) == right
    file.unlink()
    assert load(device) == right
    assert file.read_bytes() == whole


def test_attack_50_healed_floors_are_reported(device: SimulatedDevice) -> None:
    """Nothing is mended silently."""
    flip(device.directory / "floors" / "floors.1", 100)
    found = device.accept()
    assert found.fresh
    assert "floors-healed" in {alarm.code for alarm in found.view.alarms}
    assert "floors-healed" not in {alarm.code for alarm in device.accept().view.alarms}


@pytest.mark.parametrize("how", ["flipped", "deleted", "another fleet's"])
def test_attack_50_without_floors_nothing_changes_and_what_runs_runs_on(device, how: str) -> None:
    """Both copies gone is an alarm and never a first run, whatever the network offers."""
    for copy in (1, 2):
        file = device.directory / "floors" / f"floors.{copy}"
        if how == "flipped":
            flip(file, 90)
        elif how == "deleted":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:5])
    device.source.set_fleet(public=True)
    with pytest.raises(Untrusted) as caught:
        device.accept()
    assert caught.value.code == "floors-damaged"
    assert not load_view(device.state.accepted).fleet.public
    device.binder().unbind()
    assert device.bind(device.source.invite(id="anew")).epoch == 1


def test_attack_50_damaged_metadata_is_fetched_again_and_reported(device: SimulatedDevice) -> None:
    """Each cached file, flipped: the look goes through as before, with an alarm."""
    for file in sorted((device.directory / "tuf").iterdir()):
        flip(file, 200)
        found = device.accept()
        assert found.fresh, file.name
        assert "cache-damaged" in {alarm.code for alarm in found.view.alarms}, file.name


def test_attack_50_a_lost_cache_is_no_first_run(device: SimulatedDevice) -> None:
    """With the cache gone, the floors alone still refuse what is older."""
    old = device.source.snapshot_state()
    device.source.set_fleet(public=True)
    assert device.accept().fresh
    shutil.rmtree(device.directory / "tuf")
    device.meet(old)
    found = device.accept()
    assert not found.fresh
    assert found.failure.code == "rollback"
    assert found.view.fleet.public


def test_attack_50_a_damaged_view_is_made_anew(device: SimulatedDevice) -> None:
    """Both copies flipped: said as a failure to look until the next contact, which mends it."""
    for copy in (1, 2):
        flip(device.directory / "accepted" / f"view.{copy}", 300)
    device.transport.down = True
    assert device.accept().view is None
    device.transport.down = False
    assert device.accept().fresh
