"""Attack 30: a delegate, or a provider, who publishes without end."""

from __future__ import annotations

from dataclasses import replace

from tests.quick_disk import quick_disk as quick_disk  # noqa: PLC0414 — a fixture
from tests.unit.server.conftest import rig as rig  # noqa: PLC0414 — a fixture
from tests.unit.server.test_channels import ACME, FOLLOW, TOASTER

from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Software
from allod.domain.ids import GroupName, ProviderName, Version, group_scope, sha256
from allod.errors import AllodError
from allod.testing.delegations import Delegating
from allod.testing.server import ServerRig

KITCHEN = group_scope(GroupName("kitchen"))
MINE = "pkg:generic/me/toaster"


def entry(number: int) -> PackageEntry:
    order = ReleaseOrder(
        ProviderName("me"), Version(f"1.{number}"), sha256(b"%d" % number), Level.ACTIVE
    )
    return PackageEntry(software=Software(releases=(order,)))


def test_attack_30_a_delegate_and_a_provider_flood_a_fleet(rig: ServerRig) -> None:  # noqa: F811
    """An hour of attempts, one every half minute from each: the server publishes what their budgets
    allow, the files do not grow beyond it, and the owner's own change is published at once.
    """
    made = Delegating(rig.simulator)
    rig.change(made.grant("ops", [KITCHEN], [MINE]))
    rig.change(made.set_provider(ACME))
    rig.change(made.grant("acme", [KITCHEN], ["pkg:generic/acme/*"], follow=FOLLOW))
    begun = rig.server.fleets.need(rig.fleet).news
    settings = rig.settings = replace(rig.settings, orders_an_hour=6, documents_an_hour=3)
    rig.restart()
    taken = {"orders": 0, "documents": 0}
    for attempt in range(1, 121):
        rig.clock.pass_time(seconds=30)
        rig.simulator.now = rig.clock.now()
        before = rig.simulator.snapshot_state()
        try:
            rig.change(made.order("ops", KITCHEN, {MINE: entry(attempt)}))
            taken["orders"] += 1
        except AllodError as error:
            assert error.code == "too-many"
            rig.simulator = before
            made = Delegating(before)
        raw = ACME.channel(
            attempt, {TOASTER: (f"1.{attempt}", sha256(b"%d" % attempt))}, rig.clock.now()
        )
        try:
            rig.server.channels.take(rig.fleet, raw)
            taken["documents"] += 1
        except AllodError as error:
            assert error.code == "too-many"
    # A full budget at first, and what an hour adds.
    assert taken["orders"] <= 2 * settings.orders_an_hour
    assert taken["documents"] <= 2 * settings.documents_an_hour
    root = settings.layout.fleet(rig.fleet).root
    assert len(list((root / "channels/acme/stable").glob("[0-9]*.json"))) == taken["documents"]
    assert rig.server.fleets.need(rig.fleet).news == begun + sum(taken.values())
    rig.change(rig.simulator.set_packages(KITCHEN, {MINE: entry(0)}))
