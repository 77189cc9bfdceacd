"""Which releases a verifier looks at when it is told none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.attacks.evidence_world import LAB
from tests.unit.cli.vulnerabilities.shop import Shop, known, sbom, waitress

from allod.cli.vouch_mends import _Voucher
from allod.cli.vulnerabilities.stored import Store
from allod.cli.vulnerabilities.ware import Release
from allod.domain.delegation import Channel, ChannelRelease
from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Software
from allod.domain.ids import Version
from allod.trust.keys import from_key
from allod.wire.trust import Verifier


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A provider's registry."""
    return Shop(tmp_path)


def document(*orders: ReleaseOrder, package: str) -> Any:
    """What a scope says of one package."""
    return SimpleNamespace(packages={package: PackageEntry(software=Software(releases=orders))})


def ordered(release: Release, level: Level = Level.ACTIVE) -> ReleaseOrder:
    """An order of that release."""
    return ReleaseOrder(release.provider, release.version, release.digest, level)


def test_what_is_to_run_is_looked_at_even_if_something_newer_is_there(shop: Shop) -> None:
    """By the owner's word, a delegate's, or a channel's; not what is only kept, nor what is gone."""
    made = {
        version: shop.push(version, sbom(waitress(version)))
        for version in ("2.1.0", "2.1.1", "2.1.2", "2.1.3", "2.1.4")
    }
    one, now = made["2.1.0"], datetime(2026, 1, 1, tzinfo=UTC)
    package = str(one.package)
    gone = ReleaseOrder(one.provider, Version("9.9"), one.digest, Level.ACTIVE)
    kept = ordered(one, Level.INSTALLED)
    states = {
        "a": document(ordered(made["2.1.1"]), kept, package=package),
        "b": document(gone, package=package),
    }
    theirs = {"c": document(ordered(made["2.1.2"]), package=package)}
    head = {one.package: ChannelRelease(made["2.1.3"].version, made["2.1.3"].digest)}
    channel = Channel(one.provider, "stable", 1, now, now, head)
    delegates = {
        "x": SimpleNamespace(documents=theirs, channel=None),
        "y": SimpleNamespace(documents={}, channel=channel),
    }
    base = SimpleNamespace(states=states, withdrawn={})
    picture: Any = SimpleNamespace(catalog=shop.catalog, base=base, delegates=delegates)
    store = Store(picture, shop.bills, known(), recalled=True)
    lab = Verifier(name="lab", key=from_key(LAB.public_key), vouches=["mends"])
    found = [found.version for found in _Voucher(picture, store, lab, LAB).ordered()]
    assert found == ["2.1.1", "2.1.2", "2.1.3"]
