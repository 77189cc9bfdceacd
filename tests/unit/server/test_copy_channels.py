"""Copying channels from a provider's registry: over real HTTP, and against a source that lies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from allod.domain.delegation import Follow
from allod.domain.desired import ReleaseOrder
from allod.domain.ids import (
    Digest,
    FleetId,
    GroupName,
    ProviderName,
    Purl,
    Version,
    group_scope,
    sha256,
)
from allod.errors import Unavailable
from allod.server.registry.ports import Repository
from allod.server.registry.service import push_manifest, release_of
from allod.server.services.copy_channels import FIRST_PAUSE, LONGEST_PAUSE, OF_ONE
from allod.server.services.mirror import Mirror
from allod.testing.delegations import Delegating, SimulatedProvider
from allod.testing.payloads import Item, Payload, payload
from allod.testing.registry import Publisher
from allod.testing.registry_server import FLEET, RunningRegistry, registry_server
from allod.testing.server import ServerRig
from allod.wire import oci
from allod.wire.oci import Descriptor

KITCHEN = group_scope(GroupName("kitchen"))
TOASTER, OVEN = Purl("pkg:generic/acme/toaster"), Purl("pkg:generic/acme/oven")
ACME = SimulatedProvider("acme")


@dataclass
class Shelf:
    """A provider's registry in a dictionary; implements `Source`."""

    publisher: Publisher
    files: dict[str, bytes] = field(default_factory=dict)  #: of channels, by tag and digest
    asked: list[str] = field(default_factory=list)
    lies: dict[str, bytes | None] = field(default_factory=dict)
    hold: threading.Event | None = None

    def channel(self, raw: bytes, tag: str = "stable") -> None:
        """Put a channel's document out."""
        self.files[tag] = oci.encode_document(oci.channel_manifest(raw))
        self.files[sha256(raw)] = raw

    def _get(self, what: str) -> bytes | None:
        self.asked.append(what)
        if self.hold is not None:
            self.hold.wait(10)
        name, _, rest = what.partition(" ")
        if what in self.lies:
            return self.lies[what]
        if name == oci.CHANNELS:
            return self.files.get(rest.rpartition("/")[2])
        place = f"v2/{self.publisher.fleet}/{self.publisher.name}/{name}"
        return self.publisher.transport.files.get(f"{place}/{rest}")

    def manifest(self, source: str, name: str, reference: str) -> bytes | None:
        if "down" in source:
            self.asked.append("down")
            raise Unavailable("registry-unreachable", "cannot reach it")
        return self._get(f"{name} manifests/{reference}")

    def referrers(
        self, source: str, name: str, subject: Digest, kind: str | None
    ) -> list[Descriptor]:
        del source
        raw = self._get(f"{name} referrers/{subject}")
        found = [] if raw is None else oci.decode_index(raw).manifests
        return [one for one in found if kind in {None, one.artifact_type}]

    def blob(self, source: str, name: str, digest: Digest, size: int) -> Iterator[bytes]:
        del source
        data = self._get(f"{name} blobs/{digest}")
        if data is None:
            raise Unavailable("registry-failed", "cannot find it")
        yield data[:size]


@pytest.fixture
def shelf() -> Shelf:
    """Of acme, with the keys that the fleet knows."""
    return Shelf(Publisher(key=ACME.keys[0]))


@pytest.fixture
def following(rig: ServerRig, shelf: Shelf) -> ServerRig:
    """A fleet that follows `acme/stable` from the shelf."""
    follow(rig, "https://shelf.example/acme")
    rig.restart(source=shelf)
    return rig


def follow(rig: ServerRig, source: str, name: str = "acme", channel: str = "stable") -> None:
    made = Delegating(rig.simulator)
    if "acme" not in rig.server.fleets.need(rig.fleet).providers:
        rig.change(made.set_provider(ACME))
    wanted = Follow(ProviderName("acme"), channel, source)
    rig.change(made.grant(name, [KITCHEN], [str(TOASTER)], follow=wanted))


def document(rig: ServerRig, sequence: int, *orders: tuple[Purl, ReleaseOrder], **fields) -> bytes:
    packages = {str(purl): (str(one.version), str(one.digest)) for purl, one in orders}
    return ACME.channel(sequence, packages, rig.clock.now(), **fields)


def made(purl: Purl = TOASTER, version: str = "1.0") -> Payload:
    content = f"{purl} {version}".encode()
    return payload([Item("bin/run", content)], package=purl, version=Version(version))


