"""Attack 37: somebody has the provider's key, and publishes in the provider's name."""

from __future__ import annotations

from datetime import timedelta

from tests.unit.trust.test_following import (
    ACME,
    KITCHEN,
    LAMP,
    STABLE,
    followed,
    releases,
    says,
    version,
)

from allod.domain.condition import Change, ChangeFacts, Verb
from allod.domain.decision import decide
from allod.domain.ids import Purl
from allod.domain.terms import Approvals, Soak
from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient
from allod.testing.delegations import Delegating, SimulatedProvider
from allod.testing.owner import key_from
from allod.testing.repository import RepositorySimulator


def test_attack_37_without_a_grant_a_providers_word_moves_nothing() -> None:
    """Who follows no channel is not moved by one, whatever it says and whoever logs it."""
    world = Delegating(RepositorySimulator(log=AuthorityLog(witnesses=1)))
    world.set_provider(ACME)
    says(world, 1, "1.0")
    view = SimulatedClient(world.fleet).accept()
    assert (dict(view.delegates), view.refusals, view.alarms) == ({}, (), ())


def test_attack_37_the_terms_hold_the_thief_as_they_held_the_provider() -> None:
    """Soak gives the owner time to hear of it; approvals are of the owner's own people."""
    world = followed(AuthorityLog(witnesses=1), ACME)
    terms = [Soak(48 * 3600), Approvals((("qa", 1),))]
    world.grant("acme", [KITCHEN], ["pkg:generic/acme/*"], follow=STABLE, terms=terms)
    says(world, 1, "1.6")
    view = SimulatedClient(world.fleet).accept()
    delegation = view.delegates["acme"].delegation
    change = Change(Verb.ACTIVATE, KITCHEN, Purl(LAMP))
    facts = ChangeFacts(seen_since=world.fleet.now)
    found = decide(change, delegation.all_terms, facts, world.fleet.now + timedelta(days=9))
    assert [one.code for one in found.refusals] == ["approvals-missing"]


def test_attack_37_distrust_ends_it_for_devices_that_have_not_heard_the_thief() -> None:
    """From a place in the log on nothing counts, in whatever number the thief hides it."""
    world = followed(AuthorityLog(witnesses=1), ACME)
    says(world, 1, "1.0")
    client = SimulatedClient(world.fleet)
    client.accept()
    index = client.floors.channels["acme/stable"].index
    thief = ACME.channel(2**52, releases("1.6"), world.fleet.now)
    world.publish_channel(thief)
    world.set_provider(ACME, distrusted="the key was stolen", distrusted_after=index)
    assert version(client.accept()) == "1.0"
    again = ACME.channel(2, releases("1.6"), world.fleet.now - timedelta(days=3))
    world.publish_channel(again)
    assert version(client.accept()) == "1.0"
    assert version(SimulatedClient(world.fleet).accept()) == "1.0"


def test_attack_37_a_new_key_ends_it_for_all() -> None:
    """With the provider's new key the thief's word is void, and so is the number they burnt."""
    world = followed(AuthorityLog(witnesses=1), ACME)
    says(world, 1, "1.0")
    client = SimulatedClient(world.fleet)
    client.accept()
    world.publish_channel(ACME.channel(2**52, releases("1.6"), world.fleet.now))
    assert version(client.accept()) == "1.6"
    new = SimulatedProvider(keys=[key_from("acme/after")])
    world.set_provider(new)
    assert client.accept().delegates["acme"].channel is None
    world.publish_channel(new.channel(2, releases("1.1"), world.fleet.now))
    assert version(client.accept()) == "1.1"
    world.publish_channel(ACME.channel(2**52 + 1, releases("1.6"), world.fleet.now))
    view = client.accept()
    assert version(view) == "1.1"
    assert [one.code for one in view.refusals] == ["auth"]
