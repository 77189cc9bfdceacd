"""Receive a device's report: signature, binding and chain are checked, then it is kept whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import structlog

from allod.domain.ids import DeviceId, Digest, FleetId, sha256
from allod.errors import AllodError, Refused, Untrusted
from allod.server.events import AlarmRaised, Reported, ReportForgotten
from allod.server.ports import Database, DeviceRow
from allod.server.services.alarms import Alarms
from allod.server.services.limits import Rate
from allod.server.services.logs import Logs
from allod.server.services.publication import Stores
from allod.server.services.refusals import STRANGERS, Refusals
from allod.server.services.rollout_track import Taken
from allod.trust.dsse import decode_envelope, payload_of
from allod.trust.report import (
    ChainHead,
    Followed,
    Link,
    SignedReport,
    follow,
    verify_report,
)
from allod.wire.api import ReportReceipt
from allod.wire.codec import decode
from allod.wire.envelope import PublicKey
from allod.wire.log import ReportEntry
from allod.wire.report import REPORT_CAP, Report, TrustState

BODY_CAP = REPORT_CAP * 4 // 3 + 4096
_ROOM_KIB = 64 * 1024  #: of one device in a day: a device that was taken over fills no disk
#: What is only found out under a signature that is the device's.
_OWN: Final = frozenset({"wrong-fleet", "wrong-device", "wrong-epoch"})
_log = structlog.get_logger("allod.server.reports")


class FloorsSeen(Protocol):
    """Wants to know where devices' floors are (after a restore)."""

    def __call__(self, fleet: FleetId, trust: TrustState) -> None:
        """A verified report said so."""
        ...


class Counts(Protocol):
    """Counts what devices say of rollouts."""

    def __call__(self, fleet: FleetId, taken: Taken) -> None:
        """A report was verified and kept. Raises nothing: the report is received all the same."""
        ...


@dataclass(frozen=True, slots=True)
class _Older:
    """The digests of reports that were received before."""

    database: Database
    fleet: FleetId
    row: DeviceRow

    def __contains__(self, digest: object) -> bool:
        return self.database.has_report(self.fleet, self.row.device, self.row.epoch, str(digest))


def place(
    head: ChainHead, signed: SignedReport, older: Container[str], taken: Callable[[], bool]
) -> Followed:
    """Where a report stands: as `follow`, but one that comes late fills its gap.

    Args:
        head: the end of the chain so far.
        signed: a verified report.
        older: digests of reports that were received before.
        taken: whether its sequence was used before; then one that comes late is a fork.
    """
    followed = follow(head, signed, older)
    if followed.link is Link.REPLAYED:
        return replace(followed, link=Link.FORKED if taken() else Link.GAP)
    return followed


