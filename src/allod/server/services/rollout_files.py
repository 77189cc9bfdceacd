"""A rollout as files tell it: documents, gates, the controller's record, and kept reports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import structlog

from allod.domain.ids import FleetId, parse_device
from allod.errors import AllodError
from allod.server.events import Reported
from allod.server.ports import DeviceRow
from allod.server.services.publication import Stores
from allod.server.services.rollout_plans import OpenRollout
from allod.server.services.rollout_track import Taken, Tracked
from allod.trust.dsse import decode_envelope, payload_of
from allod.trust.gates import ENVELOPE_CAP
from allod.wire.codec import decode, parse_instant
from allod.wire.gate import GATE_CAP, Gate
from allod.wire.report import REPORT_CAP, Report
from allod.wire.rollout_state import ROLLOUT_CAP, RolloutRecord

_log = structlog.get_logger("allod.server.rollouts")
_PAGE: Final = 1000
_LOOKED: Final = 64  #: newest reports of a device that are read again
_REPORT_FILE: Final = REPORT_CAP * 4 // 3 + 4096


class RolloutFiles:
    """Reads them again, after a restart or where documents changed."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def tracked(
        self, fleet: FleetId, rollouts: Sequence[OpenRollout], members: str
    ) -> dict[str, Tracked]:
        """The rollouts, with everything that devices have said of their open stages."""
        made = {one.id: self._begin(fleet, one, members) for one in rollouts}
        after = ""
        while made and (rows := self._stores.database.devices(fleet, after=after, limit=_PAGE)):
            for row in rows:
                concerned = [one for one in made.values() if _since(one, row) is not None]
                if concerned and row.reported is not None:
                    self._reread(fleet, row, concerned)
            after = rows[-1].device
        return made

    def _begin(self, fleet: FleetId, rollout: OpenRollout, members: str) -> Tracked:
        directory = self._stores.layout.fleet(fleet)
        record = RolloutRecord()
        path = directory.rollout(rollout.id)
        if path.is_file():
            record = decode(path.read_bytes(), RolloutRecord, cap=ROLLOUT_CAP, what=path.name)
        opened = [None if record.begun is None else parse_instant(record.begun)]
        for number in range(1, len(rollout.plan.stages)):
            gate = directory.gate(rollout.id, number)
            known = opened[-1] is not None and gate.is_file()
            opened.append(_opened(gate.read_bytes()) if known else None)
        return Tracked.begin(rollout, record, opened, members)

    def _reread(self, fleet: FleetId, row: DeviceRow, concerned: Sequence[Tracked]) -> None:
        known = self._stores.database.reports(
            fleet,
            parse_device(row.device),
            after=max(0, row.sequence - _LOOKED),
            limit=_LOOKED,
            epoch=row.epoch,
        )
        first = min(since for one in concerned if (since := _since(one, row)) is not None)
        for reported in known:
            taken = self._kept(fleet, row, reported) if reported.received >= first else None
            if taken is not None:
                for one in concerned:
                    one.take(taken)

    def _kept(self, fleet: FleetId, row: DeviceRow, reported: Reported) -> Taken | None:
        """A report that was verified when it came; None: its file says nothing any more."""
        directory = self._stores.layout.fleet(fleet)
        path = directory.report(row.device, row.epoch, reported.sequence, reported.digest)
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            payload = payload_of(decode_envelope(raw, cap=_REPORT_FILE))
            report = decode(payload, Report, cap=REPORT_CAP, what=path.name)
        except AllodError as error:  # one damaged file keeps no rollout of the fleet from going on
            _log.warning("report-left-out", path=str(path), reason=error.message)
            return None
        return Taken(row, report, raw, reported.received, reported.forked)


def _since(tracked: Tracked, row: DeviceRow) -> datetime | None:
    """Since when the stage of a device is open, if it is."""
    number = tracked.enrol(row)
    return None if number is None else tracked.counts[number].opened


def _opened(raw: bytes) -> datetime:
    payload = payload_of(decode_envelope(raw, cap=ENVELOPE_CAP))
    return parse_instant(decode(payload, Gate, cap=GATE_CAP, what="a gate").at)
