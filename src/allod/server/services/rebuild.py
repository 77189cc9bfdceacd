"""Make the projection again from the files, which are the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from allod.domain.ids import Digest, FleetId, parse_device
from allod.errors import AllodError
from allod.server.events import Bound, Event, Reported
from allod.server.layout import FleetDirectory
from allod.server.services.admit_binding import binding_of, bound_event
from allod.server.services.alarms import read_alarm_files
from allod.server.services.api_tokens import read_token_files
from allod.server.services.fleets import DOCUMENT_CAP, published_file, verify_published
from allod.server.services.proposals import read_proposal_files
from allod.server.services.publication import Publications, device_event, fleet_event
from allod.server.services.receive_report import place
from allod.server.services.records import newest_news, read_record, record_events
from allod.trust.effects import drive
from allod.trust.metadata import metadata_path, read
from allod.trust.report import ChainHead, Followed, Link, SignedReport, verify_report
from allod.wire.api import BindingEntry
from allod.wire.codec import decode
from allod.wire.envelope import PublicKey

_CAP = 16 * 1024 * 1024
_log = structlog.get_logger("allod.server.rebuild")


class Rebuild:
    """The use case; nothing else may write meanwhile."""

    def __init__(self, publications: Publications) -> None:
        self._publications = publications

    def __call__(self, fleet: FleetId) -> int:
        """Rebuild one fleet and return how many events it took.

        A file that does not verify is left out and logged: it is worth nothing.

        Raises:
            AllodError: the published files themselves are not whole.
        """
        publications = self._publications
        database = publications.stores.database
        with publications.lock(fleet):
            database.forget(fleet)
            count = 0
            batch: list[Event] = []
            for event in self._events(fleet):
                batch.append(event)
                count += 1
                if len(batch) >= 500:  # noqa: PLR2004 - one transaction, not too large
                    database.apply(*batch)
                    batch.clear()
            database.apply(*batch)
            state = publications.load(fleet)
            database.apply(fleet_event(state))
            return count

    def _events(self, fleet: FleetId) -> Iterator[Event]:
        directory = self._publications.directory(fleet)
        for news in range(1, newest_news(directory) + 1):
            record = read_record(directory, news)
            if record is not None:
                yield from record_events(record)
        yield from _documents(fleet, directory)
        for bound in _bindings(fleet, directory):
            yield bound
            yield from _reports(fleet, directory, bound)
        yield from read_alarm_files(self._publications.stores.layout, fleet)
        yield from read_token_files(self._publications.stores.layout, fleet)
        yield from read_proposal_files(self._publications.stores.layout, fleet)


def _documents(fleet: FleetId, directory: FleetDirectory) -> Iterator[Event]:
    """What the owner's documents say of single devices."""

    def get(path: str, cap: int) -> bytes | None:
        return published_file(directory, path, cap)

    repository = verify_published(directory)
    for role, data in repository.files.items():
        for path in getattr(read(data, role).signed, "targets", {}):
            if path.startswith("state/devices/"):
                target = drive(repository.target(path, DOCUMENT_CAP), get, lambda _: None)
                if target is not None:
                    yield device_event(fleet, path, target.data)


def _bindings(fleet: FleetId, directory: FleetDirectory) -> Iterator[Bound]:
    def root(version: int) -> bytes | None:
        return published_file(directory, metadata_path("root", version), DOCUMENT_CAP)

    for path in sorted((directory.root / "bindings").glob("*/*.json")):
        try:
            entry = decode(path.read_bytes(), BindingEntry, cap=_CAP, what=path.name)
            yield bound_event(fleet, binding_of(fleet, entry, root), entry)
        except AllodError as error:
            _log.warning("binding-left-out", path=str(path), reason=error.message)


def _reports(fleet: FleetId, directory: FleetDirectory, bound: Bound) -> Iterator[Reported]:
    """The reports of one binding, put to its chain in the order in which they came."""
    key = decode(bound.key.encode(), PublicKey, cap=_CAP, what="the device's key")
    found = []
    for path in (directory.root / "reports" / bound.device).glob(f"{bound.epoch}-*.json"):
        try:
            signed = verify_report(
                path.read_bytes(),
                key,
                fleet=fleet,
                device=parse_device(bound.device),
                epoch=bound.epoch,
            ).value
        except AllodError as error:
            _log.warning("report-left-out", path=str(path), reason=error.message)
            continue
        found.append((path.stat().st_mtime, signed.report.sequence, signed))
    head = ChainHead()
    older: set[str] = set()
    sequences: set[int] = set()
    for when, sequence, signed in sorted(found, key=lambda one: one[:2]):
        followed = place(head, signed, older, lambda n=sequence: n in sequences)  # type: ignore[misc]
        head = replace(followed.head, sequence=max(head.sequence, sequence))
        older.add(signed.digest)
        sequences.add(sequence)
        received = datetime.fromtimestamp(when, UTC)
        yield _reported(fleet, bound, signed, received, followed)


def _reported(
    fleet: FleetId, bound: Bound, signed: SignedReport, received: datetime, followed: Followed
) -> Reported:
    report = signed.report
    return Reported(
        fleet=fleet,
        device=bound.device,
        epoch=bound.epoch,
        sequence=report.sequence,
        digest=Digest(signed.digest),
        previous=report.previous,
        kind=report.kind,
        received=received,
        agent=report.agent,
        facts=report.facts,
        forked=followed.link is Link.FORKED,
        head=followed.head.head,
    )
