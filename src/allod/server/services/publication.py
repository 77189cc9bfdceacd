"""How a publication becomes true: decided by one durable file, then carried out step by step.

1. `pending.json`, durable: from here on the publication is decided.
2. blobs, trust statements, target files, metadata: names that nobody asks for yet; then the
   entries of the authority log, until they stand under a signed checkpoint.
3. the snapshot, 4. the timestamp: now devices can see it.
5. the record of the publication, 6. the projection, the state in memory, the news.
7. `pending.json` goes.

Recovery is the normal path: whatever stopped it, and wherever, `recover` carries out steps 2 to 7
again, by the same code, before anything else happens to the fleet; every step is idempotent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import msgspec
import structlog

from allod.domain.ids import DeviceId, FleetId, parse_device, parse_digest
from allod.errors import InvalidInput, Unavailable
from allod.server.events import DeviceDocumented, Event, FleetRead
from allod.server.layout import FleetDirectory, ServerDirectory
from allod.server.lock import publishing
from allod.server.ports import BlobStore, Clock, Database, Files, News
from allod.server.services.fleets import (
    DOCUMENT_CAP,
    Fleets,
    FleetState,
    people_of,
    published_file,
    published_online,
    verify_published,
)
from allod.server.services.limits import Locks
from allod.server.services.logs import Logs
from allod.server.services.online import OnlineKeys
from allod.server.services.published_documents import delegations_in, providers_in
from allod.server.services.records import (
    Record,
    TakenChannel,
    newest_news,
    read_record,
    record_events,
)
from allod.trust.accepted import Repository
from allod.trust.dsse import decode_envelope, payload_of
from allod.trust.effects import drive
from allod.wire.api import UPLOAD_CAP
from allod.wire.codec import Document, decode, encode
from allod.wire.desired import decode_state
from allod.wire.envelope import ENVELOPE_CAP
from allod.wire.trust import FleetDocument, TrustStatement

_PENDING_CAP: Final = 2 * UPLOAD_CAP
_DEVICES: Final = "state/devices/"
_LOST: Final = frozenset({"log-restored", "log-missing", "log-damaged"})
_log = structlog.get_logger("allod.server.publication")


class Pending(Document, frozen=True, kw_only=True):
    """`pending.json`: everything that it takes to carry out one publication."""

    type: Literal["allod.pending"] = "allod.pending"
    format: Literal[1] = 1
    record: Record
    files: dict[str, bytes]  #: address relative to /f/<fleet>/ -> bytes
    blobs: dict[str, bytes]
    begins: tuple[str, ...] = ()  #: origins of logs that begin with it
    log: str | None = None  #: origin of the authority log
    entries: tuple[bytes, ...] = ()  #: for it
    replaced: dict[str, bytes]  #: files that are replaced once the entries are logged
    snapshot_version: int
    snapshot: bytes
    timestamp: bytes

    def of_channel(self, taken: TakenChannel, entry: bytes) -> Pending:
        """The same, for the newest document of a channel."""
        latest = f"channels/{taken.provider}/{taken.channel}/latest.json"
        record = msgspec.structs.replace(self.record, taken=taken)
        return msgspec.structs.replace(self, record=record, replaced={latest: entry})


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that the services write to."""

    layout: ServerDirectory
    files: Files
    database: Database
    blobs: Callable[[FleetId], BlobStore]
    news: News
    clock: Clock


