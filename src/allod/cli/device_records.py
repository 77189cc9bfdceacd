"""What is said of devices that others control: in options, in a table, in a directory of SBOMs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from allod.cli.phrases import choices
from allod.domain import edit
from allod.domain.desired import StateDocument
from allod.domain.edit import empty
from allod.domain.foreign import BillOfMaterials, Control, ForeignDevice, foreign_id
from allod.domain.ids import FleetId, Scope, device_scope, parse_group, sha256
from allod.domain.sbom import Sbom
from allod.errors import AllodError, Conflict, InvalidInput
from allod.wire.desired import decode_state, encode_state
from allod.wire.foreign import FOREIGN_SBOM_CAP

COLUMNS: Final = ("name", "vendor", "model", "serial", "controlled", "groups", "sbom")
TABLE_CAP: Final = 8 * 1024 * 1024
MOST: Final = 10_000  #: devices of one import
UPLOAD_ROOM: Final = 40 * 1024 * 1024  #: bytes of SBOMs that one change can carry


@dataclass(frozen=True, slots=True)
class Row:
    """What was said of one device; empty: what is on record stays."""

    name: str
    vendor: str = ""
    model: str = ""
    serial: str = ""
    controlled: str = ""
    groups: tuple[str, ...] = ()
    sbom: Path | None = None
    place: str = ""  #: where it stands, for people


@dataclass(frozen=True, slots=True)
class Faulty:
    """What could not be taken."""

    place: str
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Bill:
    """An SBOM that was read."""

    data: bytes
    media_type: str
    sbom: Sbom

    @property
    def named(self) -> BillOfMaterials:
        """As a record names it."""
        return BillOfMaterials(sha256(self.data), len(self.data), self.media_type)


@dataclass
class Records:
    """Rows with their SBOMs, each read once; one that is faulty stops no other.

    Args:
        rows: as they were said.
    """

    rows: tuple[Row, ...]
    faulty: list[Faulty] = field(default_factory=list)
    bills: dict[Path, Bill] = field(default_factory=dict)

    def read(self) -> Records:
        """Read all SBOMs; rows that name one that cannot be read become faulty."""
        kept, seen, room = [], set[str](), UPLOAD_ROOM
        for row in self.rows:
            try:
                if row.name in seen:
                    raise Conflict("exists", f"cannot take {row.name!r} twice")
                if row.sbom is not None and row.sbom not in self.bills:
                    bill = read_bill(row.sbom)
                    room -= len(bill.data)
                    if room < 0:
                        raise InvalidInput(
                            "too-large", "cannot take so many SBOMs in one change: import fewer"
                        )
                    self.bills[row.sbom] = bill
            except AllodError as error:
                self.refuse(row, error)
                continue
            seen.add(row.name)
            kept.append(row)
        return replace(self, rows=tuple(kept))

    def refuse(self, row: Row, error: AllodError) -> None:
        """Leave one out, and keep why."""
        self.faulty.append(Faulty(row.place or row.name, error.code, error.message))

    def document(
        self, fleet: FleetId, row: Row, known: Mapping[Scope, StateDocument]
    ) -> StateDocument:
        """The document of one device with what its row says.

        Raises:
            InvalidInput: `incomplete-record`, `bad-label`, `bad-group`, `bad-record`.
        """
        scope = device_scope(foreign_id(fleet, row.name))
        before = known.get(scope, empty(fleet, scope))
        record = before.device
        old = None if record is None else record.foreign
        lacking = [name for name in ("vendor", "model") if old is None and not getattr(row, name)]
        if lacking or not row.name:
            raise InvalidInput(
                "incomplete-record",
                f"cannot put {row.name[:80] or 'it'} on record: say its "
                + " and ".join(lacking or ["name"]),
            )
        first = old or ForeignDevice(row.vendor, row.model)
        device = ForeignDevice(
            row.vendor or first.vendor,
            row.model or first.model,
            row.serial or first.serial,
            _control(row.controlled) if row.controlled else first.control,
            first.sbom if row.sbom is None else self.bills[row.sbom].named,
        )
        groups = tuple(parse_group(name) for name in row.groups)
        if not groups and record is not None:
            groups = record.groups or ()
        made = edit.record(before, row.name, device, groups)
        decode_state(encode_state(made))  # what no program could read is not signed
        return made


def _control(text: str) -> Control:
    try:
        return Control(text)
    except ValueError as error:
        raise InvalidInput(
            "bad-record",
            f"cannot take {text[:80]!r}: it is controlled by one of {choices(list(Control))}",
        ) from error


def read_bill(path: Path) -> Bill:
    """Read an SBOM. Raises InvalidInput with the reason."""
    from allod.wire.sbom import CYCLONEDX_JSON, SPDX_JSON, decode_sbom

    data = _read(path, FOREIGN_SBOM_CAP)
    sbom = decode_sbom(data, what=path.name)
    return Bill(data, CYCLONEDX_JSON if sbom.format.startswith("Cyclo") else SPDX_JSON, sbom)


def _read(path: Path, cap: int) -> bytes:
    try:
        if not path.is_file():
            raise InvalidInput("no-file", f"cannot read {path}: it is no file")
        with path.open("rb") as opened:
            data = opened.read(cap + 1)
    except OSError as error:
        raise InvalidInput("no-file", f"cannot read {path}: {error.strerror}") from error
    if len(data) > cap:
        raise InvalidInput("too-large", f"cannot read {path}: at most {cap} bytes are allowed")
    return data


def rows_of_directory(directory: Path, like: Row) -> Iterator[Row]:
    """A device a file, called like the file: `mri-1.cdx.json` is of `mri-1`."""
    for path in sorted(directory.glob("*.json")):
        name = path.name.partition(".")[0]
        yield replace(like, name=name, sbom=path, place=path.name)


def rows_of_table(path: Path, like: Row) -> Iterator[Row]:
    """The rows of a CSV file with a header; options fill cells that are empty.

    Raises:
        InvalidInput: `bad-table`, `no-file`, `too-large`.
    """
    raw = _read(path, TABLE_CAP)
    try:
        text = raw.decode("utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = [name.strip().lower() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        unknown = sorted(set(header) - set(COLUMNS))
        if unknown or "name" not in header or len(set(header)) != len(header):
            raise InvalidInput(
                "bad-table",
                f"cannot read {path.name}: its first line names columns out of "
                f"{', '.join(COLUMNS)}, each once, and 'name' is one of them"
                + (f"; there is no {choices(unknown)}" if unknown else ""),
            )
        for cells in reader:
            yield _row(path, reader.line_num, cells, like)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput("bad-table", f"cannot read {path.name}: {error}") from error


def _row(path: Path, line: int, cells: Mapping[str | None, object], like: Row) -> Row:
    if None in cells:
        raise InvalidInput("bad-table", f"cannot read {path.name}: line {line} has too many cells")
    said = {name: str(value or "").strip() for name, value in cells.items() if name is not None}
    sbom = said.get("sbom", "")
    groups = tuple(said.get("groups", "").replace(";", " ").replace(",", " ").split())
    return Row(
        said["name"],
        said.get("vendor") or like.vendor,
        said.get("model") or like.model,
        said.get("serial") or like.serial,
        said.get("controlled") or like.controlled,
        groups or like.groups,
        path.parent / sbom if sbom else like.sbom,
        f"{path.name}, line {line}",
    )
