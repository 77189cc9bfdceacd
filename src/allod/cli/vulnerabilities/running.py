"""What runs on devices: by their verified reports, the signed SBOMs of releases, and imports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from allod.cli.vulnerabilities.bills import Bills
from allod.cli.vulnerabilities.foreign import foreign_ware
from allod.cli.vulnerabilities.hosts import OS_FACT, parts_of, whole_inventory
from allod.cli.vulnerabilities.payloads import Payloads
from allod.cli.vulnerabilities.ware import (
    Blind,
    Kind,
    Place,
    Release,
    Running,
    Ware,
    gathered,
)
from allod.domain.ids import Scope, parse_provider, sha256
from allod.errors import AllodError
from allod.wire.codec import encode

if TYPE_CHECKING:
    from pathlib import Path

    from allod.cli.members import Device
    from allod.cli.picture import Picture
    from allod.domain.ids import Purl
    from allod.domain.reported import ActualRelease, Member

_ROOM: Final = "flaws"  #: in the fleet's directory


@dataclass
class Fleet:
    """What runs in a fleet, device by device.

    Args:
        picture: the fleet, verified.
        fetch: whether payloads are fetched of releases that no signed SBOM lies beside.
    """

    picture: Picture
    fetch: bool = True
    _hosts: dict[str, Ware] = field(default_factory=dict)  #: what hosts of equal software share

    @cached_property
    def bills(self) -> Bills:
        """The SBOMs of its releases."""
        catalog = self.picture.catalog
        make = Payloads(catalog).list_of if self.fetch else None
        return Bills(catalog, self._room / "bills", make)

    @property
    def _room(self) -> Path:
        return self.picture.fleet.directory / _ROOM

    def running(self, scope: Scope | None = None) -> Running:
        """What runs on all devices, or on those that a scope names; retired ones are let go."""
        found: list[tuple[Ware, Place | None]] = []
        blind: list[Blind] = []
        seen: set[str] = set()
        for device in self.picture.members.devices:
            member = device.member
            if member.retired or not _named(scope, member.scopes):
                continue
            seen.add(member.device)
            place = Place(member.device, member.shown)
            blind += _doubts(member)
            found += ((ware, place) for ware in self._of(device))
        for ware, place in self._foreign(scope):
            seen.add(place.device)
            found.append((ware, place))
        if scope is None:
            gone = self.picture.members.vanished
            blind += (Blind(one.subject[:12], one.code, one.says, one.subject) for one in gone)
        return gathered(found, blind, len(seen))

    def _foreign(self, scope: Scope | None) -> Iterator[tuple[Ware, Place]]:
        """Devices that are only on record, with the SBOM that the owner imported for each."""
        for member in self.picture.foreign:
            if member.foreign is None or member.retired or not _named(scope, member.scopes):
                continue
            ware = foreign_ware(self.picture.fleet, member.foreign, member.shown)
            yield ware, Place(member.device, member.shown)

    def _of(self, device: Device) -> Iterator[Ware]:
        actual = device.member.actual
        for package, has in () if actual is None else actual.packages.items():
            if has.active is not None:
                yield self.release_of(package, has.active, device)
        host = self._host(device)
        if host is not None:
            yield host

    def release_of(self, package: Purl, has: ActualRelease, device: Device) -> Ware:
        """What runs of a package, with the parts that its provider lists."""
        report = device.report
        said = next(
            one
            for mine in ([] if report is None else report.packages)
            if mine.package == package
            for one in mine.releases
            if one.digest == has.digest
        )
        release = Release(parse_provider(said.provider), package, has.version, has.digest)
        return self.bills.ware(release)

    def _host(self, device: Device) -> Ware | None:
        report = device.report
        if report is None or report.inventory is None:
            return None
        name = f"the host of {device.member.shown}"
        unread = Ware(
            f"{device.member.device} {report.inventory.digest}",
            Kind.HOST,
            name,
            unseen=(("no-inventory", "no report that is still kept lists its software"),),
        )
        try:
            found = whole_inventory(device, self.picture.members, self._room / "hosts")
        except AllodError as error:
            return Ware(unread.key, Kind.HOST, name, unseen=((error.code, error.message),))
        if found is None:
            return unread
        distribution = report.facts.get(OS_FACT, "")
        lists = encode([found.dpkg or [], found.pip or [], found.left_out, distribution])
        key = f"host {sha256(lists)}"
        if key not in self._hosts:
            left = (("left-out", f"{found.left_out} packages had no room in its report"),)
            self._hosts[key] = Ware(
                key,
                Kind.HOST,
                "the host",
                tuple(parts_of(found, report.facts)),
                distribution,
                listed_by="the device",
                unseen=left if found.left_out else (),
            )
        return self._hosts[key]


def _named(scope: Scope | None, scopes: Sequence[Scope]) -> bool:
    return scope is None or scope in scopes


def _doubts(member: Member) -> Iterator[Blind]:
    """Why what a device said last may not be what it runs."""
    if member.actual is None:
        yield Blind(member.shown, "no-report", "it has not reported yet", member.device)
    for says in member.doubts:
        yield Blind(member.shown, "in-doubt", says, member.device)
