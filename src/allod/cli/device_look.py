"""One device, looked at closely: its chain of reports, and the software that it found itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from allod.cli.device_log import FleetLog
from allod.cli.members import Device, Read
from allod.cli.picture import Picture
from allod.cli.status import constraint_says, device_data, log_of, look
from allod.domain.ids import device_scope, package_name
from allod.domain.overview import DeviceOverview
from allod.domain.reported import Member
from allod.trust.report import ChainHead, Link, SignedReport, follow
from allod.wire.report import Inventory

_SILENCE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Chain:
    """How the reports hang together."""

    count: int
    faults: tuple[str, ...]
    receipts: int = 0  #: changes whose entry and checkpoint are those of the log


@dataclass(frozen=True, slots=True)
class Closely:
    """Everything about one device."""

    device: Device
    overview: DeviceOverview
    chain: Chain
    inventory: Inventory | None

    def data(self, *, inventory: bool) -> dict[str, Any]:
        """For `--json`."""
        record, report = self.device.binding.record, self.device.report
        data = {
            **device_data(self.overview),
            "invite": record.invite,
            "bound": record.at,
            "facts": record.facts if report is None else report.facts,
            "agent": record.agent if report is None else report.agent,
            "uptime": None if report is None else report.uptime,
            "boot": None if report is None else {"id": report.boot.id, "count": report.boot.count},
            "journey": None if report is None else report.journey,
            "chain": {
                "reports": self.chain.count,
                "receipts": self.chain.receipts,
                "faults": list(self.chain.faults),
            },
        }
        if inventory:
            data["inventory"] = self.inventory
        return data


def look_at(picture: Picture, member: Member) -> Closely:
    """Fetch and verify all reports of a device, and every receipt in them."""
    device = next(one for one in picture.members.devices if one.binding.device == member.device)
    read = picture.members.read(device.binding, 0)
    log = log_of(picture)
    found = look(picture, device_scope(member.device), _SILENCE, log)
    return Closely(device, found[0], _chain(read, log), _inventory(read.reports))


def _chain(read: Read, log: FleetLog) -> Chain:
    head = ChainHead()
    older: set[str] = set()
    said = [remark.says for remark in read.remarks]
    receipts = 0
    for signed in read.reports:
        followed = follow(head, signed, older)
        if followed.link is Link.GAP:
            said.append(f"before report {signed.report.sequence} reports are missing")
        elif followed.link is Link.FORKED:
            said.append(f"report {signed.report.sequence} continues another past: two devices?")
        older.add(signed.digest)
        head = followed.head
        wrong = log.remarks(signed.report)
        said += [f"report {signed.report.sequence}: {remark.says}" for remark in wrong]
        receipts += 0 if wrong else log.receipts(signed.report)
    return Chain(len(read.reports), tuple(said), receipts)


def _inventory(reports: Sequence[SignedReport]) -> Inventory | None:
    """The newest inventory; its lists stand in the report in which they last changed."""
    newest = next((r.report.inventory for r in reversed(reports) if r.report.inventory), None)
    if newest is None:
        return None
    for signed in reversed(reports):
        known = signed.report.inventory
        full = known is not None and (known.dpkg is not None or known.pip is not None)
        if known is not None and full and known.digest == newest.digest:
            return known
    return newest


def describe(found: Closely, *, inventory: bool) -> Iterator[str]:
    """The device for people."""
    member, record = found.overview.member, found.device.binding.record
    report = found.device.report
    yield f"{member.shown} ({member.device})"
    yield f"  groups: {', '.join(member.groups) or 'none'}" + (
        " (retired)" if member.retired else ""
    )
    yield f"  bound: {record.at} by the invite {record.invite}, binding {record.epoch}"
    facts = record.facts if report is None else report.facts
    yield f"  facts: {', '.join(f'{name} {value}' for name, value in sorted(facts.items()))}"
    if report is not None:
        yield f"  agent: {report.agent}, up {timedelta(seconds=report.uptime)}, heard {report.at}"
    whole = "whole" if not found.chain.faults else "NOT whole"
    receipts = f", {found.chain.receipts} receipts hold" if found.chain.receipts else ""
    yield f"  reports: {found.chain.count}, {whole}{receipts}"
    yield from (f"  ! {fault}" for fault in found.chain.faults)
    for row in found.overview.rows:
        yield f"  {package_name(row.package)}: {'; '.join(row.actual) or 'unknown'}"
        yield f"    wanted: {'; '.join(row.wanted)} — {row.state}"
        yield from (f"    {why}" for why in row.why)
    for remark in (*found.overview.refusals, *found.overview.alarms):
        yield f"  ! {remark.says}"
    for constraint in found.overview.constraints:
        yield f"  ! {constraint_says(constraint)}"
    if inventory:
        yield from _listed(found.inventory)


def _listed(known: Inventory | None) -> Iterator[str]:
    if known is None:
        yield "  no inventory was reported"
        return
    for kind, packages in (("dpkg", known.dpkg), ("pip", known.pip)):
        yield f"  {kind}: {len(packages or [])} packages"
        yield from (f"    {one.name} {one.version}" for one in packages or [])
    if known.left_out:
        yield f"  ! {known.left_out} packages more are not told"
