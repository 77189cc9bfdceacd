"""The devices of the fleet and what they last said, checked here.

The server is asked what there is, and believed in nothing: a device is one because its binding
record carries the signatures of an invite of the owner and of its own key, a report counts under
that key (attack 5). What was seen before is remembered, so that the server can neither show an
older report nor let a device vanish unnoticed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

from allod.cli.activity import Activity, Logged, read_activity
from allod.cli.documents import Base
from allod.cli.seen import Seen, begin_at, follow_on, load_seen, remember
from allod.domain.desired import Level, StateDocument
from allod.domain.ids import (
    DeviceId,
    Scope,
    device_scope,
    parse_device,
    parse_digest,
    parse_group,
    parse_purl,
    parse_version,
)
from allod.domain.reported import Actual, ActualPackage, ActualRelease, Member, PendingWork, Remark
from allod.errors import AllodError, Unavailable, Untrusted
from allod.trust.approvals import approved_state
from allod.trust.binding import Binding, verify_binding
from allod.trust.metadata import ROOT_CAP, metadata_path
from allod.trust.past import check_root_chain
from allod.trust.report import SignedReport, verify_report
from allod.wire.api import (
    BindingEntry,
    BindingList,
    DeviceList,
    DeviceSummary,
    ReportEntry,
    ReportList,
)
from allod.wire.binding import BindingFile
from allod.wire.codec import encode, parse_instant
from allod.wire.report import PackageReport, Report


@dataclass(frozen=True, slots=True)
class Device:
    """One device: its record, its newest verified report, and what the server adds."""

    member: Member
    binding: Binding
    signed: SignedReport | None
    summary: DeviceSummary | None
    seen: Seen | None = None

    @property
    def report(self) -> Report | None:
        """What it last said."""
        return None if self.signed is None else self.signed.report


@dataclass(frozen=True, slots=True)
class Read:
    """Reports of a device that its key signed, oldest first, and when the newest was received."""

    reports: tuple[SignedReport, ...] = ()
    received: str = ""
    remarks: tuple[Remark, ...] = ()

    @property
    def newest(self) -> int:
        """The number of the newest; 0: there is none."""
        return self.reports[-1].report.sequence if self.reports else 0


@dataclass
class Members:
    """The devices of a fleet, each verified when it is first looked at.

    Args:
        base: the owner's newest documents.
        reports: whether reports are fetched too.
    """

    base: Base
    reports: bool = True

    @cached_property
    def roots(self) -> Mapping[int, bytes]:
        """The proved root files, by version."""
        newest = self.base.view.repository.root
        files = []
        for version in range(1, newest.version + 1):
            data = self.base.fleet.client.file(metadata_path("root", version), cap=ROOT_CAP)
            if data is None:
                raise Unavailable("withheld", f"cannot go on: the server lacks root {version}")
            files.append(data)
        chain = check_root_chain(files, self.base.fleet_id).value
        if chain[-1].digest != self.base.view.repository.floors.root_digest:
            raise Untrusted("equivocation", "cannot go on: the server shows two newest roots")
        return {checked.root.version: data for checked, data in zip(chain, files, strict=True)}

    @cached_property
    def devices(self) -> tuple[Device, ...]:
        """All devices of the newest binding each, by id."""
        bindings, rejected = self._bindings()
        uses = Counter(binding.invite.id for binding, _ in bindings.values())
        logged = self.activity.devices if self.reports else {}  # first: reports only come
        summaries = self._summaries()
        seen = load_seen(self.base.fleet)
        found = [
            self._device(
                self._member(binding, entry, summaries.get(device), uses),
                binding,
                summaries.get(device),
                seen.devices.get(device),
                logged.get(device),
            )
            for device, (binding, entry) in sorted(bindings.items())
        ]
        found = [_with(one, rejected.get(one.binding.device, ())) for one in found]
        if self.reports:
            now = ((one.binding.device, one.seen) for one in found if one.seen is not None)
            remember(self.base.fleet, now)
        return tuple(found)

    @cached_property
    def activity(self) -> Activity:
        """What the activity log says of reports; read before they are."""
        view = self.base.view
        return read_activity(view.fleet, view.repository.statement)

    @cached_property
    def all(self) -> tuple[Member, ...]:
        """The devices as the domain sees them."""
        return tuple(device.member for device in self.devices)

    @cached_property
    def vanished(self) -> tuple[Remark, ...]:
        """Alarms for devices that were seen before and are not shown any more."""
        shown = {device.binding.device for device in self.devices}
        return tuple(
            Remark("device-hidden", "the server does not show this device any more", device)
            for device in sorted(load_seen(self.base.fleet).devices)
            if device not in shown
        )

    def documents(self) -> dict[Scope, StateDocument]:
        """The owner's documents as devices take them, with the approvals that hold.

        Those of an earlier binding count no more.
        """
        epochs = {member.device: member.epoch for member in self.all}
        people = self.base.fleet_document
        return {
            scope: approved_state(document, people)
            for scope, document in self.base.states.items()
            if document.device is None
            or document.device.epoch >= epochs.get(DeviceId(scope.name), 0)
        }

    # -- what the server has ----------------------------------------------------------------

    def _bindings(
        self,
    ) -> tuple[dict[DeviceId, tuple[Binding, BindingEntry]], dict[DeviceId, tuple[Remark, ...]]]:
        found: dict[DeviceId, tuple[Binding, BindingEntry]] = {}
        rejected: dict[DeviceId, tuple[Remark, ...]] = {}
        after: str | None = None
        while True:
            query = f"?after={after}" if after is not None else ""
            page = self.base.fleet.client.get(f"bindings{query}", BindingList)
            for entry in page.bindings:
                device = parse_device(entry.device)
                try:
                    binding = self.check(entry)
                except AllodError as error:
                    remark = Remark("binding-refused", error.message)
                    rejected[device] = (*rejected.get(device, ()), remark)
                    continue
                known = found.get(device)
                if known is None or known[0].record.epoch < binding.record.epoch:
                    found[device] = (binding, entry)
            if page.next is None or page.next == after:
                return found, rejected
            after = page.next

    def check(self, entry: BindingEntry) -> Binding:
        """Verify one binding record as the server shows it. Raises Untrusted, InvalidInput."""
        file = encode(BindingFile(invite=entry.invite, record=entry.record))
        binding = verify_binding(file, self.roots.get).value
        if binding.device != entry.device or binding.record.fleet != self.base.fleet_id:
            raise Untrusted("wrong-device", "cannot use a binding: it is another device's")
        return binding

    def _summaries(self) -> dict[str, DeviceSummary]:
        found: dict[str, DeviceSummary] = {}
        after: str | None = None
        while True:
            query = f"?after={after}" if after is not None else ""
            page = self.base.fleet.client.get(f"devices{query}", DeviceList)
            found.update({one.device: one for one in page.devices})
            if page.next is None or page.next == after:
                return found
            after = page.next

    def entries(self, device: DeviceId, after: int) -> list[ReportEntry]:
        """A device's reports beyond a sequence number, as the server has them, unverified."""
        found: list[ReportEntry] = []
        while True:
            page = self.base.fleet.client.get(f"devices/{device}/reports?after={after}", ReportList)
            found.extend(page.reports)
            if page.next is None or page.next <= after:
                return found
            after = page.next

    # -- one device ---------------------------------------------------------------------------

    def _device(
        self,
        member: Member,
        binding: Binding,
        summary: DeviceSummary | None,
        seen: Seen | None,
        logged: Logged | None,
    ) -> Device:
        if not self.reports:
            return Device(member, binding, None, summary)
        epoch, newest = binding.record.epoch, 0 if summary is None else summary.sequence
        present = logged if logged is not None and logged.epoch == epoch else None
        begin = begin_at(seen, epoch, newest) if newest else 0
        read = self.read(binding, begin) if newest else Read()
        if present is not None and read.newest < present.sequence:
            read = self.read(binding, begin)  # it was logged first, and is shown a moment later
        followed = follow_on(read.reports, seen, present)
        doubts = [*read.remarks, *followed.remarks]
        signed = read.reports[-1] if read.reports else None
        actual = None if signed is None else actual_of(signed.report, read.received)
        member = replace(
            _alarmed(member, *doubts), actual=actual, doubts=tuple(one.says for one in doubts)
        )
        return Device(member, binding, signed, summary, followed.seen)

    def read(self, binding: Binding, after: int) -> Read:
        """Verify a device's reports beyond a sequence number."""
        epoch = binding.record.epoch
        remarks: list[Remark] = []
        found: dict[int, tuple[SignedReport, str]] = {}
        for one in self.entries(binding.device, after):
            if one.epoch != epoch:
                continue
            if one.forked:
                remarks.append(Remark("clone", "two devices speak with one key"))
            try:
                signed = verify_report(
                    encode(one.report),
                    binding.record.key,
                    fleet=self.base.fleet_id,
                    device=binding.device,
                    epoch=epoch,
                ).value
            except AllodError as error:
                remarks.append(Remark("report-refused", error.message))
                continue
            found[signed.report.sequence] = (signed, one.received)
        ordered = [found[sequence] for sequence in sorted(found)]
        return Read(
            tuple(signed for signed, _ in ordered),
            ordered[-1][1] if ordered else "",
            tuple(dict.fromkeys(remarks)),
        )

    def _member(
        self,
        binding: Binding,
        entry: BindingEntry,
        summary: DeviceSummary | None,
        uses: Counter[str],
    ) -> Member:
        own = self.base.state(device_scope(binding.device))
        record = own.device if own is not None else None
        if record is not None and record.epoch < binding.record.epoch:
            record = None
        groups = tuple(parse_group(name) for name in binding.invite.groups)
        alarms: list[Remark] = []
        crowded = uses[binding.invite.id] > binding.invite.uses
        if entry.surplus or crowded:
            alarms.append(
                Remark(
                    "surplus-binding",
                    f"{uses[binding.invite.id]} devices came with the invite {binding.invite.id}, "
                    f"which is for {binding.invite.uses}",
                )
            )
        if summary is not None and summary.quarantined:
            alarms.append(Remark("clone", "two devices speak with one key"))
        return Member(
            binding.device,
            binding.record.epoch,
            groups if record is None or record.groups is None else record.groups,
            label="" if record is None else record.label,
            retired=record is not None and record.status == "retired",
            surplus=entry.surplus,
            alarms=tuple(alarms),
        )


