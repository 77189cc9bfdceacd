"""What the server holds in memory of every fleet: read from verified files, swapped whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from allod.domain.delegation import Delegation
from allod.domain.ids import DeviceId, FleetId
from allod.errors import InvalidInput
from allod.server.layout import FleetDirectory
from allod.server.services.online import Online, read_online
from allod.trust.accepted import Repository
from allod.trust.anchor import Anchor, anchor_at, first_floors
from allod.trust.effects import drive
from allod.trust.floors import Floors
from allod.trust.keys import key_id
from allod.trust.metadata import ROOT, TIMESTAMP, metadata_path, read
from allod.trust.profile import PUBLISHER
from allod.trust.repository import descend
from allod.wire.trust import FleetDocument, Person, ProviderDocument, TrustStatement

#: Before every expiry: the server's own published files are read, however old they have become.
LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
DOCUMENT_CAP: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FleetState:
    """The newest published state of one fleet."""

    fleet: FleetId
    news: int
    anchor: Anchor
    floors: Floors
    online: Online
    document: FleetDocument
    people: Mapping[str, Person]  #: key id -> person
    retired: frozenset[DeviceId] = frozenset()
    restored: bool = False
    statement: TrustStatement | None = None  #: the newest
    delegations: Mapping[str, Delegation] = field(default_factory=dict)
    providers: Mapping[str, ProviderDocument] = field(default_factory=dict)

    def delegation_of(self, person: Person) -> str | None:
        """The delegation whose delegate a person is, also after it was revoked.

        It is the one of the same name; an admin is nobody's delegate.
        """
        role = f"delegation-{person.name}"
        known = person.name in self.delegations or role in self.online.versions
        return person.name if known and person.role == "publish" else None

    @property
    def versions(self) -> dict[str, int]:
        """Role -> published version."""
        return {**self.online.versions, ROOT: self.floors.root_version}


@dataclass(slots=True)
class Fleets:
    """All fleets of this server. Reading takes no lock: a state is never changed, only replaced."""

    _states: dict[str, FleetState] = field(default_factory=dict)

    def get(self, fleet: str) -> FleetState | None:
        """The state of a fleet."""
        return self._states.get(fleet)

    def need(self, fleet: str) -> FleetState:
        """The state of a fleet. Raises InvalidInput `not-found`."""
        state = self._states.get(fleet)
        if state is None:
            raise InvalidInput("not-found", "cannot find this fleet: the server does not have it")
        return state

    def put(self, state: FleetState) -> None:
        """Replace it."""
        self._states[state.fleet] = state

    def all(self) -> tuple[FleetState, ...]:
        """All of them by id."""
        return tuple(self._states[fleet] for fleet in sorted(self._states))


def people_of(document: FleetDocument) -> dict[str, Person]:
    """Key id -> person. Raises InvalidInput `bad-key`."""
    return {key_id(person.key): person for person in document.people}


def published_file(directory: FleetDirectory, path: str, cap: int) -> bytes | None:
    """A published file by its address; None if it is not there."""
    file = directory.served(path)
    if file is None or not file.is_file():
        return None
    with file.open("rb") as stream:
        data = stream.read(cap + 1)
    if len(data) > cap:
        raise InvalidInput("too-large", f"cannot read {path}: more than {cap} bytes")
    return data


def published_online(directory: FleetDirectory) -> Online:
    """The published snapshot and timestamp. Raises InvalidInput `not-found`."""
    timestamp = published_file(directory, metadata_path("timestamp", None), DOCUMENT_CAP)
    if timestamp is None:
        raise InvalidInput("not-found", "cannot find the timestamp of this fleet")
    version = read_online_version(timestamp)
    snapshot = published_file(directory, metadata_path("snapshot", version), DOCUMENT_CAP)
    if snapshot is None:
        raise InvalidInput("not-found", "cannot find the snapshot that the timestamp names")
    return read_online(snapshot, timestamp)


def read_online_version(timestamp: bytes) -> int:
    """The version of the snapshot that a timestamp names. Raises InvalidInput."""
    return int(read(timestamp, TIMESTAMP).signed.snapshot_meta.version)


def verify_published(directory: FleetDirectory) -> Repository:
    """Walk everything that is published, from the first root on, as a newcomer would.

    Raises:
        AllodError: the files are not whole; restore them from a backup.
    """
    first = published_file(directory, metadata_path(ROOT, 1), DOCUMENT_CAP)
    if first is None:
        raise InvalidInput("not-found", "cannot find the first root of this fleet")
    anchor = anchor_at(first)

    def get(path: str, cap: int) -> bytes | None:
        return published_file(directory, path, cap)

    floors = first_floors(anchor, LONG_AGO)
    repository = drive(
        descend(anchor, floors, {}, LONG_AGO, profile=PUBLISHER), get, lambda _: None
    )
    drive(repository.load_all(), get, lambda _: None)
    return repository
