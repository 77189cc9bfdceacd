"""What the server can tell an owner's program: claims from the projection, and signed files whole."""

from __future__ import annotations

from typing import Final

import structlog

from allod.domain.ids import DeviceId, FleetId, device_scope
from allod.errors import AllodError, InvalidInput
from allod.server.ports import DeviceRow
from allod.server.services.fleets import Fleets
from allod.server.services.publication import Stores
from allod.server.services.receive_report import BODY_CAP
from allod.trust.binding import BINDING_CAP
from allod.trust.dsse import decode_envelope
from allod.wire.api import (
    AlarmEntry,
    AlarmList,
    BindingEntry,
    BindingList,
    ChangeList,
    DeviceList,
    DeviceSummary,
    FleetStatus,
    PublishedChange,
    RecordedDevice,
    RecordedList,
    ReportEntry,
    ReportList,
)
from allod.wire.codec import decode, instant

_PAGE_BYTES: Final = 8 * 1024 * 1024
_log = structlog.get_logger("allod.server.listings")


class Listings:
    """Reads, and changes nothing."""

    def __init__(self, stores: Stores, fleets: Fleets) -> None:
        self._stores = stores
        self._fleets = fleets

    def fleet(self, fleet: FleetId) -> FleetStatus:
        """A fleet. Raises InvalidInput `not-found`."""
        state = self._fleets.need(fleet)
        return FleetStatus(
            fleet=fleet,
            name=state.document.name,
            news=state.news,
            versions=state.versions,
            trust=state.floors.trust_number,
            public=state.document.public,
            restored=state.restored,
            devices=self._stores.database.device_count(fleet),
            alarms=len(self._stores.database.alarms(fleet)),
        )

    def changes(self, fleet: FleetId, after: int, limit: int) -> ChangeList:
        """Publications."""
        rows = self._stores.database.publications(fleet, after=after, limit=limit)
        changes = [
            PublishedChange(
                news=row.news,
                at=instant(row.at),
                kind=row.kind,  # type: ignore[arg-type]
                roles=dict(row.roles),
                targets=list(row.targets),
                change=row.change,
            )
            for row in rows
        ]
        return ChangeList(changes=changes, next=rows[-1].news if len(rows) == limit else None)

    def devices(self, fleet: FleetId, after: str, limit: int) -> DeviceList:
        """Devices."""
        rows = self._stores.database.devices(fleet, after=after, limit=limit)
        return DeviceList(
            devices=[_summary(row) for row in rows],
            next=rows[-1].device if len(rows) == limit else None,
        )

    def recorded(self, fleet: FleetId, after: str, limit: int) -> RecordedList:
        """Devices that are only on record."""
        rows = self._stores.database.recorded(fleet, after=after, limit=limit)
        found = [
            RecordedDevice(
                device=row.device,
                label=row.label,
                groups=list(row.groups or ()),
                document=device_scope(row.device).target_path,
            )
            for row in rows
        ]
        return RecordedList(devices=found, next=rows[-1].device if len(rows) == limit else None)

    def device(self, fleet: FleetId, device: DeviceId) -> DeviceSummary:
        """One device. Raises InvalidInput `not-found`."""
        row = self._stores.database.device(fleet, device)
        if row is None:
            raise InvalidInput(
                "not-found", f"cannot find the device {device[:12]}: it is not bound"
            )
        return _summary(row)

    def reports(
        self, fleet: FleetId, device: DeviceId, after: int, limit: int, epoch: int | None = None
    ) -> ReportList:
        """Reports of a device in one of its bindings, byte for byte as it signed them.

        Sequences begin again with every binding, so a page holds reports of one: the newest,
        unless told otherwise. It ends early rather than hold more than some megabytes.
        """
        if epoch is None:
            known = self._stores.database.device(fleet, device)
            epoch = 0 if known is None else known.epoch
        rows = self._stores.database.reports(fleet, device, after=after, limit=limit, epoch=epoch)
        directory = self._stores.layout.fleet(fleet)
        entries: list[ReportEntry] = []
        size = 0
        for row in rows:
            if size > _PAGE_BYTES and row.sequence != entries[-1].sequence:
                return ReportList(reports=entries, next=entries[-1].sequence)
            path = directory.report(row.device, row.epoch, row.sequence, row.digest)
            try:
                data = path.read_bytes()
                report = decode_envelope(data, cap=BODY_CAP, what="the report")
            except (OSError, AllodError) as error:
                _log.error("report-lost", path=str(path), exc_info=error)
                continue
            size += len(data)
            entries.append(
                ReportEntry(
                    epoch=row.epoch,
                    sequence=row.sequence,
                    received=instant(row.received),
                    report=report,
                    forked=row.forked,
                )
            )
        return ReportList(reports=entries, next=rows[-1].sequence if len(rows) == limit else None)

    def bindings(self, fleet: FleetId, after: str, limit: int) -> BindingList:
        """The newest binding record of every device."""
        rows = self._stores.database.devices(fleet, after=after, limit=limit)
        entries = [
            entry
            for row in rows
            if (entry := self._binding(fleet, row.device, row.epoch)) is not None
        ]
        return BindingList(bindings=entries, next=rows[-1].device if len(rows) == limit else None)

    def device_bindings(self, fleet: FleetId, device: DeviceId) -> BindingList:
        """The binding records of a device, oldest first: the log names each of them."""
        row = self._stores.database.device(fleet, device)
        epochs = range(1, 1 if row is None else row.epoch + 1)
        found = [self._binding(fleet, device, epoch, expected=False) for epoch in epochs]
        return BindingList(bindings=[entry for entry in found if entry is not None])

    def _binding(
        self, fleet: FleetId, device: str, epoch: int, *, expected: bool = True
    ) -> BindingEntry | None:
        path = self._stores.layout.fleet(fleet).binding(DeviceId(device), epoch)
        try:
            return decode(path.read_bytes(), BindingEntry, cap=2 * BINDING_CAP, what=path.name)
        except (OSError, AllodError) as error:
            if expected:
                _log.error("binding-lost", path=str(path), exc_info=error)
            return None

    def alarms(self, fleet: FleetId) -> AlarmList:
        """Alarms."""
        return AlarmList(
            alarms=[
                AlarmEntry(
                    code=alarm.code,
                    subject=alarm.subject,
                    says=alarm.says,
                    since=instant(alarm.since),
                )
                for alarm in self._stores.database.alarms(fleet)
            ]
        )


def _summary(row: DeviceRow) -> DeviceSummary:
    return DeviceSummary(
        device=row.device,
        epoch=row.epoch,
        invite=row.invite,
        label=row.label,
        groups=list(row.groups),
        status="retired" if row.status == "retired" else "active",
        surplus=row.surplus,
        quarantined=row.quarantined,
        sequence=row.sequence,
        reported=None if row.reported is None else instant(row.reported),
        agent=row.agent,
        facts=dict(row.facts),
    )
