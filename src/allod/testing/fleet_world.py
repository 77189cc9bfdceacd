"""A simulated fleet: an owner with keys, an honest server, devices; and the book of what was said."""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tuf.api.metadata import SuccinctRoles

from allod.agent.identity import FileIdentityKey
from allod.domain.ids import Digest, ProviderName, sha256
from allod.testing.authority import AuthorityLog
from allod.testing.fleet_device import FleetDevice, FleetTransport
from allod.testing.fleet_paper import channel_of, delegation_of, state_of
from allod.testing.fleet_reading import Book, Memory
from allod.testing.fleet_wares import Shop, stocked
from allod.testing.fleet_words import OWNER, Grant, Page, Shelf
from allod.testing.owner import key_from, role_keys
from allod.testing.repository import RepositorySimulator
from allod.trust.authoring import RepositoryDraft
from allod.trust.channels import make_channel
from allod.trust.device_view import FLEET_PATH, WITHDRAWN_PATH, provider_path
from allod.trust.dsse import decode_envelope, payload_of
from allod.trust.keys import from_key
from allod.trust.metadata import BINS, open_role
from allod.trust.role_keys import Lives
from allod.wire.channel import channel_path, latest_path
from allod.wire.codec import encode
from allod.wire.delegation import encode_delegation
from allod.wire.desired import encode_state
from allod.wire.trust import (
    FleetDocument,
    Person,
    ProviderDocument,
    Withdrawal,
    WithdrawnDocument,
)

_ONLINE: Final = frozenset({"root", "snapshot", "timestamp"})
_LIVES: Final = Lives(timedelta(days=730), timedelta(days=365), 1)
_BINS: Final = SuccinctRoles([], 1, _LIVES.bin_bits, BINS)
PROVIDERS: Final = ("acme", "bolt")
GROUPS: Final = (("kitchen",), ("kitchen", "cellar"), ("cellar",))
LOGS: Final = ("none", "log", "witnessed")


def role_of(path: str) -> str:
    """Who signs for a target path."""
    if path.startswith("by/"):
        return f"delegation-{path.split('/')[1]}"
    if path.startswith("state/devices/"):
        return _BINS.get_role_for_target(path)
    return "targets"


@functools.cache
def _genesis(log: str) -> RepositorySimulator:
    """A fleet in which nothing is wanted yet."""
    made = None
    if log != "none":
        count = 2 if log == "witnessed" else 0
        made = AuthorityLog(witnesses=count, quorum=max(1, count), max_age_seconds=7 * 86_400)
    sim = RepositorySimulator(lives=_LIVES, log=made)
    draft = sim.draft()
    for name in PROVIDERS:
        document = provider_document(sim.fleet, name, {})
        draft.set_target(provider_path(ProviderName(name)), encode(document))
    sim.publish(draft)
    return sim


def provider_document(fleet: str, name: str, said: Mapping[str, Any]) -> ProviderDocument:
    """What the owner says of a provider."""
    return ProviderDocument(
        fleet=fleet,
        provider=name,
        keys=[from_key(key_from(name).public_key)],
        namespaces=[f"pkg:generic/{name}/"],
        distrusted=said.get("distrusted"),
    )


def identity(seed: str) -> FileIdentityKey:
    """A device's key, the same for the same text."""
    return FileIdentityKey(
        Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())
    )


@dataclass(slots=True)
class Member:
    """A device, and what was seen of it."""

    device: FleetDevice
    memory: Memory
    skew: timedelta = timedelta(0)  #: of its clock


