"""What is on record of a device that others control (docs/spec/desired-state.md)."""

from __future__ import annotations

from typing import Final, Literal

from allod.domain import desired
from allod.domain.foreign import FOREIGN, BillOfMaterials, Control, ForeignDevice, foreign_id
from allod.domain.ids import parse_digest
from allod.errors import InvalidInput
from allod.wire.codec import Document, convert

#: A bill of materials is uploaded with the change that names it.
FOREIGN_SBOM_CAP: Final = 32 * 1024 * 1024
_TEXT: Final = 100


class ForeignSbom(Document, kw_only=True, frozen=True):
    """Its bill of materials, among the fleet's blobs."""

    digest: str
    size: int
    media_type: Literal["application/vnd.cyclonedx+json", "application/spdx+json"]


class ForeignRecord(Document, kw_only=True, frozen=True):
    """The device, as its owner knows it."""

    vendor: str
    model: str
    serial: str = ""
    controlled: Literal["vendor", "owner", "nobody"] = "vendor"
    sbom: ForeignSbom | None = None


def foreign_from_wire(wire: ForeignRecord) -> ForeignDevice:
    """As a domain value.

    Raises:
        InvalidInput: `bad-record`, `bad-digest`.
    """
    for name, text in (("vendor", wire.vendor), ("model", wire.model), ("serial", wire.serial)):
        if not text.isprintable() or len(text) > _TEXT or text != text.strip():
            raise _bad(f"its {name} is at most {_TEXT} printable characters, without outer blanks")
    if not wire.vendor or not wire.model:
        raise _bad("it has a vendor and a model")
    return ForeignDevice(
        wire.vendor,
        wire.model,
        wire.serial,
        Control(wire.controlled),
        None if wire.sbom is None else _sbom(wire.sbom),
    )


def _sbom(wire: ForeignSbom) -> BillOfMaterials:
    if not 0 < wire.size <= FOREIGN_SBOM_CAP:
        raise _bad(f"its SBOM has 1 to {FOREIGN_SBOM_CAP} bytes")
    return BillOfMaterials(parse_digest(wire.digest), wire.size, wire.media_type)


def foreign_to_wire(device: ForeignDevice) -> ForeignRecord:
    """The inverse of `foreign_from_wire`."""
    return ForeignRecord(
        vendor=device.vendor,
        model=device.model,
        serial=device.serial,
        controlled=device.control.value,
        sbom=None if device.sbom is None else _sbom_to_wire(device.sbom),
    )


def _sbom_to_wire(bill: BillOfMaterials) -> ForeignSbom:
    value = {"digest": bill.digest, "size": bill.size, "mediaType": bill.media_type}
    return convert(value, ForeignSbom, what="a device's SBOM")


def check_foreign(document: desired.StateDocument) -> None:
    """A device is on record under the id of its name, and nothing is ordered there.

    Raises:
        InvalidInput: `bad-record`.
    """
    record = document.device
    foreign = None if record is None else record.foreign
    if record is None or foreign is None:
        if record is not None and record.status == FOREIGN:
            raise _bad("it says what is on record of it")
        return
    if record.status not in {FOREIGN, "retired"} or record.replaces is not None:
        raise _bad("it is either on record or retired, and takes nobody's place")
    if document.scope.name != foreign_id(document.fleet, record.label):
        raise _bad("its id is that of its name, in this fleet")
    ordered = document.packages or document.unreadable or document.restarts or document.terms
    if ordered or document.hold is not None or document.settings != desired.Settings():
        raise _bad("nothing is ordered there: no agent would hear it")


def _bad(rule: str) -> InvalidInput:
    return InvalidInput("bad-record", f"cannot read a device that is on record: {rule}")
