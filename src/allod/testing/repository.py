"""A whole fleet in memory: an owner with all keys, a server that publishes and can lie.

Used by the tests of every room, so that none of them mocks anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from securesystemslib.signer import CryptoSigner

from allod.domain.desired import PackageEntry, StateDocument
from allod.domain.ids import Digest, GroupName, ProviderName, Purl, Scope, Version
from allod.testing.authority import AuthorityLog
from allod.testing.owner import TestOwner, key_from, role_keys
from allod.trust import effects
from allod.trust.anchor import Anchor, anchor_at, first_floors
from allod.trust.authoring import Publication, RepositoryDraft
from allod.trust.device_view import (
    FLEET_PATH,
    WITHDRAWN_PATH,
    provider_path,
)
from allod.trust.floors import Floors
from allod.trust.keys import from_key
from allod.trust.metadata import SNAPSHOT, read
from allod.trust.online import snapshot_of, timestamp_of
from allod.trust.papers import (
    make_invite,
    make_release_statement,
    make_statement,
    resign_statement,
    statement_digest,
)
from allod.trust.release import ReleaseIdentity
from allod.trust.repository import Repository, descend
from allod.trust.role_keys import HOME, Lives
from allod.wire.codec import encode
from allod.wire.desired import encode_state
from allod.wire.trust import (
    FleetDocument,
    Location,
    ProviderDocument,
    Repair,
    Transfer,
    Withdrawal,
    WithdrawnDocument,
)

__all__ = [
    "BUILD_TIME",
    "DEFAULT_LOCATION",
    "START",
    "RepositorySimulator",
    "TestOwner",
    "key_from",
    "role_keys",
]

START = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)  #: when every simulated fleet begins
BUILD_TIME = datetime(2026, 10, 1, tzinfo=UTC)  #: of the simulated agent
DEFAULT_LOCATION = Location(url="https://allod.example:8443")

Tamper: TypeAlias = Callable[[bytes | None], bytes | None]


class RepositorySimulator:
    """A fleet's files under /f/<fleet>/, published as an honest server does, served as told.

    Attributes:
        files: path -> bytes; whatever a test changes here is what devices get.
        tamper: path -> what becomes of the file on its way out.
        asked: the paths that were asked for, in order.
        now: the owner's and the server's time.
        log: the fleet's authority log; None: it has none.
    """

    def __init__(
        self,
        owner: TestOwner | None = None,
        *,
        now: datetime = START,
        lives: Lives = HOME,
        providers: Iterable[ProviderDocument] = (),
        log: AuthorityLog | None = None,
    ) -> None:
        self.owner = owner or TestOwner()
        self.now = now
        self.lives = lives
        self.files: dict[str, bytes] = {}
        self.tamper: dict[str, Tamper] = {}
        self.asked: list[str] = []
        self.roles: dict[str, bytes] = {}
        self.statements: list[bytes] = []
        self.log = log
        draft = RepositoryDraft.genesis(
            root=self.owner.root_keys,
            targets=self.owner.targets_keys,
            snapshot=role_keys([self.owner.snapshot]),
            timestamp=role_keys([self.owner.timestamp]),
            now=now,
            lives=lives,
        )
        self.fleet = draft.fleet
        draft.set_target(FLEET_PATH, encode(FleetDocument(fleet=self.fleet, name=self.owner.name)))
        me = ProviderDocument(
            fleet=self.fleet,
            provider="me",
            keys=[from_key(self.owner.provider.public_key)],
            namespaces=["pkg:generic/"],
        )
        for provider in (me, *providers):
            path = provider_path(ProviderName(provider.provider))
            draft.set_target(path, encode(provider))
        if log is not None:
            log.begin(self.fleet)
        self.add_statement()
        self.publish(draft)
        self.first_root = self.files["tuf/1.root.json"]

    # The owner's side

    def draft(self) -> RepositoryDraft:
        """An edit on top of what is published."""
        return RepositoryDraft.from_files(self.fleet, self.roles, self.lives)

    def publish(self, draft: RepositoryDraft) -> Publication:
        """Sign with all keys that the owner has, and let the server publish."""
        publication = draft.sign(self.now, self.owner.signers)
        if self.log is not None:
            self.log.sign_roles(publication, self.owner)
        self.upload(publication)
        return publication

    def set_target(self, path: str, data: bytes) -> Publication:
        """Sign and publish one target file."""
        draft = self.draft()
        draft.set_target(path, data)
        return self.publish(draft)

    def remove_target(self, path: str) -> Publication:
        """Sign and publish that there is no such file."""
        draft = self.draft()
        draft.remove_target(path)
        return self.publish(draft)

    def set_state(self, document: StateDocument) -> Publication:
        """Sign and publish a scope's desired state (its fleet is filled in)."""
        document = replace(document, fleet=self.fleet)
        return self.set_target(document.scope.target_path, encode_state(document))

    def set_packages(self, scope: Scope, packages: Mapping[str, PackageEntry]) -> Publication:
        """Sign and publish what a group wants of some packages."""
        return self.set_state(StateDocument(self.fleet, scope, packages))

    def set_fleet(self, **fields: object) -> Publication:
        """Sign and publish fleet.json with these fields."""
        document = FleetDocument(fleet=self.fleet, name=self.owner.name, **fields)  # type: ignore[arg-type]
        return self.set_target(FLEET_PATH, encode(document))

    def withdraw(self, *releases: Withdrawal) -> Publication:
        """Sign and publish the list of recalled releases."""
        document = WithdrawnDocument(fleet=self.fleet, releases=list(releases))
        return self.set_target(WITHDRAWN_PATH, encode(document))

    def add_statement(
        self,
        *,
        repairs: Iterable[Repair] = (),
        transfers: Iterable[Transfer] = (),
        at: datetime | None = None,
    ) -> bytes:
        """Sign and publish the next trust statement."""
        raw = make_statement(
            self.fleet,
            self.statements[-1] if self.statements else None,
            at or self.now,
            self.owner.root,
            anchors=[DEFAULT_LOCATION],
            logs=[] if self.log is None else self.log.named,
            witnesses=None if self.log is None else self.log.witnesses_named,
            repairs=list(repairs),
            transfers=list(transfers),
        )
        self.statements.append(raw)
        self.files[f"trust/{len(self.statements)}.json"] = raw
        if self.log is not None:
            number, digest = statement_digest(raw)
            self.log.sign("trust", number, digest, self.owner.root)
            if self.roles:
                self.publish_log()
        return raw

    def rotate_root(self, new: list[CryptoSigner], threshold: int = 1) -> None:
        """Give the root to new keys; the newest trust statement is signed anew by them."""
        draft = self.draft()
        draft.rotate_root(role_keys(new, threshold))
        old = self.owner.root
        self.owner.root = [*old, *(key for key in new if key not in old)]
        self.publish(draft)
        self.owner.root, self.owner.root_threshold = new, threshold
        self.statements[-1] = resign_statement(self.statements[-1], new)
        self.files[f"trust/{len(self.statements)}.json"] = self.statements[-1]
        if self.log is not None:
            self.log.sign("trust", *statement_digest(self.statements[-1]), self.owner.root)
            self.publish_log()

    def rotate_targets(self, new: list[CryptoSigner], threshold: int = 1) -> None:
        """Give the daily work to new keys."""
        draft = self.draft()
        draft.rotate_targets(role_keys(new, threshold))
        self.owner.targets, self.owner.targets_threshold = new, threshold
        self.publish(draft)

    def rotate_online(self) -> None:
        """Give the server new snapshot and timestamp keys."""
        version = len([name for name in self.files if name.endswith(".root.json")])
        self.owner.snapshot = key_from(f"{self.owner.name}/snapshot{version}")
        self.owner.timestamp = key_from(f"{self.owner.name}/timestamp{version}")
        draft = self.draft()
        draft.rotate_online(
            snapshot=role_keys([self.owner.snapshot]), timestamp=role_keys([self.owner.timestamp])
        )
        self.publish(draft)

    def invite(
        self,
        groups: Iterable[str] = ("kitchen",),
        *,
        id: str = "invite-1",  # noqa: A002 - the document's own word
        expires: datetime | None = None,
        uses: int = 1,
        floors: Floors | None = None,
    ) -> bytes:
        """An invite in its file form, at the floors of an owner who has just looked."""
        known = floors or self.observe().floors
        return make_invite(
            known,
            self.roles["root"],
            self.owner.targets,
            key_from(f"{self.owner.name}/{id}"),
            id=id,
            name=self.owner.name,
            locations=[DEFAULT_LOCATION],
            groups=[GroupName(group) for group in groups],
            expires=expires or self.now + timedelta(days=7),
            uses=uses,
            statements=self.statements,
        )

    def release_statement(self, package: Purl, version: Version, digest: Digest) -> bytes:
        """Provider `me` signs a release."""
        identity = ReleaseIdentity(ProviderName("me"), package, version, digest)
        return make_release_statement(identity, [self.owner.provider])

    # The server's side

    def upload(self, publication: Publication) -> None:
        """Publish as an honest server does: files first, then snapshot, then timestamp."""
        for path, data in publication.targets.items():
            directory, _, name = path.rpartition("/")
            digest = hashlib.sha256(data).hexdigest()
            self.files["/".join(filter(None, ["tuf/targets", directory, f"{digest}.{name}"]))] = (
                data
            )
        for name, data in publication.metadata.items():
            self.files[f"tuf/{name}"] = data
        self.roles.update(publication.roles)
        self.publish_log()
        changed = {role: data for role, data in publication.roles.items() if role != "root"}
        self.refresh(changed)

    def publish_log(self) -> None:
        """Put out the log as it is, cosigned now."""
        if self.log is not None:
            self.files.update(self.log.files(self.now))

    def log_everything(self) -> None:
        """Sign an entry for every role as it stands: how a log begins, or begins anew."""
        roles = {role: data for role, data in self.roles.items() if role != SNAPSHOT}
        if self.log is not None:
            self.log.sign_roles(Publication({}, {}, {}, roles), self.owner)
            self.publish_log()

    def refresh(self, changed: Mapping[str, bytes] | None = None, *, above: int = 0) -> None:
        """Sign snapshot and timestamp anew with the online keys."""
        self.publish_log()
        previous = self.files.get("tuf/timestamp.json")
        snapshot = snapshot_of(
            self.roles.get("snapshot"), changed or {}, [self.owner.snapshot], self.now, above=above
        )
        self.publish_snapshot(snapshot, previous, above=above)

    def publish_snapshot(
        self, snapshot: bytes, previous: bytes | None = None, *, above: int = 0
    ) -> None:
        """Put out a snapshot, whatever is in it, with a timestamp over it."""
        version = read(snapshot, SNAPSHOT).signed.version
        self.files[f"tuf/{version}.snapshot.json"] = snapshot
        self.roles["snapshot"] = snapshot
        self.files["tuf/timestamp.json"] = timestamp_of(
            previous or self.files.get("tuf/timestamp.json"),
            snapshot,
            [self.owner.timestamp],
            self.now,
            above=above,
        )

    def renew(self) -> None:
        """Let the owner sign anew what has lived half its life, and the server the rest."""
        draft = self.draft()
        if draft.renew(self.now):
            self.publish(draft)
        self.refresh()

    def refresh_timestamp(self) -> None:
        """Sign the timestamp alone anew, over the snapshot that is out."""
        self.files["tuf/timestamp.json"] = timestamp_of(
            self.files["tuf/timestamp.json"],
            self.roles["snapshot"],
            [self.owner.timestamp],
            self.now,
        )

    def pass_time(self, span: timedelta) -> None:
        """Let time go by."""
        self.now += span

    def get(self, path: str, cap: int) -> bytes | None:
        """What a device is served for `path`."""
        self.asked.append(path)
        data = self.files.get(path)
        if path in self.tamper:
            data = self.tamper[path](data)
        return None if data is None else data[: cap + 1]

    def snapshot_state(self) -> RepositorySimulator:
        """A copy that stays as it is: what an attacker kept, or yesterday's backup."""
        copy = object.__new__(RepositorySimulator)
        copy.__dict__.update(self.__dict__)
        copy.files, copy.roles = dict(self.files), dict(self.roles)
        copy.tamper, copy.asked = {}, []
        copy.statements = list(self.statements)
        copy.log = None if self.log is None else self.log.copy()
        copy.owner = replace(self.owner)
        copy.owner.snapshot, copy.owner.timestamp = self.owner.snapshot, self.owner.timestamp
        return copy

    # Whoever looks

    @property
    def anchor(self) -> Anchor:
        """The anchor of whoever has the first root."""
        return anchor_at(self.first_root)

    def observe(self) -> Repository:
        """What somebody with no floors of their own would accept now."""
        floors = first_floors(self.anchor, BUILD_TIME)
        return effects.drive(
            descend(self.anchor, floors, {}, self.now), self.get, lambda _keep: None
        )
