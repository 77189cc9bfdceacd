"""Attack 53: the previous owner keeps root and server, and replays what was signed then."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from allod.agent.view import load_view
from allod.domain.desired import DeviceRecord, StateDocument
from allod.domain.ids import GroupName, device_scope
from allod.errors import AllodError, Untrusted
from allod.testing.link import SimulatedDevice
from allod.testing.repository import RepositorySimulator, TestOwner
from allod.trust.binding import verify_binding
from allod.wire.codec import instant
from allod.wire.trust import Transfer


def sign_over(
    seller: RepositorySimulator, device: SimulatedDevice, buyer: RepositorySimulator
) -> None:
    until = instant(seller.now + timedelta(days=30))
    transfer = Transfer(devices=[device.bound.device], to=buyer.anchor.fleet, until=until)
    seller.add_statement(transfers=[transfer])
    assert device.accept().fresh


def own(fleet: RepositorySimulator, device: SimulatedDevice, epoch: int, group: str) -> None:
    record = DeviceRecord(epoch, groups=(GroupName(group),))
    scope = device_scope(device.bound.device)
    fleet.set_state(StateDocument(fleet.anchor.fleet, scope, device=record))


def test_attack_53_what_the_seller_signed_is_worth_nothing_after_the_sale(tmp_path: Path) -> None:
    """Their repository, whole and newest, under their real root: refused, and the buyer's stands."""
    seller, buyer = (
        RepositorySimulator(TestOwner("seller")),
        RepositorySimulator(TestOwner("buyer")),
    )
    device = SimulatedDevice(tmp_path / "device", seller)
    device.bind(seller.invite())
    sign_over(seller, device, buyer)
    device.meet(buyer)
    device.bind(buyer.invite(groups=["hall"]))
    assert device.accept().fresh
    own(seller, device, 99, "kitchen")
    device.meet(seller)
    found = device.accept()
    assert not found.fresh
    assert isinstance(found.failure, AllodError)
    assert found.view.fleet_id == buyer.anchor.fleet
    assert found.view.groups == ("hall",)
    with pytest.raises(Untrusted) as caught:
        device.bind(seller.invite(id="claw-back"))
    assert caught.value.code == "already-bound"


def test_attack_53_documents_of_an_earlier_binding_are_past(tmp_path: Path) -> None:
    """Sold and bought back: what the owner once signed for the device's first time counts no more."""
    first, second = (
        RepositorySimulator(TestOwner("first")),
        RepositorySimulator(TestOwner("second")),
    )
    device = SimulatedDevice(tmp_path / "device", first)
    device.bind(first.invite())
    own(first, device, 1, "cellar")
    assert device.accept().view.groups == ("cellar",)
    sign_over(first, device, second)
    device.meet(second)
    device.bind(second.invite())
    sign_over(second, device, first)
    device.meet(first)
    back = device.bind(first.invite(groups=["kitchen"], id="back"))
    assert back.epoch == 3
    view = device.accept().view
    assert view.groups == ("kitchen",)
    assert device_scope(back.device) not in view.documents
    own(first, device, 3, "attic")
    assert device.accept().view.groups == ("attic",)


def test_attack_53_the_buyer_sees_that_there_was_a_binding_before(tmp_path: Path) -> None:
    """The record shows the epoch after a transfer, and the count after a reset at the machine."""
    seller, buyer = (
        RepositorySimulator(TestOwner("seller")),
        RepositorySimulator(TestOwner("buyer")),
    )
    device = SimulatedDevice(tmp_path / "device", seller)
    device.bind(seller.invite())
    former = device.bound.device
    device.binder().unbind()
    device.meet(buyer)
    device.bind(buyer.invite())
    data = (device.directory / "binding" / "record.json").read_bytes()
    record = verify_binding(data, lambda n: buyer.files.get(f"tuf/{n}.root.json")).value.record
    assert record.device != former
    assert record.facts["binding.unbound-before"] == "1"


@pytest.mark.parametrize("fault", ["another device", "another fleet", "over", "daily key only"])
def test_attack_53_only_the_roots_own_word_signs_a_device_over(tmp_path: Path, fault: str) -> None:
    """A transfer for others, to others, that has ended, or signed by less than the root."""
    seller, buyer = (
        RepositorySimulator(TestOwner("seller")),
        RepositorySimulator(TestOwner("buyer")),
    )
    device = SimulatedDevice(tmp_path / "device", seller)
    bound = device.bind(seller.invite())
    until = seller.now + timedelta(days=-1 if fault == "over" else 30)
    if fault == "daily key only":
        seller.owner.root = seller.owner.targets
    seller.add_statement(
        transfers=[
            Transfer(
                devices=["a" * 64 if fault == "another device" else bound.device],
                to="b" * 64 if fault == "another fleet" else buyer.anchor.fleet,
                until=instant(until),
            )
        ]
    )
    device.accept()
    with pytest.raises(Untrusted) as caught:
        device.bind(buyer.invite(), online=False)
    assert caught.value.code == "already-bound"
    assert device.bound.fleet == seller.anchor.fleet


def test_attack_53_the_former_owners_word_and_secrets_are_gone(tmp_path: Path) -> None:
    """View, token, secrets and reports of the seller are not there for the buyer."""
    seller, buyer = (
        RepositorySimulator(TestOwner("seller")),
        RepositorySimulator(TestOwner("buyer")),
    )
    device = SimulatedDevice(tmp_path / "device", seller)
    device.bind(seller.invite())
    secret = device.directory / "secrets" / "generic~me~toaster" / "password"
    secret.parent.mkdir()
    secret.write_text("crumbs")
    (device.directory / "token").write_text("{}")
    sign_over(seller, device, buyer)
    device.meet(buyer)
    device.bind(buyer.invite())
    assert not secret.exists()
    assert not (device.directory / "token").exists()
    assert load_view(device.state.accepted) is None