@dataclass
class FleetWorld:
    """Everything there is, and the only place where anything is signed.

    Attributes:
        truth: target path -> what it says now.
        sizes: log size -> role versions that it names, of the honest log.
    """

    seed: int
    directory: Path
    rng: random.Random = field(init=False)
    log: str = field(init=False)
    hostile: bool = field(init=False)  #: whether the server is
    sim: RepositorySimulator = field(init=False)
    shop: Shop = field(init=False)
    book: Book = field(init=False)
    truth: dict[str, Any] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    changes: int = 0
    past: list[RepositorySimulator] = field(default_factory=list)
    sizes: dict[int, dict[str, int]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    cosigned: dict[bytes, datetime] = field(default_factory=dict)
    shelved: list[Shelf] = field(default_factory=list)
    grants: int = 0  #: that were ever made

    def __post_init__(self) -> None:
        """Begin: an owner, providers, devices; nobody wants anything yet."""
        self.rng = random.Random(self.seed)
        self.log = self.rng.choice(LOGS)
        self.hostile = self.rng.random() < 0.7
        self.sim = _genesis(self.log).snapshot_state()
        self.shop = stocked(self.sim.fleet)
        self.book = Book(wares=dict(self.shop.wares))
        self.truth[FLEET_PATH] = {"people": {}}
        for name in PROVIDERS:
            self.truth[provider_path(ProviderName(name))] = {}
        roles = {role: data for role, data in self.sim.roles.items() if role not in _ONLINE}
        self.enter(roles, self.truth)
        self.versions = {role: open_role(data, role).version for role, data in roles.items()}
        self.published()
        for number, groups in enumerate(GROUPS[: self.rng.choice((2, 3))]):
            self._bind(f"d{number}", groups)

    @property
    def now(self) -> datetime:
        """The true time."""
        return self.sim.now

    def _bind(self, name: str, groups: tuple[str, ...]) -> None:
        key = identity(f"{self.seed}/{name}")
        floors = self.sim.observe().floors
        transport = FleetTransport(self.sim, self.shop.files)
        device = FleetDevice(
            name,
            self.directory / name,
            key,
            self.sim.anchor,
            floors,
            groups,
            transport,
            self.shop.releases,
        )
        device.hardware.clock.wall = self.now
        device.hardware.probe.sick |= {
            Digest(ware.digest) for ware in self.shop.wares.values() if ware.sick
        }
        own = role_of(f"state/devices/{key.device}.json")
        self.members[name] = Member(device, Memory(key.device, groups, own))

    # What is signed, and published by an honest server

    def say(self, changes: Mapping[str, Any]) -> None:
        """Sign and publish what some paths say from now on; None: nothing any more."""
        self.changes += 1
        draft = self.sim.draft()
        for path, said in changes.items():
            self._delegate(draft, path, said)
        for path, said in changes.items():
            if said is None:
                self.truth.pop(path, None)
                draft.remove_target(path)
            else:
                self.truth[path] = said
                draft.set_target(path, self.paper(path, said, self.now))
        publication = self.sim.publish(draft)
        self.enter(publication.roles, self.truth)
        self.versions |= publication.versions
        self.published()

    def _delegate(self, draft: RepositoryDraft, path: str, said: Any) -> None:
        """A delegation comes with a role of the delegate's own, and goes with it."""
        if not path.startswith("delegations/"):
            return
        name = path.removeprefix("delegations/").removesuffix(".json")
        if said is None and name in self.sim.owner.delegates:
            draft.revoke_delegation(f"delegation-{name}")
        if isinstance(said, Grant) and said.follows is None and path not in self.truth:
            key = key_from(f"delegate/{name}")
            self.sim.owner.delegates = {**self.sim.owner.delegates, name: [key]}
            draft.delegate(f"delegation-{name}", role_keys([key]), [f"by/{name}/*/*"])

    def enter(self, roles: Mapping[str, bytes], truth: Mapping[str, Any]) -> None:
        """Write down what these files say."""
        for role, data in roles.items():
            said = {path: one for path, one in truth.items() if role_of(path) == role}
            self.book.files.setdefault(role, {})[open_role(data, role).digest] = said

    def published(self) -> None:
        """Note what the log holds now, and what witnesses said of it."""
        log = self.sim.log
        if log is not None:
            self.sizes[len(log.entries)] = dict(self.versions)
            if log.cosigners:
                self.cosigned[self.sim.files[f"{log.prefix}/checkpoint"]] = self.now
        self.past = [*self.past[-12:], self.sim.snapshot_state()]

    def paper(self, path: str, said: Any, at: datetime) -> bytes:
        """The document that says it."""
        fleet, parts = self.sim.fleet, path.removesuffix(".json").split("/")
        if isinstance(said, Page):
            author = parts[1] if parts[0] == "by" else OWNER
            page = state_of(fleet, "/".join(parts[-2:]), said, at, self.changes, author)
            return encode_state(page)
        if isinstance(said, Grant):
            return encode_delegation(fleet, delegation_of(said))
        if path == WITHDRAWN_PATH:
            listed = [Withdrawal(digest=one, why="it burns toast") for one in said]
            return encode(WithdrawnDocument(fleet=fleet, releases=listed))
        if parts[0] == "providers":
            return encode(provider_document(fleet, parts[1], said))
        if path == FLEET_PATH:
            return encode(self._fleet_document(said["people"]))
        raise AssertionError(f"nobody knows how to sign {path}")

    def _fleet_document(self, people: Mapping[str, tuple[str, ...]]) -> FleetDocument:
        """People with keys of their own, and the key of the server's gates."""
        named = [
            Person(
                name=name,
                key=from_key(key_from(f"api/{name}").public_key),
                role="approver",
                kinds=list(kinds),
                approval=from_key(key_from(f"people/{name}").public_key),
            )
            for name, kinds in sorted(people.items())
        ]
        gate = from_key(self.sim.owner.gate.public_key)
        name = self.sim.owner.name
        return FleetDocument(fleet=self.sim.fleet, name=name, people=named, gate_key=gate)

    def put_shelf(self, shelf: Shelf) -> bytes:
        """A provider signs a channel's document; the honest server logs and serves it."""
        raw = self.sign_shelf(shelf)
        log, files = self.sim.log, self.sim.files
        if log is not None:
            log.add_channel(raw)
        files[channel_path(shelf.provider, shelf.channel, shelf.sequence)] = raw
        files[latest_path(shelf.provider, shelf.channel)] = raw
        self.sim.refresh()
        self.shelved.append(shelf)
        self.published()
        return raw

    def sign_shelf(self, shelf: Shelf) -> bytes:
        """A provider signs a channel's document."""
        raw = make_channel(channel_of(shelf), [key_from(shelf.provider)])
        self.book.shelves[sha256(payload_of(decode_envelope(raw)))] = shelf
        return raw

    def page(self, scope: str) -> Page:
        """What the owner says of a scope."""
        found = self.truth.get(f"state/{scope}.json")
        return found if isinstance(found, Page) else Page()

    def edit(self, scope: str, **fields: Any) -> None:
        """Change what the owner says of a scope."""
        self.say({f"state/{scope}.json": replace(self.page(scope), **fields)})

    # Time

    def pass_time(self, span: timedelta) -> None:
        """Let time go by: clocks tick, the server signs anew, witnesses look."""
        self.sim.pass_time(span)
        self.sim.refresh()
        self.published()
        for member in self.members.values():
            clock = member.device.hardware.clock
            clock.wall += span
            clock.ticks += span.total_seconds()

    def scopes(self) -> Iterable[str]:
        """All that the owner can speak of."""
        devices = [f"devices/{one.memory.device}" for one in self.members.values()]
        return ["groups/kitchen", "groups/cellar", *devices]
