"""Pain 24 (azure-sphere-issues#134): a claim can never be undone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from allod.testing.link import SimulatedDevice
from allod.testing.repository import RepositorySimulator, TestOwner
from allod.wire.codec import instant
from allod.wire.trust import Transfer


def test_pain_24_whoever_holds_the_machine_can_free_it(tmp_path: Path) -> None:
    """The owner is gone, with keys and server: the machine itself ends the binding, and is bindable."""
    gone, next_owner = (
        RepositorySimulator(TestOwner("gone")),
        RepositorySimulator(TestOwner("next")),
    )
    device = SimulatedDevice(tmp_path / "device", gone)
    device.bind(gone.invite())
    device.transport.down = True
    device.binder(online=False).unbind()
    assert device.bound is None
    device.meet(next_owner)
    assert device.bind(next_owner.invite()).fleet == next_owner.anchor.fleet
    assert device.accept().fresh


def test_pain_24_an_owner_can_sign_a_device_over(tmp_path: Path) -> None:
    """Without anybody at the machine, and with its history: the same device, one epoch further."""
    seller, buyer = (
        RepositorySimulator(TestOwner("seller")),
        RepositorySimulator(TestOwner("buyer")),
    )
    device = SimulatedDevice(tmp_path / "device", seller)
    bound = device.bind(seller.invite())
    until = instant(seller.now + timedelta(days=30))
    transfer = Transfer(devices=[bound.device], to=buyer.anchor.fleet, until=until)
    seller.add_statement(transfers=[transfer])
    assert device.accept().fresh
    device.meet(buyer)
    moved = device.bind(buyer.invite())
    assert (moved.device, moved.epoch) == (bound.device, 2)
    assert device.accept().fresh