class ReceiveReport:
    """The use case; reports of one device are taken one at a time."""

    def __init__(
        self,
        stores: Stores,
        alarms: Alarms,
        rate: Rate,
        floors_seen: FloorsSeen,
        logs: Logs,
        refusals: Refusals,
        *,
        keep: int,
        counts: Counts,
    ) -> None:
        self._counts = counts
        self._logs = logs
        self._refusals = refusals
        self._stores = stores
        self._alarms = alarms
        self._rate = rate
        self._floors_seen = floors_seen
        self._keep = keep
        self._room = Rate(stores.clock, _ROOM_KIB, "KiB of reports of a device", seconds=86_400)

    def __call__(self, fleet: FleetId, device: DeviceId, raw: bytes) -> ReportReceipt:
        """Keep a report. When it returns, it is durable; the same again is fine.

        Raises:
            InvalidInput: it can't be read, or is too large (attack 42).
            Untrusted: `auth`, `wrong-device`, `wrong-fleet`, `wrong-epoch`, `wrong-type`.
            Refused: `unknown-device`.
            Unavailable: `too-many`.
        """
        row, signed = self._verified(fleet, device, raw)
        # Counted once it is known to be the device's own: nobody else can use its share up.
        self._rate.take(f"{fleet}/{device}")
        with self._alarms.lock(f"{fleet}/{device}"):
            receipt = self._follow(fleet, row, signed, raw)
        self._floors_seen(fleet, signed.report.trust)
        return receipt

    def _verified(
        self, fleet: FleetId, device: DeviceId, raw: bytes
    ) -> tuple[DeviceRow, SignedReport]:
        with self._refusals.of(fleet, "a report"):
            row = self._row(fleet, device)
            key = decode(row.key.encode(), PublicKey, cap=16 * 1024, what="the device's key")
        try:
            return row, verify_report(raw, key, fleet=fleet, device=device, epoch=row.epoch).value
        except Untrusted as error:
            subject = device if error.code in _OWN else STRANGERS
            self._refusals(fleet, "a report", error, subject=subject, digest=sha256(raw))
            raise

    def _row(self, fleet: FleetId, device: DeviceId) -> DeviceRow:
        row = self._stores.database.device(fleet, device)
        if row is None:
            raise Refused(
                "unknown-device",
                f"cannot take the report: {device[:12]} is not bound here; hand in its record first",
            )
        return row

    def _follow(
        self, fleet: FleetId, row: DeviceRow, signed: SignedReport, raw: bytes
    ) -> ReportReceipt:
        database, report = self._stores.database, signed.report
        newest = database.newest_report(fleet, row.device, row.epoch)
        head = (
            ChainHead()
            if newest is None
            else ChainHead(newest.sequence, newest.digest, newest.head)
        )
        older = _Older(database, fleet, row)

        def taken() -> bool:
            return bool(database.report(fleet, row.device, row.epoch, report.sequence))

        followed = place(head, signed, older, taken)
        if followed.link is Link.DUPLICATE:
            if newest is not None and newest.digest == signed.digest:
                # After a crash a rebuild may know a file that never came to the log. Reports of a
                # device come one by one, so it is the newest; what is logged is not logged twice.
                self._log_change(fleet, row, signed)
            return ReportReceipt(sequence=report.sequence, duplicate=True)
        self._room.take(f"{fleet}/{row.device}", len(raw) // 1024 + 1)
        received = self._stores.clock.now()
        self._write(fleet, row, signed, raw, received)
        # Before the database knows it: a report that comes again is logged then.
        self._log_change(fleet, row, signed)
        if followed.link is Link.FORKED:
            self._forked(fleet, row, report.sequence)
        database.apply(
            Reported(
                fleet=fleet,
                device=row.device,
                epoch=row.epoch,
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
        )
        self._counts(fleet, Taken(row, report, raw, received, forked=followed.link is Link.FORKED))
        self._prune(fleet, row)
        return ReportReceipt(sequence=report.sequence)

    def _log_change(self, fleet: FleetId, row: DeviceRow, signed: SignedReport) -> None:
        report = signed.report
        if report.kind != "change":
            return
        self._logs.record(
            fleet,
            ReportEntry(
                fleet=fleet,
                device=row.device,
                epoch=row.epoch,
                sequence=report.sequence,
                previous=report.previous,
                digest=signed.digest,
            ),
        )

    def _write(
        self, fleet: FleetId, row: DeviceRow, signed: SignedReport, raw: bytes, received: datetime
    ) -> None:
        directory = self._stores.layout.fleet(fleet)
        path = directory.report(row.device, row.epoch, signed.report.sequence, signed.digest)
        if not path.exists():
            self._stores.files.write_new(path, raw)
            # A rebuild and a backup learn from it when the report came.
            os.utime(path, (received.timestamp(), received.timestamp()))

    def _forked(self, fleet: FleetId, row: DeviceRow, sequence: int) -> None:
        """Two pasts under one key: a copied disk or a stolen key; both are kept (38, 40)."""
        self._alarms.raised(
            AlarmRaised(
                fleet,
                "device-cloned",
                row.device,
                f"two different reports of this device carry the sequence {sequence} or rest on "
                "different pasts: its disk was copied, or its key was stolen",
                self._stores.clock.now(),
            )
        )

    def _prune(self, fleet: FleetId, row: DeviceRow) -> None:
        """Old heartbeats go; what carries changes stays for ever, and the newest old lists of a host.

        A device sends those lists only when they change, be it with a heartbeat.
        """
        directory = self._stores.layout.fleet(fleet)
        listed = False
        for old in self._stores.database.old_heartbeats(fleet, row.device, keep=self._keep):
            path = directory.report(old.device, old.epoch, old.sequence, old.digest)
            if not listed and _has_lists(path):
                listed = True
                continue
            self._stores.files.remove(path)
            self._stores.database.apply(ReportForgotten(fleet, old.device, old.epoch, old.sequence))


def _has_lists(path: Path) -> bool:
    """Whether a report that was kept says what software its host has."""
    try:
        envelope = decode_envelope(path.read_bytes(), cap=BODY_CAP, what="a report")
        report = decode(payload_of(envelope), Report, cap=REPORT_CAP, what="a report")
    except (OSError, AllodError):
        return False
    inventory = report.inventory
    return inventory is not None and (inventory.dpkg is not None or inventory.pip is not None)
