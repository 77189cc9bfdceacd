"""The preview of a change: flaws that it mends, flaws that it brings, and what cannot be known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.unit.cli.vulnerabilities.shop import FLAW, OTHER, TOASTER, Shop, known, sbom, waitress

from allod.cli.vulnerabilities.change import Step, remarks_of, steps_of
from allod.cli.vulnerabilities.stored import Store
from allod.cli.vulnerabilities.ware import Release
from allod.domain import ids
from allod.domain.desired import (
    DeviceRecord,
    Level,
    PackageEntry,
    ReleaseOrder,
    Software,
    StateDocument,
)
from allod.domain.reported import Actual, ActualPackage, ActualRelease, Member


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A provider's registry."""
    return Shop(tmp_path)


def said(shop: Shop, new: Release, *former: Release) -> dict[str, str]:
    """Code -> words."""
    picture = SimpleNamespace(catalog=shop.catalog, base=SimpleNamespace(withdrawn={}))
    store = Store(picture, shop.bills, known())  # type: ignore[arg-type]
    return {one.code: one.says for one in remarks_of(Step(TOASTER, former, new), store)}


def test_what_is_mended_and_what_is_brought(shop: Shop) -> None:
    """An upgrade that mends one flaw and has a new one says both."""
    old = shop.push("1.0", sbom(waitress("2.1.1")))
    new = shop.push("2.0", sbom(waitress("2.2.0")))
    found = said(shop, new, old)
    assert set(found) == {"mends-flaws", "brings-flaws"}
    assert FLAW in found["mends-flaws"]
    assert OTHER in found["brings-flaws"]


def test_a_first_deployment_brings_what_it_has(shop: Shop) -> None:
    """Nothing ran before: all that it has is new."""
    found = said(shop, shop.push("1.0", sbom(waitress("2.1.1"))))
    assert set(found) == {"brings-flaws"}


def test_what_stays_is_said(shop: Shop) -> None:
    """A release that does not mend the flaw says that it is still there."""
    old = shop.push("1.0", sbom(waitress("2.1.0")))
    found = said(shop, shop.push("1.1", sbom(waitress("2.1.1"))), old)
    assert set(found) == {"keeps-flaws"}
    assert FLAW in found["keeps-flaws"]


def test_a_clean_change_says_nothing(shop: Shop) -> None:
    """No flaw before, none after: no line."""
    old = shop.push("1.0", sbom(waitress("2.1.2")))
    assert said(shop, shop.push("1.1", sbom(waitress("2.1.3"))), old) == {}


def test_without_a_signed_sbom_nothing_is_promised(shop: Shop) -> None:
    """An unsigned list that leaves the flawed part out mends nothing."""
    old = shop.push("1.0", sbom(waitress("2.1.1")))
    found = said(shop, shop.push("1.1", sbom(), sign=False), old)
    assert set(found) == {"flaws-unknown"}


def test_unknown_parts_are_counted(shop: Shop) -> None:
    """A part that nothing can be known of is said in the preview."""
    old = shop.push("1.0", sbom(waitress("2.1.1")))
    blob = {"type": "library", "name": "blob"}
    found = said(shop, shop.push("1.1", sbom(waitress("2.1.2"), blob)), old)
    assert set(found) == {"mends-flaws", "flaws-unknown"}


# -- which packages run another release --------------------------------------------------------------


DEVICE = ids.DeviceId("d" * 64)
GROUP, OTHER_GROUP = (ids.group_scope(ids.GroupName(name)) for name in ("kitchen", "bath"))


def order(version: str) -> ReleaseOrder:
    """A release that is wanted."""
    digest = ids.sha256(version.encode())
    return ReleaseOrder(ids.ProviderName("acme"), ids.Version(version), digest, Level.ACTIVE)


def wants(where: ids.Scope, version: str) -> StateDocument:
    """A scope that wants a toaster."""
    entry = PackageEntry(software=Software(releases=(order(version),)))
    return StateDocument(ids.FleetId("0" * 64), where, {str(TOASTER): entry})


def steps(
    before: dict[ids.Scope, StateDocument],
    after: dict[ids.Scope, StateDocument],
    *,
    runs: str = "",
) -> list[tuple[list[str], str]]:
    """From which versions to which; the device is in the kitchen."""
    actual = None
    if runs:
        has = ActualRelease(ids.Version(runs), ids.sha256(runs.encode()), Level.ACTIVE)
        packages = {TOASTER: ActualPackage(TOASTER, "active", (has,))}
        actual = Actual(datetime(2026, 1, 1, tzinfo=UTC), 1, {}, packages)
    member = Member(DEVICE, 1, (ids.GroupName("kitchen"),), actual=actual)
    known = {GROUP: wants(GROUP, "1.0"), OTHER_GROUP: wants(OTHER_GROUP, "2.0")}
    members = SimpleNamespace(documents=lambda: known)
    picture = SimpleNamespace(devices=(member,), members=members)
    found = steps_of(picture, before, after)  # type: ignore[arg-type]
    return [([one.version for one in step.former], step.next.version) for step in found]


def test_what_was_wanted_and_what_runs_is_replaced() -> None:
    """A device that lags behind has the flaws of what it runs, not only of what it should."""
    before, after = {GROUP: wants(GROUP, "1.1")}, {GROUP: wants(GROUP, "2.0")}
    assert steps(before, after) == [(["1.1"], "2.0")]
    assert steps(before, after, runs="1.0") == [(["1.1", "1.0"], "2.0")]
    assert steps({}, after) == [([], "2.0")]
    assert steps(after, after, runs="1.0") == []


def test_a_move_lets_a_device_run_what_its_new_group_has() -> None:
    """No document of a package changes, and the device gets another release all the same."""
    here = ids.device_scope(DEVICE)
    record = DeviceRecord(1, groups=(ids.GroupName("bath"),))
    moved = replace(StateDocument(ids.FleetId("0" * 64), here), device=record)
    assert steps({}, {here: moved}, runs="1.0") == [(["1.0"], "2.0")]
    stays = replace(moved, device=replace(record, groups=(ids.GroupName("kitchen"),)))
    assert steps({}, {here: stays}) == []
