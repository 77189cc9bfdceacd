"""Devices that are only on record: others control them, and no agent of ours runs there.

A scanner, a printer, a controller: the owner says what it is and, where there is one, gives the
bill of materials of its software, so that reported vulnerabilities are looked up for it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from allod.domain.ids import DeviceId, Digest, FleetId, sha256

FOREIGN = "foreign"  #: the status of a device that is only on record


class Control(StrEnum):
    """Who decides what runs on it."""

    VENDOR = "vendor"
    OWNER = "owner"  #: by other means than Allod
    NOBODY = "nobody"  #: no update comes any more


@dataclass(frozen=True, slots=True)
class BillOfMaterials:
    """Which document says what is in it; its bytes lie among the fleet's blobs."""

    digest: Digest
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class ForeignDevice:
    """What is on record of it."""

    vendor: str
    model: str
    serial: str = ""
    control: Control = Control.VENDOR
    sbom: BillOfMaterials | None = None  #: None: nothing is known of its software

    @property
    def constraint(self) -> str:
        """What limits the owner: the name of it, as devices report theirs."""
        return f"controlled-by-{self.control}"

    @property
    def shown(self) -> str:
        """Vendor, model, and serial number."""
        return f"{self.vendor} {self.model}" + (f" ({self.serial})" if self.serial else "")


def foreign_id(fleet: FleetId, name: str) -> DeviceId:
    """The id of a device without a key: of a fleet, and by its name (docs/spec/desired-state.md)."""
    return DeviceId(
        sha256(b"\0".join((b"allod.foreign", fleet.encode(), name.encode()))).removeprefix(
            "sha256:"
        )
    )
