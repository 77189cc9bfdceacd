"""Delegates and channels in the authority log, as an audit reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.audit.simulated_fleet import SimulatedFleet
from tests.unit.trust.test_delegates import wanted

from allod.domain.delegation import Follow
from allod.domain.ids import ProviderName, Purl, group_scope
from allod.testing.delegations import Delegating, SimulatedProvider
from allod.testing.owner import key_from
from allod.wire.channel import channel_path

KITCHEN = group_scope("kitchen")
LAMP = "pkg:generic/acme/lamp"
ACME = SimulatedProvider()
RELEASES = [{LAMP: (f"1.{n}", "sha256:" + f"{n}" * 64)} for n in range(5)]


@pytest.fixture
def fleet(tmp_path: Path) -> SimulatedFleet:
    """A fleet with an operator and a channel that is followed."""
    return SimulatedFleet(tmp_path)


@pytest.fixture
def world(fleet: SimulatedFleet) -> Delegating:
    """Its owner, delegates and providers."""
    made = Delegating(fleet.sim)
    made.set_provider(ACME)
    made.grant("ops", [KITCHEN])
    follow = Follow(ProviderName("acme"), "stable")
    made.grant("acme", [KITCHEN], ["pkg:generic/acme/*"], follow=follow)
    return made


def test_what_delegates_and_providers_did_is_no_finding(
    fleet: SimulatedFleet, world: Delegating
) -> None:
    """Orders, channels, a rotation of the provider, a revocation: audited at once or in steps."""
    for number in (1, 2):
        world.order("ops", KITCHEN, {Purl(LAMP): wanted()} if number == 1 else {})
        world.publish_channel(ACME.channel(number, RELEASES[number], fleet.sim.now))
        assert fleet.codes() == []
    new = SimulatedProvider(keys=[key_from("acme/new")])
    world.set_provider(new)
    world.publish_channel(new.channel(3, RELEASES[3], fleet.sim.now))
    assert fleet.codes() == []
    world.revoke("ops")
    assert fleet.codes() == []
    result = fleet.audit(scratch=True)
    assert result.findings == []
    (log,) = result.logs
    assert log.counts["channels"] == 3
    assert log.entries == log.counts["judged"] == log.counts["counting"]


def test_channels_that_nobody_signed_are_found(fleet: SimulatedFleet, world: Delegating) -> None:
    """A stranger's document, and one of a provider of whom the owner says nothing."""
    stranger = SimulatedProvider(keys=[key_from("stranger")])
    world.publish_channel(stranger.channel(9, RELEASES[1], fleet.sim.now))
    unknown = SimulatedProvider("other")
    world.publish_channel(unknown.channel(1, RELEASES[1], fleet.sim.now))
    assert fleet.found() == [
        ("log-entry-ignored", "channel:acme/stable"),
        ("log-entry-ignored", "channel:other/stable"),
    ]


def test_a_channel_with_two_contents_is_found(fleet: SimulatedFleet, world: Delegating) -> None:
    """In the log, or in the file beside it; and one that is not served."""
    world.publish_channel(ACME.channel(1, RELEASES[1], fleet.sim.now))
    fleet.audit()
    world.publish_channel(ACME.channel(1, RELEASES[2], fleet.sim.now))
    assert fleet.codes() == ["equivocation"]
    world.publish_channel(ACME.channel(2, RELEASES[2], fleet.sim.now))
    fleet.hidden.add(channel_path("acme", "stable", 2))
    assert fleet.found() == [("withheld", channel_path("acme", "stable", 2))]
    world.publish_channel(ACME.channel(3, RELEASES[2], fleet.sim.now))
    other = ACME.channel(3, RELEASES[3], fleet.sim.now)
    fleet.sim.files[channel_path("acme", "stable", 3)] = other
    assert fleet.found() == [("mix-and-match", channel_path("acme", "stable", 3))]


def test_what_is_said_after_the_distrust_began_is_found(
    fleet: SimulatedFleet, world: Delegating
) -> None:
    """Entries of a provider whom the owner distrusts from a place on do not count."""
    world.publish_channel(ACME.channel(1, RELEASES[1], fleet.sim.now))
    assert fleet.log.entries
    index = len(fleet.log.entries) - 1
    world.set_provider(ACME, distrusted="stolen", distrusted_after=index)
    assert fleet.codes() == []
    world.publish_channel(ACME.channel(2, RELEASES[2], fleet.sim.now))
    assert fleet.found() == [("log-entry-ignored", "channel:acme/stable")]


def test_an_order_that_no_delegate_signed_is_found(
    fleet: SimulatedFleet, world: Delegating
) -> None:
    """A file of a delegate's role without an entry, and an entry of a revoked delegate."""
    world.order("ops", KITCHEN, {Purl(LAMP): wanted()})
    assert fleet.codes() == []
    keys = fleet.sim.owner.delegates["ops"]
    world.revoke("ops")
    fleet.log.sign("delegation-ops", 2, "sha256:" + "6" * 64, keys)
    fleet.sim.refresh()
    assert fleet.found() == [("log-entry-ignored", "delegation-ops")]