class Publications:
    """Carries out publications, one at a time a fleet, and recovers what was cut off.

    Args:
        stores: where they go.
        fleets: what is published, in memory.
        keys: of the online roles.
        logs: of the fleets.
        vouch: waits, for a bounded time, until witnesses vouch for a log that grew.
    """

    def __init__(
        self,
        stores: Stores,
        fleets: Fleets,
        keys: OnlineKeys,
        logs: Logs,
        vouch: Callable[[FleetId], None] = lambda _: None,
    ) -> None:
        self.logs = logs
        self.stores = stores
        self.fleets = fleets
        self.keys = keys
        self._vouch = vouch
        self._locks = Locks()

    def lock(self, fleet: FleetId) -> threading.RLock:
        """Held while the fleet's files change."""
        return self._locks.of(fleet)

    def directory(self, fleet: FleetId) -> FleetDirectory:
        """The fleet's files."""
        return self.stores.layout.fleet(fleet)

    def carry_out(self, pending: Pending) -> FleetState:
        """Decide a publication, and make it true. When it returns, it is."""
        fleet = FleetId(pending.record.fleet)
        directory = self.directory(fleet)
        with self.lock(fleet), publishing(directory):
            self.stores.files.write(directory.pending, encode(pending))
            return self._apply(pending)

    def recover(self, fleet: FleetId) -> FleetState | None:
        """Carry out what was decided and cut off; None if there was nothing."""
        with self.lock(fleet):
            path = self.directory(fleet).pending
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return None
            pending = decode(data, Pending, cap=_PENDING_CAP, what=str(path))
            _log.info("publication-recovered", fleet=fleet, news=pending.record.news)
            with publishing(self.directory(fleet)):
                return self._apply(pending, recovered=True)

    def load(self, fleet: FleetId) -> FleetState:
        """Recover, then read what is published into memory.

        Raises:
            AllodError: the files are not whole.
        """
        with self.lock(fleet):
            recovered = self.recover(fleet)
            if recovered is not None:
                return recovered
            state, _ = self._read(fleet, newest_news(self.directory(fleet)))
            self._remember(state)
            return state

    def _apply(self, pending: Pending, *, recovered: bool = False) -> FleetState:
        """Steps 2 to 7."""
        record = pending.record
        fleet = FleetId(record.fleet)
        directory, files = self.directory(fleet), self.stores.files
        # 2. Nobody asks for these names before the snapshot lists them.
        blobs = self.stores.blobs(fleet)
        for digest, data in pending.blobs.items():
            blobs.put(parse_digest(digest), [data])
        for address, data in pending.files.items():
            # A trust statement may come again with the signatures of a new root.
            put = files.write if address.startswith("trust/") else files.write_new
            put(directory.root / address, data)
        record = self._log_entries(fleet, pending, recovered=recovered)
        for address, data in pending.replaced.items():
            files.write(directory.root / address, data)
        # 3. The snapshot before the timestamp that names it: no reader finds a hole.
        tuf = directory.root / "tuf"
        files.write_new(tuf / f"{pending.snapshot_version}.snapshot.json", pending.snapshot)
        # 4. The one file that is ever replaced.
        files.write(tuf / "timestamp.json", pending.timestamp)
        # 5. What took place, for history and for a rebuild.
        files.write_new(directory.publication(record.news), encode(record))
        # 6. Everything that is derived.
        state, repository = self._read(fleet, record.news)
        self.stores.database.apply(
            *record_events(record),
            fleet_event(state),
            *self._device_events(state, repository, record),
        )
        self._remember(state)
        # 7. Done; from here on it may be acknowledged.
        files.remove(directory.pending)
        _log.info("published", fleet=fleet, news=record.news, kind=record.kind, roles=record.roles)
        return state

    def _log_entries(self, fleet: FleetId, pending: Pending, *, recovered: bool) -> Record:
        """Begin the logs that begin, and append; a log that was lost meanwhile stops no recovery.

        What was decided may be half published: it goes on, and readers wait for the successor
        log, which has an entry for every role.

        Returns:
            The record, which says where a channel's document stands in the log.
        """
        numbers = [int(address[6:-5]) for address in pending.files if address[:6] == "trust/"]
        if numbers:
            self.logs.know(fleet, _statement_in(pending.files[f"trust/{max(numbers)}.json"]))
        for origin in pending.begins:
            self.logs.begin(fleet, origin)
        record = pending.record
        if pending.log is None or not pending.entries:
            return record
        try:
            appended = self.logs.append(fleet, pending.log, pending.entries)
            self._vouch(fleet)
        except Unavailable as error:
            if not recovered or error.code not in _LOST:
                raise
            _log.error("log-lost", fleet=fleet, log=pending.log, exc_info=error)
            return read_record(self.directory(fleet), record.news) or record
        if record.taken is None:
            return record
        taken = msgspec.structs.replace(record.taken, index=appended.indices[0])
        return msgspec.structs.replace(record, taken=taken)

    def _read(self, fleet: FleetId, news: int) -> tuple[FleetState, Repository]:
        directory = self.directory(fleet)
        repository = verify_published(directory)
        target = drive(
            repository.target("fleet.json", DOCUMENT_CAP),
            lambda path, cap: published_file(directory, path, cap),
            lambda _: None,
        )
        if target is None:
            raise InvalidInput("no-fleet-document", "cannot use this fleet: it lacks fleet.json")
        document = decode(target.data, FleetDocument, cap=DOCUMENT_CAP, what="fleet.json")
        state = FleetState(
            fleet=fleet,
            news=news,
            anchor=repository.anchor,
            floors=repository.floors,
            online=published_online(directory),
            document=document,
            people=people_of(document),
            retired=self.stores.database.retired(fleet),
            restored=directory.restored.exists(),
            statement=repository.statement,
            delegations=delegations_in(repository, directory),
            providers=providers_in(repository, directory),
        )
        return state, repository

    def _device_events(
        self, state: FleetState, repository: Repository, record: Record
    ) -> list[Event]:
        events: list[Event] = []
        directory = self.directory(state.fleet)
        for path in record.targets:
            if not path.startswith(_DEVICES):
                continue
            target = drive(
                repository.target(path, DOCUMENT_CAP),
                lambda path, cap: published_file(directory, path, cap),
                lambda _: None,
            )
            if target is not None:
                events.append(device_event(state.fleet, path, target.data))
        return events

    def _remember(self, state: FleetState) -> None:
        retired = self.stores.database.retired(state.fleet)
        self.logs.know(state.fleet, state.statement)
        self.fleets.put(replace(state, retired=retired))
        self.stores.news.announce(state.fleet, state.news)


def _statement_in(raw: bytes) -> TrustStatement:
    payload = payload_of(decode_envelope(raw))
    return decode(payload, TrustStatement, cap=ENVELOPE_CAP, what="the trust statement")


def fleet_event(state: FleetState) -> FleetRead:
    """What the projection says of a fleet."""
    return FleetRead(
        state.fleet,
        state.document.name,
        state.document.public,
        state.news,
        state.floors.trust_number,
        state.versions,
        state.restored,
    )


def device_event(fleet: FleetId, path: str, data: bytes) -> DeviceDocumented:
    """What the owner's document of one device says."""
    device: DeviceId = parse_device(path.removeprefix(_DEVICES).removesuffix(".json"))
    record = decode_state(data).device
    if record is None:
        raise InvalidInput("bad-document", f"cannot read {path}: it lacks 'device'")
    groups = None if record.groups is None else tuple(record.groups)
    return DeviceDocumented(fleet, device, record.epoch, record.status, record.label, groups)
