"""Channels on the device: the highest sequence that counts, floors, distrust, and since when."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from tests.unit.trust.test_delegates import wanted

from allod.domain.delegation import Channel, Follow
from allod.domain.ids import ProviderName, Purl, group_scope
from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient
from allod.testing.delegations import Delegating, SimulatedProvider
from allod.testing.owner import key_from
from allod.testing.repository import START, RepositorySimulator
from allod.trust.device_view import DeviceView
from allod.wire.channel import channel_path, checkpoint_path, latest_path

KITCHEN = group_scope("kitchen")
LAMP = "pkg:generic/acme/lamp"
STABLE = Follow(ProviderName("acme"), "stable")
DIGESTS = {f"1.{n}": "sha256:" + f"{n:064x}" for n in range(200)}


def releases(version: str) -> dict[str, tuple[str, str]]:
    """What a channel says: one package in one version."""
    return {LAMP: (version, DIGESTS[version])}


def followed(log: AuthorityLog | None, provider: SimulatedProvider) -> Delegating:
    """A fleet in which the kitchen follows acme/stable."""
    world = Delegating(RepositorySimulator(log=log))
    world.set_provider(provider)
    world.grant("acme", [KITCHEN], ["pkg:generic/acme/*"], follow=STABLE)
    world.set_manager(KITCHEN, "pkg:generic/acme/*", "acme")
    return world


@pytest.fixture(params=[False, True], ids=["unlogged", "logged"])
def world(request: pytest.FixtureRequest) -> Delegating:
    """Without a log and with a witnessed one."""
    log = AuthorityLog(witnesses=3, quorum=2) if request.param else None
    return followed(log, SimulatedProvider())


ACME = SimulatedProvider()


def says(world: Delegating, sequence: int, version: str) -> bytes:
    """Acme publishes a document, and the server copies it."""
    raw = ACME.channel(sequence, releases(version), world.fleet.now)
    world.publish_channel(raw)
    return raw


def channel(view: DeviceView) -> Channel:
    """The channel that counts for the device."""
    found = view.delegates["acme"].channel
    assert found is not None, view.refusals
    return found


def version(view: DeviceView) -> str:
    """Which release of the lamp it names."""
    return str(channel(view).packages[Purl(LAMP)].version)


def test_the_newest_document_is_the_delegates_word(world: Delegating) -> None:
    """It arrives with a receipt: its path, its digest, its place in the log."""
    says(world, 1, "1.0")
    client = SimulatedClient(world.fleet)
    view = client.accept()
    assert version(view) == "1.0"
    assert view.refusals == view.alarms == ()
    authority = view.delegate_authorities["acme", KITCHEN]
    assert authority.document == channel_path("acme", "stable", 1)
    assert (authority.role, authority.delegation) == ("channel:acme/stable", "acme")
    logged = world.fleet.log is not None
    assert (authority.log_index is not None, authority.checkpoint is not None) == (logged, logged)
    says(world, 5, "1.1")
    assert version(client.accept()) == "1.1"
    assert version(client.accept()) == "1.1"
    assert client.floors.channels["acme/stable"].version == 5


def test_a_channel_of_nobody_is_no_word(world: Delegating) -> None:
    """No document, an unknown provider: refused is the delegate's word alone."""
    assert SimulatedClient(world.fleet).accept().delegates["acme"].channel is None
    world.fleet.remove_target("providers/acme.json")
    says(world, 1, "1.0")
    view = SimulatedClient(world.fleet).accept()
    assert [one.code for one in view.refusals] == ["unknown-provider"]
    assert KITCHEN in view.documents


def test_an_older_document_does_not_come_back(world: Delegating) -> None:
    """The server shows yesterday's: what was seen before holds."""
    old = says(world, 1, "1.0")
    says(world, 2, "1.1")
    client = SimulatedClient(world.fleet)
    assert version(client.accept()) == "1.1"
    world.publish_channel(old)
    view = client.accept()
    assert version(view) == "1.1"
    if world.fleet.log is None:
        assert [one.code for one in view.refusals] == ["rollback"]
    assert version(SimulatedClient(world.fleet).accept()) == (
        "1.1" if world.fleet.log is not None else "1.0"
    )


def test_two_contents_under_one_number_are_an_alarm(world: Delegating) -> None:
    """The first holds, and the owner hears of the second."""
    says(world, 1, "1.0")
    client = SimulatedClient(world.fleet)
    client.accept()
    says(world, 1, "1.1")
    view = client.accept()
    assert version(view) == "1.0"
    assert [one.code for one in view.alarms] == ["equivocation"]


def test_a_silent_source_changes_nothing(world: Delegating) -> None:
    """What counted is in the cache; without it, it is asked for by its number."""
    says(world, 1, "1.0")
    client = SimulatedClient(world.fleet)
    client.accept()
    del world.fleet.files[latest_path("acme", "stable")]
    assert version(client.accept()) == "1.0"
    client.cached = {n: d for n, d in client.cached.items() if not n.startswith("channel-")}
    assert version(client.accept()) == "1.0"
    client.cached = {n: d for n, d in client.cached.items() if not n.startswith("channel-")}
    world.fleet.files[channel_path("acme", "stable", 1)] = ACME.channel(1, releases("1.1"), START)
    view = client.accept()
    assert view.delegates["acme"].channel is None
    assert [one.code for one in view.refusals] == ["withheld"]


