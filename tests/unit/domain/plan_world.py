"""A device with one package and whoever decides on it, from which tests of the planner are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tests.unit.domain.term_facts import ACME, KITCHEN, NOW, TOASTER, release

from allod.domain.actions import Action
from allod.domain.condition import Term, Verb
from allod.domain.delegation import Channel, ChannelRelease, Delegate, Delegation, Follow
from allod.domain.desired import (
    Accepts,
    ChangeNote,
    ConfigurationOrder,
    Level,
    PackageEntry,
    ReleaseOrder,
    Settings,
    Software,
    StateDocument,
    When,
)
from allod.domain.ids import DeviceId, Digest, FleetId, GroupName, Purl, Scope, group_scope, sha256
from allod.domain.judgement import ProviderLimits
from allod.domain.observed import Armed, Facts, Grounds, Observed, Running
from allod.domain.plan import Plan, make_plan
from allod.domain.release import Release
from allod.domain.resolution import Resolved, resolve, scopes_of
from allod.domain.surroundings import Surroundings

FLEET = FleetId("f" * 64)
DEVICE = DeviceId("d" * 64)
BUTLER = Purl("pkg:generic/acme/butler")
ALL_VERBS = frozenset(Verb)
SCOPES = scopes_of(DEVICE, (GroupName("kitchen"), GroupName("house")))


def digest(version: str) -> Digest:
    """A release's digest."""
    return sha256(version.encode())


def document_of(text: str) -> Digest:
    """A configuration document's digest."""
    return sha256(b"configuration " + text.encode())


def order(version: str, level: Level = Level.ACTIVE, when: When = When.NOW) -> ReleaseOrder:
    """A release in a list."""
    return ReleaseOrder(ACME, release(version).version, digest(version), level, when)


def note(identity: str) -> ChangeNote:
    """What was signed along."""
    return ChangeNote(1, identity, NOW)


def entry(*orders: ReleaseOrder, change: str = "first", **fields: Any) -> PackageEntry:
    """An entry with a list of releases."""
    return PackageEntry(software=Software(releases=orders), change=note(change), **fields)


def managed(by: str, **fields: Any) -> PackageEntry:
    """The owner's entry that hands the software over."""
    return PackageEntry(software=Software(by), change=note("handed over"), **fields)


def document(
    packages: Mapping[str, PackageEntry], scope: Scope = KITCHEN, **fields: Any
) -> StateDocument:
    """A scope's document."""
    return StateDocument(FLEET, scope, packages=packages, **fields)


def delegation(name: str = "ops", *terms: Term, **fields: Any) -> Delegation:
    """A delegation of the toaster in the kitchen."""
    kept = {
        "scopes": frozenset({KITCHEN}),
        "packages": (TOASTER,),
        "verbs": ALL_VERBS,
        **fields,
    }
    return Delegation(name, terms=terms, **kept)


def ordering(
    given: Delegation, packages: Mapping[str, PackageEntry], scope: Scope = KITCHEN
) -> Delegate:
    """A delegate with a document of their own."""
    return Delegate(given, {scope: document(packages, scope, author=given.id)})


def following(
    given: Delegation, version: str, *, mends: Iterable[str] = (), **fields: Any
) -> Delegate:
    """A delegation whose channel names a version of the toaster."""
    named = {TOASTER: ChannelRelease(release(version).version, digest(version), tuple(mends))}
    kept = {
        "sequence": 7,
        "at": NOW,
        "expires": NOW + timedelta(days=30),
        "packages": named,
        **fields,
    }
    channel = Channel(ACME, "stable", **kept)
    return Delegate(replace(given, follow=Follow(ACME, "stable")), channel=channel)


