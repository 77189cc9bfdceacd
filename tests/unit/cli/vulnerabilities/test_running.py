"""What runs where: releases by signed SBOMs, hosts by reports, devices on record; what is dark."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.cli.vulnerabilities.shop import TOASTER, Shop, sbom, waitress

from allod.cli.vulnerabilities.running import Fleet
from allod.cli.vulnerabilities.ware import Kind, Release, Running
from allod.domain import ids
from allod.domain.desired import Level
from allod.domain.foreign import BillOfMaterials, ForeignDevice
from allod.domain.reported import Actual, ActualPackage, ActualRelease, Member, Remark
from allod.wire.report import (
    ConfigurationOnDevice,
    HostPackage,
    Inventory,
    PackageReport,
    ReleaseOnDevice,
)

KITCHEN, BATH = ids.GroupName("kitchen"), ids.GroupName("bath")
BASH = Inventory(digest="1", dpkg=[HostPackage(name="bash", version="5.2-1")])
OLDER = Inventory(digest="1")


def device(letter: str, runs: Release | None, inventory: Inventory | None, **more: Any) -> Any:
    """A device that reports what it runs, or nothing at all."""
    group = more.pop("group", KITCHEN)
    name = ids.DeviceId(letter * 64)
    earlier = [
        SimpleNamespace(report=SimpleNamespace(inventory=one)) for one in more.pop("had", [])
    ]
    actual, report = None, None
    if runs is not None:
        has = ActualRelease(runs.version, runs.digest, Level.ACTIVE)
        packages = {TOASTER: ActualPackage(TOASTER, "active", (has,))}
        actual = Actual(datetime(2026, 1, 1, tzinfo=UTC), 1, {}, packages)
        said = ReleaseOnDevice(
            provider="acme", version=runs.version, digest=runs.digest, level="active"
        )
        packed = PackageReport(
            package=TOASTER, state="active", releases=[said],
            configuration=ConfigurationOnDevice(digest=None),
        )  # fmt: skip
        report = SimpleNamespace(packages=[packed], inventory=inventory, facts={"os": "debian-12"})
    member = Member(name, 1, (group,), letter, actual=actual, **more)
    binding = SimpleNamespace(device=name, record=SimpleNamespace(epoch=1))
    return SimpleNamespace(member=member, report=report, binding=binding, earlier=earlier)


def running(shop: Shop, *devices: Any, scope: ids.Scope | None = None, **more: Any) -> Running:
    """What runs on them."""
    by_name = {one.binding.device: one for one in devices}
    members = SimpleNamespace(
        devices=devices,
        vanished=more.pop("vanished", ()),
        read=lambda binding, _: SimpleNamespace(reports=by_name[binding.device].earlier),
    )
    picture: Any = SimpleNamespace(
        members=members,
        foreign=more.pop("foreign", ()),
        catalog=shop.catalog,
        fleet=SimpleNamespace(directory=shop.directory, **more),
    )
    return Fleet(picture, fetch=False).running(scope)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A provider's registry."""
    return Shop(tmp_path)


def test_equal_software_is_one_ware_on_many_devices(shop: Shop) -> None:
    """Two devices with one release and equal hosts: two wares, each on both; a third is let go."""
    toaster = shop.push("2.1.1", sbom(waitress("2.1.1")))
    found = running(
        shop,
        device("a", toaster, BASH),
        device("b", toaster, BASH),
        device("c", toaster, BASH, retired=True),
    )
    assert [(one.kind, len(one.parts)) for one in found.wares] == [
        (Kind.RELEASE, 1),
        (Kind.HOST, 1),
    ]
    assert [[place.shown for place in found.places[one.key]] for one in found.wares] == [
        ["a", "b"],
        ["a", "b"],
    ]
    assert (found.blind, found.devices, found.dark) == ((), 2, frozenset())


def test_lists_that_stood_in_an_earlier_report_are_found_and_kept(shop: Shop) -> None:
    """A device sends them once; without any report that has them, its host is unknown."""
    toaster = shop.push("2.1.1", sbom())
    asked = device("a", toaster, OLDER, had=[BASH, OLDER])
    assert [one.kind for one in running(shop, asked).wares] == [Kind.RELEASE, Kind.HOST]
    forgotten = device("a", toaster, OLDER)
    assert [len(one.parts) for one in running(shop, forgotten).wares] == [0, 1]  # kept here
    other = device("b", toaster, OLDER)
    assert [one.code for one in running(shop, other).blind] == ["no-inventory"]


def test_one_device_says_nothing_of_anothers_host(shop: Shop) -> None:
    """A device that claims another's digest changes nothing there: lists are kept by device."""
    toaster = shop.push("2.1.1", sbom())
    liar = Inventory(digest="1", dpkg=[HostPackage(name="nothing", version="1")])
    running(shop, device("a", toaster, liar))
    found = running(shop, device("b", toaster, OLDER, had=[BASH]))
    assert [part.name for ware in found.wares for part in ware.parts] == ["bash"]


def test_what_is_not_heard_or_not_believed_is_dark(shop: Shop) -> None:
    """Silent, doubted, hidden: none of them is clean."""
    toaster = shop.push("2.1.1", sbom())
    hidden = Remark("device-hidden", "the server does not show this device any more", "c" * 64)
    found = running(
        shop,
        device("a", None, None),
        device("b", toaster, None, doubts=("two devices speak with one key",)),
        vanished=(hidden,),
    )
    assert [one.code for one in found.blind] == ["no-report", "in-doubt", "device-hidden"]
    assert found.dark == {letter * 64 for letter in "abc"}


def test_a_group_has_its_devices_and_those_on_record(shop: Shop) -> None:
    """A scope leaves the others out; a device on record without SBOM is unknown."""
    toaster = shop.push("2.1.1", sbom())
    data = sbom(waitress("2.1.1"))
    bill = BillOfMaterials(ids.sha256(data), len(data), "application/vnd.cyclonedx+json")
    known = Member(
        ids.DeviceId("e" * 64), 1, (BATH,), "mr-1", foreign=ForeignDevice("Acme", "MR", sbom=bill)
    )
    unknown = Member(
        ids.DeviceId("f" * 64), 1, (BATH,), "plc-7", foreign=ForeignDevice("Steuer", "S5")
    )
    found = running(
        shop,
        device("a", toaster, BASH),
        scope=ids.group_scope(BATH),
        foreign=(known, unknown),
        kept=lambda *_: data,
    )
    assert [(one.name, len(one.parts)) for one in found.wares] == [("Acme MR", 1), ("plc-7", 0)]
    assert [(one.where, one.code) for one in found.blind] == [("plc-7", "no-sbom")]