def test_strangers_and_junk_do_not_count(world: Delegating) -> None:
    """Another's key, another channel's document, bytes: refused, and what counts goes on."""
    says(world, 1, "1.0")
    client = SimulatedClient(world.fleet)
    client.accept()
    stranger = SimulatedProvider(keys=[key_from("stranger")])
    world.publish_channel(stranger.channel(2**50, releases("1.9"), START))
    view = client.accept()
    assert version(view) == "1.0"
    assert [one.code for one in view.refusals] == ["auth"]
    other = ACME.channel(9, releases("1.9"), START, channel="beta")
    world.fleet.files[latest_path("acme", "stable")] = other
    assert version(client.accept()) == "1.0"
    world.fleet.files[latest_path("acme", "stable")] = b"{"
    assert version(client.accept()) == "1.0"


def test_packages_of_others_fall_away(world: Delegating) -> None:
    """A provider speaks for the namespaces that this owner gave, whatever else the channel has."""
    packages = {**releases("1.0"), "pkg:generic/other/radio": ("1.0", DIGESTS["1.7"])}
    world.publish_channel(ACME.channel(1, packages, START))
    assert set(channel(SimulatedClient(world.fleet).accept()).packages) == {LAMP}


def test_a_rotated_provider_speaks_anew(world: Delegating) -> None:
    """With other keys the old word is none; a lower number counts, also if it was logged before."""
    says(world, 2**52, "1.0")
    client = SimulatedClient(world.fleet)
    client.accept()
    new = SimulatedProvider(keys=[key_from("acme/new")])
    world.publish_channel(new.channel(3, releases("1.3"), START))
    assert version(client.accept()) == "1.0"
    world.set_provider(new)
    assert version(client.accept()) == "1.3"
    assert client.floors.channels["acme/stable"].version == 3


def test_who_follows_later_finds_what_was_logged_before() -> None:
    """A device that read past a channel's entries judges them once the channel concerns it."""
    log = AuthorityLog(witnesses=1)
    world = Delegating(RepositorySimulator(log=log))
    world.set_provider(ACME)
    for number in range(1, 8):
        says(world, number, f"1.{number}")
    client = SimulatedClient(world.fleet)
    client.accept()
    assert client.floors.passed["channel:acme/stable"].first > 0
    world.fleet.pass_time(timedelta(hours=1))
    world.grant("acme", [KITCHEN], ["pkg:generic/acme/*"], follow=STABLE)
    world.set_manager(KITCHEN, "pkg:generic/acme/*", "acme")
    view = client.accept()
    assert (version(view), view.refusals) == ("1.7", ())
    assert "channel:acme/stable" not in client.floors.passed
    world.fleet.asked.clear()
    assert version(client.accept()) == "1.7"
    assert not any("/entries/000" in path and ".p/" not in path for path in world.fleet.asked)


def test_a_delegate_who_later_concerns_the_device_is_judged_from_the_log() -> None:
    """The role's entries were passed over; older ones are read once more, and only then."""
    world = Delegating(RepositorySimulator(log=AuthorityLog(witnesses=1)))
    world.grant("ops", [KITCHEN])
    for number in range(5):
        world.order("ops", KITCHEN, {Purl(LAMP): wanted("sha256:" + f"{number}" * 64)})
        world.fleet.set_packages(group_scope("garden"), {})
    client = SimulatedClient(world.fleet)
    client.accept()
    assert "delegation-ops" in client.floors.passed
    assert "delegation-ops" not in client.floors.counted
    world.set_manager(KITCHEN, LAMP, "ops")
    view = client.accept()
    assert view.refusals == ()
    assert KITCHEN in view.delegates["ops"].documents
    assert client.floors.counted["delegation-ops"].version == 5
    assert "delegation-ops" not in client.floors.passed
    world.order("ops", KITCHEN, {Purl(LAMP): wanted()})
    assert client.accept().delegate_authorities["ops", KITCHEN].version == 6


def test_distrust_after_a_place_in_the_log_keeps_what_was_said_before() -> None:
    """Entries after it never count, those before go on; who had a later one has no word."""
    log = AuthorityLog(witnesses=1)
    world = followed(log, ACME)
    says(world, 1, "1.0")
    early = SimulatedClient(world.fleet)
    early.accept()
    index = early.floors.channels["acme/stable"].index
    says(world, 2, "1.1")
    late = SimulatedClient(world.fleet)
    assert version(late.accept()) == "1.1"
    world.set_provider(ACME, distrusted="keys were stolen", distrusted_after=index)
    view = early.accept()
    assert version(view) == "1.0"
    assert version(SimulatedClient(world.fleet).accept()) == "1.0"
    assert late.accept().delegates["acme"].channel is None
    says(world, 3, "1.2")
    assert version(early.accept()) == "1.0"
    assert late.accept().delegates["acme"].channel is None


