"""Attack 49: the device's clock is wrong by decades, or jumps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from allod.agent.floors_store import FloorsStore
from allod.testing.link import SimulatedDevice
from allod.testing.repository import RepositorySimulator
from allod.wire.codec import instant
from allod.wire.trust import Repair

YEAR = timedelta(days=365)


@pytest.fixture
def device(tmp_path: Path) -> SimulatedDevice:
    source = RepositorySimulator()
    made = SimulatedDevice(tmp_path / "device", source)
    made.bind(source.invite())
    assert made.accept().fresh
    return made


@pytest.mark.parametrize(
    "wrong", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2016, 1, 1, tzinfo=UTC)]
)
def test_attack_49_a_clock_in_the_past_stops_nothing(device: SimulatedDevice, wrong) -> None:
    """The time floor stands in for the clock: binding, updates and expiry go by it."""
    device.clock.wall = wrong
    device.source.set_fleet(public=True)
    assert device.accept().fresh
    fresh = SimulatedDevice(device.directory.parent / "fresh", device.source)
    fresh.clock.wall = wrong
    fresh.bind(device.source.invite(id="second"))
    assert fresh.accept().fresh


def test_attack_49_a_clock_in_the_future_stops_change_and_is_mended_by_itself(device) -> None:
    """All looks expired: what was accepted stands, marked stale; no floor follows the clock."""
    right = device.clock.wall
    floor = FloorsStore(device.state).load(device.bound.fleet).time
    device.source.set_fleet(public=True)
    device.clock.wall += 10 * YEAR
    found = device.accept()
    assert not found.fresh
    assert found.failure.code == "stale"
    assert found.view.trust.stale
    assert not found.view.fleet.public
    assert FloorsStore(device.state).load(device.bound.fleet).time <= max(floor, right)
    device.clock.wall = right
    found = device.accept()
    assert found.fresh
    assert found.view.fleet.public


def test_attack_49_a_jump_during_a_look_changes_nothing(device: SimulatedDevice) -> None:
    """The time is decided on once, at the beginning."""
    device.source.set_fleet(public=True)

    def jump(data: bytes | None) -> bytes | None:
        device.clock.wall += 10 * YEAR
        return data

    device.source.tamper["tuf/timestamp.json"] = jump
    assert device.accept().fresh


def test_attack_49_the_owner_repairs_a_time_floor_that_is_too_high(device) -> None:
    """A floor in the future, signed by mistake, would lock the device out; the root takes it down."""
    source = device.source
    source.add_statement(at=source.now + 20 * YEAR)
    assert not device.accept().fresh  # everything looks expired now
    assert FloorsStore(device.state).load(device.bound.fleet).time > source.now + 19 * YEAR
    source.add_statement(repairs=[Repair(time=instant(source.now))])
    source.refresh_timestamp()
    found = device.accept()
    assert found.fresh
    assert FloorsStore(device.state).load(device.bound.fleet).time <= source.now
