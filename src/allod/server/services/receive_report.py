"""Receive a device's report: signature, binding and chain are checked, then it is kept whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import structlog

from allod.domain.ids import DeviceId, Digest, FleetId
from allod.errors import Refused
from allod.server.ports import AlarmRaised, Database, DeviceRow, Reported, ReportForgotten
from allod.server.services.alarms import Alarms
from allod.server.services.limits import Rate
from allod.server.services.publication import Stores
from allod.trust.report import ChainHead, Link, SignedReport, follow, verify_report
from allod.wire.api import ReportReceipt
from allod.wire.codec import decode
from allod.wire.envelope import PublicKey
from allod.wire.report import REPORT_CAP, TrustState

BODY_CAP = REPORT_CAP * 4 // 3 + 4096
_log = structlog.get_logger("allod.server.reports")


class FloorsSeen(Protocol):
    """Wants to know where devices' floors are (after a restore)."""

    def __call__(self, fleet: FleetId, trust: TrustState) -> None:
        """A verified report said so."""
        ...


@dataclass(frozen=True, slots=True)
class _Older:
    """The digests of reports that were received before."""

    database: Database
    fleet: FleetId
    row: DeviceRow

    def __contains__(self, digest: object) -> bool:
        return self.database.has_report(self.fleet, self.row.device, self.row.epoch, str(digest))


class ReceiveReport:
    """The use case; reports of one device are taken one at a time."""

    def __init__(
        self, stores: Stores, alarms: Alarms, rate: Rate, floors_seen: FloorsSeen, *, keep: int
    ) -> None:
        self._stores = stores
        self._alarms = alarms
        self._rate = rate
        self._floors_seen = floors_seen
        self._keep = keep

    def __call__(self, fleet: FleetId, device: DeviceId, raw: bytes) -> ReportReceipt:
        """Keep a report. When it returns, it is durable; the same again is fine.

        Raises:
            InvalidInput: it can't be read, or is too large (THREATS 42).
            Untrusted: `auth`, `wrong-device`, `wrong-fleet`, `wrong-epoch`, `wrong-type`.
            Refused: `unknown-device`.
            Unavailable: `too-many`.
        """
        row = self._stores.database.device(fleet, device)
        if row is None:
            raise Refused(
                "unknown-device",
                f"cannot take the report: {device[:12]} is not bound here; hand in its record first",
            )
        self._rate.take(f"{fleet}/{device}")
        key = decode(row.key.encode(), PublicKey, cap=16 * 1024, what="the device's key")
        signed = verify_report(raw, key, fleet=fleet, device=device, epoch=row.epoch).value
        with self._alarms.lock(f"{fleet}/{device}"):
            receipt = self._follow(fleet, row, signed, raw)
        self._floors_seen(fleet, signed.report.trust)
        return receipt

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
        followed = follow(head, signed, _Older(database, fleet, row))
        link = followed.link
        if link is Link.REPLAYED:
            # A late one fills its gap; one that speaks with a sequence already used is a fork.
            taken = database.report(fleet, row.device, row.epoch, report.sequence)
            link = Link.FORKED if taken else Link.GAP
        if link is Link.DUPLICATE:
            return ReportReceipt(sequence=report.sequence, duplicate=True)
        self._write(fleet, row, signed, raw)
        database.apply(
            Reported(
                fleet=fleet,
                device=row.device,
                epoch=row.epoch,
                sequence=report.sequence,
                digest=Digest(signed.digest),
                previous=report.previous,
                kind=report.kind,
                received=self._stores.clock.now(),
                agent=report.agent,
                facts=report.facts,
                forked=link is Link.FORKED,
                head=followed.head.head,
            )
        )
        if link is Link.FORKED:
            self._forked(fleet, row, report.sequence)
        self._prune(fleet, row)
        return ReportReceipt(sequence=report.sequence)

    def _write(self, fleet: FleetId, row: DeviceRow, signed: SignedReport, raw: bytes) -> None:
        directory = self._stores.layout.fleet(fleet)
        path = directory.report(row.device, row.epoch, signed.report.sequence, signed.digest)
        if not path.exists():
            self._stores.files.write_new(path, raw)

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
        """Old heartbeats go; what carries changes stays for ever."""
        directory = self._stores.layout.fleet(fleet)
        for old in self._stores.database.old_heartbeats(fleet, row.device, keep=self._keep):
            path = directory.report(old.device, old.epoch, old.sequence, old.digest)
            self._stores.files.remove(path)
            self._stores.database.apply(ReportForgotten(fleet, old.device, old.epoch, old.sequence))
