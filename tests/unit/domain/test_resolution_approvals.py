"""Whose approvals a resolved package carries."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from allod.domain.approval import Approval
from allod.domain.condition import Verb
from allod.domain.delegation import Channel, ChannelRelease, Delegate, Delegation
from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Software, StateDocument
from allod.domain.ids import (
    FleetId,
    GroupName,
    ProviderName,
    Purl,
    Version,
    group_scope,
    sha256,
)
from allod.domain.resolution import ResolvedSoftware, resolve

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TOASTER = Purl("pkg:generic/acme/toaster")
KITCHEN = group_scope(GroupName("kitchen"))
ACME = ProviderName("acme")
ANN = Approval("qa", "ann", NOW)
BOB = Approval("qa", "bob", NOW)
OWNERS = StateDocument(
    FleetId("f" * 64),
    KITCHEN,
    packages={TOASTER: PackageEntry(software=Software("security"), approved=(ANN,))},
)
DELEGATION = Delegation("security", frozenset({KITCHEN}), (TOASTER,), frozenset(Verb))


def software(delegate: Delegate) -> ResolvedSoftware:
    """What is resolved of the toaster."""
    found = resolve([KITCHEN], {KITCHEN: OWNERS}, delegates={"security": delegate})
    wanted = found.packages[TOASTER].software
    assert isinstance(wanted, ResolvedSoftware)
    return wanted


def test_approvals_of_the_owners_entry_are_none_of_a_channels_release() -> None:
    """What people approved when the package was handed over is not what a channel says later."""
    said = ChannelRelease(Version("2"), sha256(b"2"))
    channel = Channel(ACME, "stable", 1, NOW, NOW + timedelta(days=9), {TOASTER: said})
    assert software(Delegate(DELEGATION, channel=channel)).approved == ()


def test_a_delegates_order_carries_its_own_approvals() -> None:
    """Those of the entry that orders it, and not those of the owner's entry."""
    order = ReleaseOrder(ACME, Version("2"), sha256(b"2"), Level.ACTIVE)
    entry = PackageEntry(software=Software(releases=(order,)), approved=(BOB,))
    document = replace(OWNERS, packages={TOASTER: entry}, author="security")
    assert software(Delegate(DELEGATION, {KITCHEN: document})).approved == (BOB,)