def look(rig: ServerRig, channel: str = "stable") -> str:
    """One look at all sources; why the channel could not be copied."""
    rig.server.copy_channels()
    rig.server.copy_channels.wait(20)
    return rig.server.copy_channels.polled(rig.fleet, "acme", channel).failure


def store_of(rig: ServerRig):
    return rig.server.copy_channels._mirror._stores(rig.fleet)


def test_a_channel_and_its_releases_are_copied(following: ServerRig, shelf: Shelf) -> None:
    """The provider's statement first, then the release, then the document; what is here is not
    fetched again, and what no delegation covers is not fetched at all.
    """
    rig = following
    order, other = shelf.publisher.push(made()), shelf.publisher.push(made(OVEN))
    shelf.channel(document(rig, 1, (TOASTER, order), (OVEN, other)))
    assert look(rig) == ""
    kinds = [what.split(" ")[0] + " " + what.split(" ")[1].split("/")[0] for what in shelf.asked]
    assert kinds == [
        "channels manifests",
        "channels blobs",
        "toaster referrers",
        "toaster manifests",
        "toaster blobs",
        "toaster manifests",
        "toaster blobs",
        "toaster blobs",
        "toaster referrers",  # what else lies beside it, and under older tools' tags
        *3 * ["toaster manifests"],
    ]
    here = Repository("acme", "toaster")
    release = release_of(store_of(rig), here, order.digest)
    assert release is not None
    assert store_of(rig).catalogue.resolve(here, "1.0") == order.digest
    [status] = rig.server.channels.listed(rig.fleet).channels
    assert (status.sequence, status.failure) == (1, "")
    assert status.polled is not None
    shelf.asked.clear()
    rig.clock.pass_time(hours=1)
    assert look(rig) == ""
    assert len(shelf.asked) == 1, "what did not change costs one question"
    newer = shelf.publisher.push(made(version="1.1"))
    shelf.channel(document(rig, 2, (TOASTER, newer)))
    rig.clock.pass_time(hours=1)
    assert look(rig) == ""
    assert rig.server.channels.listed(rig.fleet).channels[0].sequence == 2
    assert store_of(rig).catalogue.resolve(here, "1.1") == newer.digest


def test_nobody_is_asked_before_it_is_their_turn(following: ServerRig, shelf: Shelf) -> None:
    """After a success so many seconds, give or take; after failures ever more, up to a limit."""
    rig = following
    look(rig)
    pauses = []
    for _ in range(12):
        shelf.asked.clear()
        waited = 0
        while not shelf.asked:
            rig.clock.pass_time(seconds=5)
            waited += 5
            look(rig)
        pauses.append(waited)
    assert 0.8 * FIRST_PAUSE <= pauses[0] <= 1.2 * FIRST_PAUSE + 5
    assert pauses[3] > 2 * pauses[0]
    assert 0.8 * LONGEST_PAUSE <= pauses[-1] <= 1.2 * LONGEST_PAUSE + 5
    shelf.channel(document(rig, 1))
    rig.clock.pass_time(hours=2)
    assert look(rig) == ""
    shelf.asked.clear()
    rig.clock.pass_time(seconds=0.7 * rig.settings.poll_seconds)
    look(rig)
    assert shelf.asked == []
    rig.clock.pass_time(seconds=0.6 * rig.settings.poll_seconds)
    look(rig)
    assert shelf.asked != []


def test_what_nobody_signed_is_not_fetched(following: ServerRig, shelf: Shelf) -> None:
    """A release without its provider's statement, or with one of other bytes, costs no payload;
    the channel is taken all the same, and the release follows once it is signed.
    """
    rig = following
    order = shelf.publisher.push(made(), sign=False)
    stranger = Publisher()
    stranger.transport = shelf.publisher.transport
    stranger.vouch(order, TOASTER, Version("1.0"), 1)
    shelf.channel(document(rig, 1, (TOASTER, order)))
    assert "good" in look(rig)
    assert not [
        what for what in shelf.asked if what.startswith(f"toaster manifests/{order.digest}")
    ]
    assert rig.server.channels.listed(rig.fleet).channels[0].sequence == 1
    shelf.publisher.vouch(order, TOASTER, Version("2.0"), 1)
    rig.clock.pass_time(hours=1)
    assert look(rig) != ""
    shelf.publisher.vouch(order, TOASTER, Version("1.0"), 1)
    rig.clock.pass_time(hours=2)
    assert look(rig) == ""
    assert release_of(store_of(rig), Repository("acme", "toaster"), order.digest) is not None