def _with(device: Device, remarks: tuple[Remark, ...]) -> Device:
    return replace(device, member=_alarmed(device.member, *remarks)) if remarks else device


def _alarmed(member: Member, *remarks: Remark) -> Member:
    return replace(member, alarms=tuple(dict.fromkeys((*member.alarms, *remarks))))


def actual_of(report: Report, received: str) -> Actual:
    """A verified report as the domain sees it."""
    said = parse_instant(report.at)
    taken = parse_instant(received) if received else datetime.max.replace(tzinfo=UTC)
    return Actual(
        heard=min(said, taken),
        sequence=report.sequence,
        roles=report.trust.roles,
        packages={parse_purl(one.package): _package(one) for one in report.packages},
        refusals=tuple(
            Remark(one.code, "; ".join(one.reasons) or one.code, one.subject)
            for one in report.refusals
        ),
        alarms=tuple(Remark(one.code, one.says) for one in report.alarms),
        inhibitors=tuple(f"{one.name}: {one.why}" for one in report.inhibitors),
        constraints=tuple(report.constraints),
        restarts={one.id: one.state for one in report.restarts},
        changes=tuple(
            f"{one.at} {one.package} {one.what} {one.before or '-'} → {one.after or '-'} "
            f"{one.outcome}" + (f": {one.why}" if one.why else "")
            for one in report.changes
        ),
        stale=report.trust.stale,
        logs=report.trust.logs,
    )


def _package(one: PackageReport) -> ActualPackage:
    configured = one.configuration
    digest = configured.digest
    return ActualPackage(
        package=parse_purl(one.package),
        state=one.state,
        releases=tuple(
            ActualRelease(
                parse_version(release.version),
                parse_digest(release.digest),
                Level(release.level),
                intact=release.measured is None or release.measured.ok or release.measured.healed,
                changed=tuple(release.measured.changed) if release.measured is not None else (),
            )
            for release in one.releases
        ),
        configuration=None if digest is None else parse_digest(digest),
        configuration_intact=configured.measured is None
        or configured.measured.ok
        or configured.measured.healed,
        local=tuple(configured.local),
        pending=tuple(
            PendingWork(work.what, work.version or "", work.waits_for, work.progress)
            for work in one.pending
        ),
        failed=frozenset(parse_digest(failed) for failed in one.failed),
        healthy=one.healthy,
        constraints=tuple(one.constraints),
    )
