"""Delegates, providers' channels, approvals and gates for a simulated fleet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from securesystemslib.signer import CryptoSigner

from allod.domain.condition import Term, Verb
from allod.domain.delegation import Channel, ChannelRelease, Delegation, Follow
from allod.domain.desired import PackageEntry, Software, StateDocument
from allod.domain.ids import Digest, FleetId, ProviderName, Purl, Scope, Version
from allod.testing.owner import key_from, role_keys
from allod.testing.repository import RepositorySimulator
from allod.trust.approvals import make_approval
from allod.trust.authoring import Publication
from allod.trust.channels import make_channel
from allod.trust.device_view import provider_path
from allod.trust.dsse import decode_envelope, payload_of
from allod.trust.gates import make_gate
from allod.trust.keys import from_key
from allod.wire.channel import channel_path, decode_channel, latest_path
from allod.wire.codec import encode
from allod.wire.delegation import delegation_path, encode_delegation
from allod.wire.desired import encode_state
from allod.wire.gate import CanaryReport, gate_path
from allod.wire.trust import Person, ProviderDocument

ALL_VERBS = frozenset(Verb)


@dataclass(slots=True)
class SimulatedProvider:
    """A provider with keys, who publishes channels for all who follow them."""

    name: str = "acme"
    keys: list[CryptoSigner] = field(default_factory=list)
    namespaces: tuple[str, ...] = ("pkg:generic/acme/",)

    def __post_init__(self) -> None:
        """Make a key if none was given."""
        self.keys = self.keys or [key_from(f"provider/{self.name}")]

    def document(self, fleet: FleetId, **fields: object) -> ProviderDocument:
        """What an owner says of them."""
        return ProviderDocument(
            fleet=fleet,
            provider=self.name,
            keys=[from_key(key.public_key) for key in self.keys],
            namespaces=list(self.namespaces),
            **fields,  # type: ignore[arg-type]
        )

    def channel(
        self,
        sequence: int,
        packages: Mapping[str, tuple[str, str]],
        at: datetime,
        *,
        channel: str = "stable",
        life: timedelta = timedelta(days=30),
    ) -> bytes:
        """Sign a channel's document.

        Args:
            sequence: its number.
            packages: package -> version and digest.
            at: when; it is good for `life` from then on.
            channel: its name.
            life: for how long it is good.
        """
        releases = {
            Purl(package): ChannelRelease(Version(version), Digest(digest))
            for package, (version, digest) in packages.items()
        }
        document = Channel(ProviderName(self.name), channel, sequence, at, at + life, releases)
        return make_channel(document, self.keys)


@dataclass(slots=True)
class Delegating:
    """What an owner, their delegates, their people and a server do with delegations.

    Attributes:
        fleet: the simulated fleet.
        people: name -> key of their approvals, and kinds, as `fleet.json` names them.
    """

    fleet: RepositorySimulator
    people: dict[str, tuple[CryptoSigner, tuple[str, ...]]] = field(default_factory=dict)

    # The owner

    def grant(
        self,
        name: str,
        scopes: Iterable[Scope],
        packages: Iterable[str] = ("pkg:generic/*",),
        *,
        verbs: frozenset[Verb] = ALL_VERBS,
        terms: Sequence[Term] = (),
        follow: Follow | None = None,
        keys: Sequence[CryptoSigner] | None = None,
        threshold: int = 1,
    ) -> Publication:
        """Sign a delegation; to orders belongs a role of its own with the delegate's keys."""
        delegation = Delegation(
            name, frozenset(scopes), tuple(packages), verbs, tuple(terms), follow
        )
        draft = self.fleet.draft()
        draft.set_target(delegation_path(name), encode_delegation(self.fleet.fleet, delegation))
        if follow is None:
            signers = list(keys) if keys is not None else [key_from(f"delegate/{name}")]
            self.fleet.owner.delegates[name] = signers
            draft.delegate(delegation.role, role_keys(signers, threshold), [f"by/{name}/*/*"])
        return self.fleet.publish(draft)

    def revoke(self, name: str) -> Publication:
        """End a delegation: its document goes, and its role has no keys any more."""
        draft = self.fleet.draft()
        draft.remove_target(delegation_path(name))
        if name in self.fleet.owner.delegates:
            draft.revoke_delegation(f"delegation-{name}")
        return self.fleet.publish(draft)

    def set_manager(
        self, scope: Scope, package: str, manager: str, **fields: object
    ) -> Publication:
        """Sign that `manager` decides on a package (or pattern) in a group."""
        entry = PackageEntry(software=Software(manager), **fields)  # type: ignore[arg-type]
        return self.fleet.set_packages(scope, {package: entry})

    def set_provider(self, provider: SimulatedProvider, **fields: object) -> Publication:
        """Sign what the owner thinks of a provider."""
        document = provider.document(self.fleet.fleet, **fields)
        return self.fleet.set_target(provider_path(ProviderName(provider.name)), encode(document))

    def set_people(self, **people: tuple[str, ...]) -> Publication:
        """Sign fleet.json with these people, name -> kinds, and with the gate key."""
        self.people = {
            name: (key_from(f"{self.fleet.owner.name}/people/{name}"), kinds)
            for name, kinds in people.items()
        }
        named = [
            Person(
                name=name,
                key=from_key(key_from(f"{self.fleet.owner.name}/api/{name}").public_key),
                approval=from_key(key.public_key),
                role="approver",
                kinds=list(kinds),
            )
            for name, (key, kinds) in self.people.items()
        ]
        return self.fleet.set_fleet(
            people=named, gate_key=from_key(self.fleet.owner.gate.public_key)
        )

    # Delegates and people

    def order(self, name: str, scope: Scope, packages: Mapping[str, PackageEntry]) -> Publication:
        """A delegate signs what they want of some packages in a group."""
        document = StateDocument(self.fleet.fleet, scope, packages, author=name)
        return self.order_state(name, document)

    def order_state(self, name: str, document: StateDocument) -> Publication:
        """A delegate signs a document (its fleet is filled in)."""
        document = replace(document, fleet=self.fleet.fleet)
        path = f"by/{name}/{document.scope.kind}/{document.scope.name}.json"
        return self.fleet.set_target(path, encode_state(document))

    def approve(
        self,
        person: str,
        kind: str,
        scope: Scope,
        key: str,
        entry: PackageEntry,
        *,
        author: str = "owner",
        verdict: str = "approve",
    ) -> PackageEntry:
        """A person signs for or against an entry; returned is the entry with their word."""
        raw = make_approval(
            self.fleet.fleet,
            scope,
            author,
            key,
            entry,
            kind=kind,
            person=person,
            at=self.fleet.now,
            signers=[self.people[person][0]],
            verdict="reject" if verdict == "reject" else "approve",
        )
        return replace(entry, approvals=(*entry.approvals, raw))

    # The server

    def publish_channel(self, raw: bytes) -> None:
        """Log a channel's document, if there is a log, and serve it by number and as the newest."""
        channel = decode_channel(payload_of(decode_envelope(raw)))
        provider, name = channel.provider, channel.channel
        if self.fleet.log is not None:
            self.fleet.log.add_channel(raw)
        self.fleet.files[channel_path(provider, name, channel.sequence)] = raw
        self.fleet.files[latest_path(provider, name)] = raw
        self.fleet.refresh()

    def open_gate(self, rollout: str, stage: int, reports: Sequence[CanaryReport] = ()) -> None:
        """Open a stage of a rollout with the fleet's gate key."""
        fleet = self.fleet
        raw = make_gate(fleet.fleet, rollout, stage, fleet.now, [fleet.owner.gate], reports)
        fleet.files[gate_path(rollout, stage)] = raw
