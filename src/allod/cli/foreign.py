"""Devices that are only on record: who they are, and what their software is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from allod.domain.desired import StateDocument
from allod.domain.foreign import Control, ForeignDevice
from allod.domain.ids import DeviceId, Scope, sha256
from allod.domain.reported import Member
from allod.errors import Unavailable, Untrusted

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet
    from allod.domain.sbom import Sbom

CONTROLLED: Final = {
    Control.VENDOR: "the vendor controls it",
    Control.OWNER: "it is yours to update, by other means than Allod",
    Control.NOBODY: "nobody updates it any more",
}


def foreign_members(states: Mapping[Scope, StateDocument]) -> tuple[Member, ...]:
    """The devices on record, by name; those that were let go are `retired`."""
    found = [
        Member(
            DeviceId(scope.name),
            record.epoch,
            record.groups or (),
            record.label,
            retired=record.status == "retired",
            foreign=record.foreign,
        )
        for scope, document in states.items()
        if (record := document.device) is not None and record.foreign is not None
    ]
    return tuple(sorted(found, key=lambda member: member.label))


def sbom_of(fleet: LocalFleet, device: ForeignDevice) -> Sbom | None:
    """What its software is made of; None: nobody said.

    Raises:
        Unavailable, Untrusted: as `sbom_bytes`.
        InvalidInput: it can't be read.
    """
    from allod.wire.sbom import decode_sbom

    data = sbom_bytes(fleet, device)
    return None if data is None else decode_sbom(data, what=f"the SBOM of {device.shown}")


def sbom_bytes(fleet: LocalFleet, device: ForeignDevice) -> bytes | None:
    """Its SBOM as it was imported; None: it has none. It is fetched once, and kept.

    Raises:
        Unavailable: `withheld`: the server lacks it, and it is not here.
        Untrusted: `wrong-digest`.
    """
    bill = device.sbom
    if bill is None:
        return None
    data = fleet.kept("blobs", bill.digest)
    if data is None or sha256(data) != bill.digest:
        data = fleet.client.file(f"blobs/{bill.digest}", cap=bill.size)
        if data is None:
            raise Unavailable(
                "withheld", f"cannot see what {device.shown} is made of: the server lacks its SBOM"
            )
        if sha256(data) != bill.digest:
            raise Untrusted(
                "wrong-digest", f"cannot use what the server gave for the SBOM of {device.shown}"
            )
        fleet.save_history("blobs", {bill.digest: data})
    return data


def standing(member: Member) -> str:
    """How it stands, in two words or three."""
    return "retired" if member.retired else "on record"


def describe_foreign(member: Member) -> Iterator[str]:
    """What is on record of one device, for people."""
    device = member.foreign
    if device is None:
        raise RuntimeError(f"{member.shown} is no device on record")
    yield f"{member.shown} ({member.device})"
    yield f"  {device.shown}, {standing(member)}"
    yield f"  groups: {', '.join(member.groups) or 'none'}"
    yield f"  ! {CONTROLLED[device.control]} ({device.constraint})"
    if device.sbom is None:
        yield "  ! nobody said what its software is made of: nothing is known of its flaws"


def foreign_data(member: Member) -> dict[str, Any]:
    """One device on record, for `--json`."""
    device = member.foreign
    if device is None:
        raise RuntimeError(f"{member.shown} is no device on record")
    bill = device.sbom
    return {
        "device": member.device,
        "label": member.label,
        "groups": list(member.groups),
        "retired": member.retired,
        "vendor": device.vendor,
        "model": device.model,
        "serial": device.serial,
        "controlled": device.control.value,
        "sbom": None
        if bill is None
        else {"digest": bill.digest, "size": bill.size, "mediaType": bill.media_type},
        "constraints": [device.constraint],
    }
