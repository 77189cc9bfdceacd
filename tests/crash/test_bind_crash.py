"""Every durable call and every call to the fleet, in binding and in acceptance, fails once before and once after its effect; then it starts again.

After the restart the device is unbound, or bound whole: owner, floors and key belong together,
the record verifies, and no secret is left. What was acknowledged stays so.
"""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from allod import durable
from allod.agent.floors_store import FloorsStore
from allod.agent.identity import load_identity
from allod.errors import AllodError, Unavailable
from allod.testing.faults import Faults, Frail, Killed, Strike, frail_disk
from allod.testing.link import SimulatedDevice
from allod.testing.repository import RepositorySimulator, TestOwner
from allod.trust.binding import verify_binding
from allod.wire.codec import instant
from allod.wire.trust import Transfer

#: A kill after one call leaves the same as a kill before the next one.
STRIKES = [
    Strike.ERROR_BEFORE,
    pytest.param(Strike.ERROR_AFTER, marks=pytest.mark.slow),
    Strike.KILL_BEFORE,
    pytest.param(Strike.KILL_AFTER, marks=pytest.mark.slow),
]


def unreachable() -> Unavailable:
    """How the network fails."""
    return Unavailable("unreachable", "cannot reach the fleet: struck")


def strike(faults: Faults, device: SimulatedDevice, act) -> BaseException | None:
    """Do `act` with the device, on a frail disk and a frail network; what it ended with."""
    plain = device.transport
    with pytest.MonkeyPatch.context() as patch:
        for name, stand_in in frail_disk(faults).items():
            patch.setattr(durable, name, stand_in)
        device.transport = Frail(plain, faults, error=unreachable)  # type: ignore[assignment]
        try:
            act(device)
        except (Killed, OSError, AllodError) as error:
            return error
        finally:
            device.transport = plain
    return None


def check(device: SimulatedDevice, *fleets: RepositorySimulator) -> None:
    """Never half-bound."""
    bound = device.binder(online=False).resume()
    assert device.bound == bound
    names = {path.name for path in (device.directory / "binding").iterdir()}
    assert not {"journal.1", "journal.2"} & names  # the secret is burnt
    if bound is None:
        return
    fleet = next(one for one in fleets if one.anchor.fleet == bound.fleet)
    key = load_identity(device.state.identity)
    assert key is not None
    assert key.device == bound.device
    floors = FloorsStore(device.state).load(bound.fleet)
    assert (floors.fleet, floors.epoch) == (bound.fleet, bound.epoch)
    record = (device.directory / "binding" / "record.json").read_bytes()
    roots = lambda version: fleet.files.get(f"tuf/{version}.root.json")  # noqa: E731
    found = verify_binding(record, roots).value.record
    assert (found.device, found.epoch) == (bound.device, bound.epoch)
    device.meet(fleet)
    assert device.accept().fresh


def calls(make, act) -> list[str]:
    """The calls that `act` makes."""
    faults = Faults()
    device = make()
    assert strike(faults, device, act) is None
    return faults.calls


@pytest.mark.parametrize("kind", STRIKES)
@pytest.mark.parametrize("online", [True, False])
def test_binding_survives_a_fault_at_every_call(
    swift_directory: Path, kind: Strike, online
) -> None:
    """Fail, restart, resume: unbound or bound; then binding goes through."""
    fleet = RepositorySimulator()
    invite = fleet.invite(uses=5)
    fresh = iter(range(10_000))

    def make() -> SimulatedDevice:
        return SimulatedDevice(swift_directory / str(next(fresh)), fleet)

    total = calls(make, lambda device: device.bind(invite, online=online))
    assert len(total) > 10
    outcomes = set()
    for at, name in enumerate(total, 1):
        device = make()
        error = strike(Faults(at, kind), device, lambda device: device.bind(invite, online=online))
        assert error is not None or name.startswith("SimulatedTransport.")  # for later
        check(device, fleet)
        outcomes.add(device.bound is None)
        if device.bound is None:
            assert device.bind(invite, online=online).fleet == fleet.anchor.fleet
            check(device, fleet)
        shutil.rmtree(device.directory)
    assert outcomes == {True, False}


