"""Devices that are only on record: what they are made of, by the SBOM that the owner imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allod.cli.foreign import sbom_of
from allod.cli.vulnerabilities.files import ware_of_sbom
from allod.cli.vulnerabilities.ware import Kind, Ware
from allod.errors import AllodError

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet
    from allod.domain.foreign import ForeignDevice

_NOTHING = "nobody said what its software is made of"


def foreign_ware(fleet: LocalFleet, device: ForeignDevice, name: str) -> Ware:
    """A device with its parts; what cannot be known is said, and nothing raised."""
    unseen = (("no-sbom", _NOTHING),)
    try:
        sbom = sbom_of(fleet, device)
    except AllodError as error:
        sbom, unseen = None, ((error.code, error.message),)
    if sbom is None or device.sbom is None:
        return Ware(f"foreign {name}", Kind.FOREIGN, name, unseen=unseen, control=device.control)
    return ware_of_sbom(
        device.shown, sbom, device.sbom.digest, kind=Kind.FOREIGN, control=device.control
    )