def test_one_release_that_cannot_be_had_stops_no_other(rig: ServerRig, shelf: Shelf) -> None:
    """The rest of the channel is copied, and what is missing is asked for again."""
    follow(rig, "https://shelf.example/acme")
    wanted = Follow(ProviderName("acme"), "stable", "https://shelf.example/acme")
    rig.change(Delegating(rig.simulator).grant("oven", [KITCHEN], [str(OVEN)], follow=wanted))
    rig.restart(source=shelf)
    good, bad = shelf.publisher.push(made(OVEN)), shelf.publisher.push(made())
    blob = next(f"toaster blobs/{layer.digest}" for layer in made().release.layers)
    shelf.lies[blob] = b"other bytes of another length, and of another digest"
    shelf.channel(document(rig, 1, (OVEN, good), (TOASTER, bad)))
    assert look(rig) != ""
    assert release_of(store_of(rig), Repository("acme", "oven"), good.digest) is not None
    assert release_of(store_of(rig), Repository("acme", "toaster"), bad.digest) is None
    del shelf.lies[blob]
    rig.clock.pass_time(hours=1)
    assert look(rig) == ""
    assert release_of(store_of(rig), Repository("acme", "toaster"), bad.digest) is not None


def test_what_is_no_document_of_the_channel_is_not_taken(
    following: ServerRig, shelf: Shelf
) -> None:
    """Another signer, another channel, other bytes than the manifest says: nothing is stored, and
    no release is looked at.
    """
    rig = following
    follow(rig, "", "beta", "beta")
    order = shelf.publisher.push(made())
    stranger = SimulatedProvider("acme", [Publisher().key])
    packages = {str(TOASTER): ("1.0", str(order.digest))}
    good = document(rig, 9, (TOASTER, order))
    for raw, lie, says in (
        (stranger.channel(9, packages, rig.clock.now()), None, "signatures"),
        (ACME.channel(9, packages, rig.clock.now(), channel="beta"), None, "has acme/beta"),
        (good, b"x" * len(good), "other bytes"),
        (b"{}", None, "the channel"),
    ):
        shelf.lies = {} if lie is None else {f"channels blobs/{sha256(raw)}": lie}
        shelf.channel(raw)
        rig.clock.pass_time(hours=3)
        assert says in look(rig)
    assert not [what for what in shelf.asked if what.startswith("toaster")]
    assert rig.server.stores.database.channels(rig.fleet) == ()


def test_a_source_that_hangs_delays_its_own_channel_alone(rig: ServerRig, shelf: Shelf) -> None:
    """It is asked once and not again while it hangs; others are copied; once the server closes
    nothing that comes is stored.
    """
    follow(rig, "https://down.example/acme")
    follow(rig, "https://shelf.example/acme", "beta", "beta")
    rig.restart(source=shelf)
    shelf.channel(document(rig, 1, channel="beta"), "beta")
    assert look(rig, "beta") == ""
    assert rig.server.copy_channels.polled(rig.fleet, "acme", "stable").failure != ""
    shelf.hold = threading.Event()
    shelf.channel(document(rig, 2, channel="beta"), "beta")
    rig.clock.pass_time(hours=2)
    shelf.asked.clear()
    for _ in range(3):
        rig.server.copy_channels()
    assert shelf.asked.count("channels manifests/beta") == 1
    rig.server.copy_channels.close()
    shelf.hold.set()
    rig.server.copy_channels.wait(20)
    [status] = [one for one in rig.server.channels.listed(rig.fleet).channels if one.sequence]
    assert status.sequence == 1


def test_one_slow_host_does_not_take_all_places(rig: ServerRig, shelf: Shelf) -> None:
    """A provider that lets many of its channels hang keeps none of another's waiting."""
    for number in range(OF_ONE + 1):
        name = f"slow-{number}"
        follow(rig, f"https://shelf.example/acme/{number}", name, name)
    rig.restart(source=shelf)
    copier = rig.server.copy_channels
    shelf.hold = threading.Event()
    copier()
    assert copier._take((FleetId("another"), "acme", "slow-0"), "shelf.example") is False
    assert copier._take((FleetId("another"), "acme", "stable"), "fast.example") is True
    assert copier._take((rig.fleet, "acme", "stable"), "fast.example") is False
    shelf.hold.set()
    copier.wait(20)
    assert copier._take((rig.fleet, "acme", "stable"), "fast.example") is True