def test_distrust_of_all_ends_the_channel(world: Delegating) -> None:
    """Without a place in the log nothing of the provider counts any more."""
    says(world, 1, "1.0")
    client = SimulatedClient(world.fleet)
    client.accept()
    world.set_provider(ACME, distrusted="keys were stolen")
    view = client.accept()
    assert view.delegates["acme"].channel is None
    assert [one.code for one in view.refusals] == ["provider-distrusted"]


def test_a_witnessed_checkpoint_says_since_when_a_document_is_known() -> None:
    """The server's evidence counts if it is of this log, by a quorum, and has the entry."""
    log = AuthorityLog(witnesses=3, quorum=2)
    world = followed(log, ACME)
    fleet = world.fleet
    before = log.checkpoint(fleet.now).encode()
    says(world, 1, "1.0")
    path = checkpoint_path("acme", "stable", 1)
    evidence = log.checkpoint(fleet.now).encode()
    cosigners, log.cosigners = log.cosigners, log.cosigners[:1]
    lonely = log.checkpoint(fleet.now).encode()
    log.cosigners = cosigners
    for number in range(300):
        says(world, number + 2, f"1.{number % 9}")
    says(world, 1000, "1.0")
    fleet.pass_time(timedelta(days=2))
    fleet.refresh()
    fork = log.copy()
    fork.entries[0] = fork.entries[1]
    forked = fork.checkpoint(fleet.now).encode()
    fork.entries.pop(1)
    shorter = fork.checkpoint(fleet.now).encode()
    client = SimulatedClient(fleet)
    newest = checkpoint_path("acme", "stable", 1000)
    assert channel(client.accept()).seen_since is None
    for bad in (before, evidence, lonely, forked, shorter, b"junk"):
        fleet.files[newest] = bad
        assert channel(client.accept()).seen_since is None
    assert path != newest
    fleet.files[newest] = log.checkpoint(fleet.now - timedelta(days=1)).encode()
    fleet.pass_time(timedelta(hours=1))
    world.fleet.set_packages(group_scope("garden"), {})
    since = channel(client.accept()).seen_since
    assert since == START + timedelta(days=1)
    del fleet.files[newest]
    assert channel(client.accept()).seen_since == since


def test_a_log_that_is_read_once_more_has_to_be_the_same() -> None:
    """What was passed over is judged from the very entries that were verified, or not at all."""
    log = AuthorityLog(witnesses=1)
    world = Delegating(RepositorySimulator(log=log))
    world.set_provider(ACME)
    says(world, 1, "1.1")
    client = SimulatedClient(world.fleet)
    client.accept()
    world.grant("acme", [KITCHEN], ["pkg:generic/acme/*"], follow=STABLE)
    world.set_manager(KITCHEN, "pkg:generic/acme/*", "acme")
    client.accept()
    forged = ACME.channel(9, releases("1.9"), START)
    second = SimulatedClient(world.fleet)
    second.floors = next(one for one in client.kept if "channel:acme/stable" in one.passed)
    twin = log.copy()
    place = next(n for n, entry in enumerate(twin.entries) if b"allod.channel.v1" in entry)
    twin.add_channel(forged)
    twin.entries[place] = twin.waiting.pop()[1]
    altered = twin.files(START)
    world.fleet.files.update({n: d for n, d in altered.items() if "/tile/entries/" in n})
    view = second.accept()
    assert view.delegates["acme"].channel is None
    assert [one.code for one in view.refusals] == ["log-consistency"]
    assert KITCHEN in view.documents


@pytest.mark.parametrize("seed", range(12))
def test_lazy_judgement_is_that_of_an_auditor(seed: int) -> None:
    """Whatever entries a delegate's role has: who judges only what decides finds the same."""
    choose = random.Random(seed)
    log = AuthorityLog(witnesses=1)
    world = Delegating(RepositorySimulator(log=log))
    world.grant("ops", [KITCHEN])
    held, stranger = world.fleet.owner.delegates["ops"], [key_from("stranger")]
    if seed == 0:
        log.sign("delegation-ops", 1, "sha256:" + "1" * 64, held)
        log.sign("delegation-ops", 3, "sha256:" + "3" * 64, stranger)
    for _ in range(choose.randrange(1, 9) if seed else 0):
        version, digest = choose.randrange(1, 5), f"sha256:{choose.randrange(2):064x}"
        log.sign("delegation-ops", version, digest, choose.choice([held, held, stranger]))
        if choose.random() < 0.3:
            world.fleet.refresh()
        if choose.random() < 0.3:
            world.fleet.set_packages(group_scope("garden"), {})
    world.fleet.refresh()
    everything = world.fleet.observe().floors.counted.get("delegation-ops")
    world.set_manager(KITCHEN, LAMP, "ops")
    client = SimulatedClient(world.fleet)
    client.accept()
    assert client.floors.counted.get("delegation-ops") == everything
