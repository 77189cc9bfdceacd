"""A simulated fleet: an owner with keys, an honest server, devices; and the book of what was said."""

from __future__ import annotations

import copy
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
from allod.domain.ids import Digest, ProviderName
from allod.testing.authority import AuthorityLog
from allod.testing.fleet_device import FleetDevice, FleetTransport
from allod.testing.fleet_paper import state_of
from allod.testing.fleet_reading import Book, Memory
from allod.testing.fleet_wares import Shop, stocked
from allod.testing.fleet_words import Page
from allod.testing.owner import key_from
from allod.testing.repository import RepositorySimulator
from allod.trust.authoring import Publication
from allod.trust.device_view import FLEET_PATH, WITHDRAWN_PATH, provider_path
from allod.trust.keys import from_key
from allod.trust.metadata import BINS
from allod.trust.role_keys import Lives
from allod.wire.codec import encode
from allod.wire.desired import encode_state
from allod.wire.trust import FleetDocument, ProviderDocument, Withdrawal, WithdrawnDocument

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
    logs = {
        "none": lambda: None,
        "log": AuthorityLog,
        "witnessed": lambda: AuthorityLog(witnesses=2, quorum=2, max_age_seconds=7 * 86_400),
    }
    sim = RepositorySimulator(lives=_LIVES, log=logs[log]())
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

    def __post_init__(self) -> None:
        """Begin: an owner, providers, devices; nobody wants anything yet."""
        self.rng = random.Random(self.seed)
        self.log = self.rng.choice(LOGS)
        self.hostile = self.rng.random() < 0.7
        self.sim = _genesis(self.log).snapshot_state()
        self.shop = stocked(self.sim.fleet)
        self.book = Book(wares=dict(self.shop.wares))
        self.truth[FLEET_PATH] = {}
        for name in PROVIDERS:
            self.truth[provider_path(ProviderName(name))] = {}
        self._enter({role: 2 if role == "targets" else 1 for role in self.sim.roles})
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

    # What the owner signs

    def say(self, changes: Mapping[str, Any]) -> None:
        """Sign and publish what some paths say from now on; None: nothing any more."""
        self.changes += 1
        draft = self.sim.draft()
        for path, said in changes.items():
            if said is None:
                self.truth.pop(path, None)
                draft.remove_target(path)
            else:
                self.truth[path] = said
                draft.set_target(path, self._paper(path, said))
        self._publish(self.sim.publish(draft))

    def _publish(self, publication: Publication) -> None:
        self._enter(publication.versions)
        self.past.append(self.sim.snapshot_state())

    def _enter(self, versions: Mapping[str, int]) -> None:
        for role, version in versions.items():
            said = {path: one for path, one in self.truth.items() if role_of(path) == role}
            self.book.files.setdefault(role, {})[version] = copy.copy(said)
        if self.sim.log is not None:
            newest = {role: max(found) for role, found in self.book.files.items()}
            self.sizes[len(self.sim.log.entries)] = newest

    def _paper(self, path: str, said: Any) -> bytes:
        """The document that says it."""
        fleet = self.sim.fleet
        if isinstance(said, Page):
            scope = path.removeprefix("state/").removesuffix(".json")
            return encode_state(state_of(fleet, scope, said, self.now, self.changes))
        if path == WITHDRAWN_PATH:
            listed = [Withdrawal(digest=one, why="it burns toast") for one in said]
            return encode(WithdrawnDocument(fleet=fleet, releases=listed))
        if path.startswith("providers/"):
            name = path.removeprefix("providers/").removesuffix(".json")
            return encode(provider_document(fleet, name, said))
        if path == FLEET_PATH:
            return encode(FleetDocument(fleet=fleet, name=self.sim.owner.name))
        raise AssertionError(f"nobody knows how to sign {path}")

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
        for member in self.members.values():
            clock = member.device.hardware.clock
            clock.wall += span
            clock.ticks += span.total_seconds()

    def scopes(self) -> Iterable[str]:
        """All that the owner can speak of."""
        devices = [f"devices/{one.memory.device}" for one in self.members.values()]
        return ["groups/kitchen", "groups/cellar", *devices]
