"""What a host says that it has, beside Allod's packages, as parts that advisories know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote

from allod.domain.sbom import SbomComponent
from allod.durable import make_directory, write_atomic
from allod.errors import AllodError
from allod.wire.codec import Document, decode, encode
from allod.wire.report import HostPackage, Inventory

if TYPE_CHECKING:
    from pathlib import Path

    from allod.cli.members import Device, Members
    from allod.trust.report import SignedReport

OS_FACT: Final = "os"  #: like "debian-12"
_CAP: Final = 16 * 1024 * 1024


class HostFile(Document, frozen=True, kw_only=True):
    """The newest lists of a device that were seen whole; it sends them only when they change."""

    type: Literal["allod.host"] = "allod.host"
    format: Literal[1] = 1
    device: str
    epoch: int
    inventory: Inventory


def whole_inventory(device: Device, members: Members, directory: Path) -> Inventory | None:
    """What a device last said of its host, with the lists, wherever in its reports they stand.

    Args:
        device: which.
        members: the way to its other reports.
        directory: where the lists are kept, so that they are asked for once.

    Returns:
        None if its newest report says nothing of the host, or if no report has the lists any more.
    """
    report = device.report
    newest = None if report is None else report.inventory
    if newest is None:
        return None
    if _whole(newest):
        _keep(directory, device, newest)
        return newest
    kept = _kept(directory, device)
    if kept is not None and kept.digest == newest.digest:
        return kept
    found = lists_of(members.read(device.binding, 0).reports, newest.digest)
    if found is not None:
        _keep(directory, device, found)
    return found


def lists_of(reports: Sequence[SignedReport], digest: str) -> Inventory | None:
    """The lists of a digest, from the newest of one device's verified reports that has them."""
    for signed in reversed(reports):
        known = signed.report.inventory
        if known is not None and known.digest == digest and _whole(known):
            return known
    return None


def _whole(inventory: Inventory) -> bool:
    return inventory.dpkg is not None or inventory.pip is not None


def _path(directory: Path, device: Device) -> Path:
    return directory / f"{device.binding.device}.json"


def _keep(directory: Path, device: Device, inventory: Inventory) -> None:
    epoch = device.binding.record.epoch
    file = HostFile(device=device.binding.device, epoch=epoch, inventory=inventory)
    data = encode(file)
    path = _path(directory, device)
    if not path.exists() or path.read_bytes() != data:
        make_directory(directory)
        write_atomic(path, data)


def _kept(directory: Path, device: Device) -> Inventory | None:
    """What was kept; a file that is damaged is asked for again."""
    try:
        data = _path(directory, device).read_bytes()
        file = decode(data, HostFile, cap=_CAP, what="a host's inventory")
    except (OSError, AllodError):
        return None
    at = (file.device, file.epoch)
    return file.inventory if at == (device.binding.device, device.binding.record.epoch) else None


# -- as parts -------------------------------------------------------------------------------------


def parts_of(inventory: Inventory, facts: Mapping[str, str]) -> Iterator[SbomComponent]:
    """The host's packages as an SBOM would name them.

    A package of a distribution whose release is not known keeps that: it is unmatchable.
    """
    distribution = facts.get(OS_FACT, "")
    yield from _debs(inventory.dpkg or (), distribution)
    for one in inventory.pip or ():
        if one.manager == "dpkg":
            continue  # it stands in dpkg's list, under the name by which its distribution mends it
        purl = f"pkg:pypi/{quote(one.name)}@{quote(one.version, safe='')}"
        yield SbomComponent(one.name, one.version, purl)


def _debs(packages: Iterable[HostPackage], distribution: str) -> Iterator[SbomComponent]:
    vendor = distribution.partition("-")[0] or "debian"
    for one in packages:
        said = {"arch": one.architecture, "distro": distribution, "upstream": _source(one)}
        query = "&".join(f"{key}={quote(value, safe=':')}" for key, value in said.items() if value)
        purl = f"pkg:deb/{quote(vendor)}/{quote(one.name)}@{quote(one.version, safe=':')}"
        yield SbomComponent(one.name, one.version, f"{purl}?{query}" if query else purl)


def _source(one: HostPackage) -> str:
    """The source package, where it is another: name, and version if that is another too."""
    name, version = one.source or one.name, one.source_version or one.version
    if (name, version) == (one.name, one.version):
        return ""
    return name if version == one.version else f"{name}@{version}"