@pytest.mark.parametrize("kind", STRIKES)
def test_unbinding_survives_a_fault_at_every_call(swift_directory: Path, kind: Strike) -> None:
    """Bound whole or unbound whole; an unbound device has another identity next time."""
    fleet = RepositorySimulator()
    fresh = iter(range(10_000))

    def make() -> SimulatedDevice:
        device = SimulatedDevice(swift_directory / str(next(fresh)), fleet)
        device.bind(fleet.invite())
        return device

    total = calls(make, lambda device: device.binder().unbind())
    for at in range(1, len(total) + 1):
        device = make()
        former = device.bound.device
        strike(Faults(at, kind), device, lambda device: device.binder().unbind())
        check(device, fleet)
        if device.bound is None:
            assert device.bind(fleet.invite(id="next")).device != former
        else:
            assert device.bound.device == former
        shutil.rmtree(device.directory)


@pytest.mark.parametrize("kind", STRIKES)
def test_a_transfer_survives_a_fault_at_every_call(swift_directory: Path, kind: Strike) -> None:
    """It belongs to the former owner or to the next one, whole, at every moment."""
    first, second = RepositorySimulator(), RepositorySimulator(TestOwner("second"))
    model = SimulatedDevice(swift_directory / "model", first)
    bound = model.bind(first.invite())
    until = instant(first.now + timedelta(days=30))
    first.add_statement(
        transfers=[Transfer(devices=[bound.device], to=second.anchor.fleet, until=until)]
    )
    model.accept()
    invite = second.invite()
    fresh = iter(range(10_000))

    def make() -> SimulatedDevice:
        directory = swift_directory / str(next(fresh))
        shutil.copytree(model.directory, directory)
        return SimulatedDevice(directory, second)

    total = calls(make, lambda device: device.bind(invite))
    owners = set()
    for at in range(1, len(total) + 1):
        device = make()
        strike(Faults(at, kind), device, lambda device: device.bind(invite))
        check(device, first, second)
        assert device.bound is not None
        assert device.bound.epoch == (1 if device.bound.fleet == first.anchor.fleet else 2)
        owners.add(device.bound.fleet)
        shutil.rmtree(device.directory)
    assert len(owners) == 2


@pytest.mark.parametrize("kind", STRIKES)
def test_acceptance_survives_a_fault_at_every_call(swift_directory: Path, kind: Strike) -> None:
    """Floors never fall, the view is the old or the new one, and the next look goes through."""
    fleet = RepositorySimulator()
    model = SimulatedDevice(swift_directory / "model", fleet)
    model.bind(fleet.invite())
    assert not model.accept().view.fleet.public
    fleet.set_fleet(public=True)
    fleet.refresh_timestamp()
    fresh = iter(range(10_000))

    def make() -> SimulatedDevice:
        directory = swift_directory / str(next(fresh))
        shutil.copytree(model.directory, directory)
        return SimulatedDevice(directory, fleet)

    total = calls(make, lambda device: device.accept())
    for at in range(1, len(total) + 1):
        device = make()
        floors = FloorsStore(device.state).load(fleet.anchor.fleet)
        strike(Faults(at, kind), device, lambda device: device.accept())
        now = FloorsStore(device.state).load(fleet.anchor.fleet)
        assert all(now.roles[role] >= version for role, version in floors.roles.items())
        assert (now.root_version, now.time) >= (floors.root_version, floors.time)
        device.transport.down = True
        assert device.accept().view is not None  # the old or the new one, whole
        device.transport.down = False
        again = device.accept()
        assert again.fresh
        assert again.view.fleet.public
        assert not [alarm for alarm in again.view.alarms if alarm.code != "cache-damaged"]
        shutil.rmtree(device.directory)