@dataclass
class World:
    """A device in the kitchen that runs 2.0.1 of the toaster."""

    owner: dict[Scope, StateDocument] = field(default_factory=dict)
    delegates: dict[str, Delegate] = field(default_factory=dict)
    releases: dict[str, Release] = field(
        default_factory=lambda: {v: release(v) for v in ("2.0.0", "2.0.1", "2.0.2", "3.0.0")}
    )
    held: dict[str, Level] = field(default_factory=lambda: {"2.0.1": Level.INSTALLED})
    running: str | None = "2.0.1"
    configuration: str | None = None
    history: tuple[str, ...] = ()
    armed: Armed | None = None
    unknown: frozenset[str] = frozenset()  #: versions without a description here
    documents: frozenset[Digest] = frozenset({document_of("a"), document_of("b")})
    now: datetime = NOW
    boot: str = "boot 1"
    grounds: Grounds = field(default_factory=Grounds)
    witnessed: datetime | None = None
    withdrawn: dict[Digest, str] = field(default_factory=dict)
    providers: dict[Any, ProviderLimits] = field(default_factory=dict)

    def owns(self, *documents: StateDocument) -> World:
        """With these documents of the owner."""
        self.owner |= {one.scope: one for one in documents}
        return self

    def delegates_to(self, *delegates: Delegate) -> World:
        """With these words of delegates."""
        self.delegates |= {one.delegation.id: one for one in delegates}
        return self

    @property
    def resolved(self) -> Resolved:
        """What the documents mean."""
        return resolve(SCOPES, self.owner, [TOASTER], delegates=self.delegates)

    @property
    def has(self) -> Observed:
        """What the device has of the toaster."""
        running = None
        if self.running is not None:
            document = None if self.configuration is None else document_of(self.configuration)
            running = Running(1, digest(self.running), document)
        return Observed(
            TOASTER,
            held={digest(version): level for version, level in self.held.items()},
            described={
                digest(version): one
                for version, one in self.releases.items()
                if version not in self.unknown
            },
            running=running,
            history=tuple(digest(version) for version in self.history),
            armed=self.armed,
        )

    def plan(self, **changed: Any) -> Plan:
        """What the device does next."""
        for name, value in changed.items():
            assert hasattr(self, name)
            setattr(self, name, value)
        around = Surroundings(
            self.now,
            self.boot,
            Facts(),
            (),
            self.withdrawn,
            self.providers,
            self.documents,
            {TOASTER: self.grounds},
            self.witnessed,
        )
        return make_plan(self.resolved, {TOASTER: self.has}, around)


def handed(*terms: Term, version: str = "2.0.2", by: str = "ops", **fields: Any) -> World:
    """The owner's kitchen, whose toaster is a delegate's, who orders a version."""
    given = delegation(by, *terms, **fields)
    return (
        World()
        .owns(document({TOASTER: managed(by)}))
        .delegates_to(ordering(given, {TOASTER: entry(order(version), change="theirs")}))
    )


def followed(
    *terms: Term, version: str = "2.0.2", mends: Iterable[str] = (), **fields: Any
) -> World:
    """The owner's kitchen, whose toaster follows a channel that names a version."""
    given = delegation("acme", *terms, **fields)
    return (
        World()
        .owns(document({TOASTER: managed("acme")}))
        .delegates_to(following(given, version, mends=mends))
    )


def did(plan: Plan) -> list[str]:
    """The kinds of a plan's actions."""
    return [type(action).__name__ for action in plan.actions]


def refused(plan: Plan) -> list[str]:
    """The codes of what was refused."""
    return [one.code for one in plan.refusals]


def only(plan: Plan) -> Action:
    """The one action."""
    assert len(plan.actions) == 1, plan.actions
    return plan.actions[0]


__all__ = [
    "ALL_VERBS",
    "BUTLER",
    "DEVICE",
    "FLEET",
    "SCOPES",
    "Accepts",
    "Armed",
    "ConfigurationOrder",
    "Grounds",
    "Level",
    "PackageEntry",
    "ProviderLimits",
    "Settings",
    "Software",
    "When",
    "World",
    "delegation",
    "did",
    "digest",
    "document",
    "document_of",
    "entry",
    "followed",
    "following",
    "group_scope",
    "handed",
    "managed",
    "note",
    "only",
    "order",
    "ordering",
    "refused",
]