def test_what_the_owner_grants_later_is_copied(following: ServerRig, shelf: Shelf) -> None:
    """The provider publishes nothing new; the owner's wider delegation is enough."""
    rig = following
    order, other = shelf.publisher.push(made()), shelf.publisher.push(made(OVEN))
    shelf.channel(document(rig, 1, (TOASTER, order), (OVEN, other)))
    assert look(rig) == ""
    oven = Repository("acme", "oven")
    assert release_of(store_of(rig), oven, other.digest) is None
    wanted = Follow(ProviderName("acme"), "stable", "https://shelf.example/acme")
    both = [str(TOASTER), str(OVEN)]
    rig.change(Delegating(rig.simulator).grant("acme", [KITCHEN], both, follow=wanted))
    rig.clock.pass_time(hours=2)
    assert look(rig) == ""
    assert release_of(store_of(rig), oven, other.digest) is not None


def test_a_package_outside_of_the_namespaces_is_left_out(rig: ServerRig, shelf: Shelf) -> None:
    """As devices do: the document is taken whole, and what the owner lets nobody of this name
    provide is not fetched, whatever the delegation covers.
    """
    foreign = Purl("pkg:generic/other/lamp")
    granted = Delegating(rig.simulator)
    rig.change(granted.set_provider(ACME))
    wanted = Follow(ProviderName("acme"), "stable", "https://shelf.example/acme")
    covers = ["pkg:generic/acme/*", "pkg:generic/other/*"]
    rig.change(granted.grant("acme", [KITCHEN], covers, follow=wanted))
    rig.restart(source=shelf)
    order, other = shelf.publisher.push(made()), shelf.publisher.push(made(foreign))
    raw = document(rig, 1, (TOASTER, order), (foreign, other))
    shelf.channel(raw)
    assert look(rig) == ""
    assert rig.server.channels.listed(rig.fleet).channels[0].sequence == 1
    assert release_of(store_of(rig), Repository("acme", "toaster"), order.digest) is not None
    assert not [what for what in shelf.asked if what.startswith("lamp ")]
    served = rig.server.stores.layout.fleet(rig.fleet).served("channels/acme/stable/1.json")
    assert served is not None
    assert served.read_bytes() == raw


def test_a_release_has_a_cap(following: ServerRig, shelf: Shelf) -> None:
    """What is larger than allowed is not fetched, however well it is signed."""
    rig = following
    order = shelf.publisher.push(made())
    shelf.channel(document(rig, 1, (TOASTER, order)))
    copier = rig.server.copy_channels
    copier._mirror = Mirror(copier._mirror._stores, shelf, cap=10)
    assert "more than 10 bytes" in look(rig)


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[RunningRegistry]:
    """The provider's registry, on a socket."""
    with registry_server(tmp_path / "vendor") as running:
        yield running


def test_a_channel_is_copied_over_http(
    rig: ServerRig, shelf: Shelf, vendor: RunningRegistry
) -> None:
    """A real registry with a real release; afterwards the vendor may go."""
    order = shelf.publisher.push(made())
    here = Repository("acme", "toaster")
    place = shelf.publisher.repository(TOASTER)
    files = shelf.publisher.transport.files
    blobs = vendor.store.blobs
    blobs.put(sha256(oci.EMPTY_BLOB), [oci.EMPTY_BLOB])
    for path, data in files.items():
        if path.startswith(f"{place}/blobs/"):
            blobs.put(sha256(data), [data])
    manifests = [data for path, data in files.items() if path.startswith(f"{place}/manifests/")]
    for raw in sorted(manifests, key=lambda raw: sha256(raw) != order.digest):
        push_manifest(vendor.store, here, sha256(raw), oci.MANIFEST, raw)
    raw = document(rig, 1, (TOASTER, order))
    blobs.put(sha256(raw), [raw])
    manifest = oci.encode_document(oci.channel_manifest(raw))
    push_manifest(vendor.store, Repository("acme", oci.CHANNELS), "stable", oci.MANIFEST, manifest)
    follow(rig, f"{vendor.url}/{FLEET}/acme")
    assert look(rig) == ""
    assert rig.server.channels.listed(rig.fleet).channels[0].sequence == 1
    release = release_of(store_of(rig), here, order.digest)
    assert release is not None
    assert all(store_of(rig).blobs.size(layer.digest) for layer in release.layers)
    assert vendor.failures == []
