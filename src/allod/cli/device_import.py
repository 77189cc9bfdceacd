"""`allod device import`: devices that others control go on record, with what they are made of."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from allod.cli.device_records import MOST, Records, Row, rows_of_directory, rows_of_table
from allod.cli.foreign import CONTROLLED
from allod.cli.options import OPTIONS, Options
from allod.cli.phrases import choices
from allod.cli.picture import Picture
from allod.cli.publish import INTENT, Change, Intent, publish, say
from allod.cli.vulnerabilities.counting import flaws_say
from allod.domain.desired import StateDocument
from allod.domain.ids import Digest, Scope
from allod.errors import AllodError, Conflict, InvalidInput

WEIGHED = 20  #: devices of one import whose flaws the preview counts


def import_(
    *,
    name: str = "",
    vendor: str = "",
    model: str = "",
    serial: str = "",
    controlled: Literal["vendor", "owner", "nobody"] | None = None,
    group: Annotated[tuple[str, ...], Parameter(name=["--group", "-g"])] = (),
    sbom: Path | None = None,
    table: Path | None = None,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Put devices on record that others control, with what their software is made of.

    No agent of yours runs there, and nothing changes on them; what their SBOMs name is looked up
    in advisories like everything else.

    One device with --name, or many: --sbom DIRECTORY (one file a device, called like it), or --table
    FILE, a CSV file with the columns name, vendor, model, serial, controlled, groups, sbom. A device
    that is on record already is corrected; what is not said stays.

    Args:
        name: What the device is called.
        vendor: Who makes it.
        model: What it is.
        serial: Its serial number.
        controlled: Who decides what runs on it; its vendor unless given.
        group: The groups that it is in, so that they can be asked about; may be given several times.
        sbom: Its bill of materials (CycloneDX or SPDX 2.3, JSON), or a directory of them.
        table: A CSV file of devices; its SBOM paths are relative to it.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    intent.owners_alone("put devices on record")
    like = Row(name, vendor, model, serial, controlled or "", group, sbom)
    records = Records(tuple(islice(_rows(like, table), MOST + 1)))
    if len(records.rows) > MOST:
        raise InvalidInput("too-large", f"cannot take more than {MOST} devices in one change")
    records = records.read()
    told = list(records.faulty)

    def plan(picture: Picture) -> Change:
        records.faulty[:] = told  # it may be made again on a newer base
        return _change(picture, records)

    done = publish(options, intent, plan) if records.rows else None
    if done is not None:
        faulty = [{"place": f.place, "code": f.code, "why": f.why} for f in records.faulty]
        say(options, done, refused=faulty)
    if records.faulty:
        for one in records.faulty:
            options.output.say(f"! {one.place}: {one.why}")
        raise InvalidInput(
            "partly-refused",
            f"cannot put {len(records.faulty)} devices on record: "
            + choices([one.place for one in records.faulty]),
        )


def _rows(like: Row, table: Path | None) -> Iterator[Row]:
    several = table is not None or (like.sbom is not None and like.sbom.is_dir())
    if several == bool(like.name):
        raise InvalidInput(
            "bad-arguments",
            "cannot tell which devices are meant: give --name for one, or --table FILE or "
            "--sbom DIRECTORY for many",
        )
    if table is not None:
        if like.sbom is not None and like.sbom.is_dir():
            raise InvalidInput(
                "bad-arguments", "cannot take a table and a directory: the table names the SBOMs"
            )
        yield from rows_of_table(table, like)
    elif like.sbom is not None and several:
        yield from rows_of_directory(like.sbom, like)
    else:
        yield like


def _change(picture: Picture, records: Records) -> Change:
    states: dict[Scope, StateDocument] = {}
    blobs: dict[Digest, bytes] = {}
    words: list[str] = []
    remarks: list[str] = []
    labels = {member.label for member in picture.devices if member.label}
    for row in records.rows:
        try:
            if row.name in labels:
                raise Conflict("exists", f"cannot record {row.name!r}: a device is called so")
            document = records.document(picture.base.fleet_id, row, picture.base.states)
        except AllodError as error:
            records.refuse(row, error)
            continue
        if document == picture.base.states.get(document.scope):
            continue  # it is as it is said
        states[document.scope] = document
        record = document.device
        foreign = None if record is None else record.foreign
        if foreign is None:
            raise RuntimeError("what was just recorded is on record")
        words.append(f"{row.name}: {foreign.shown}; {CONTROLLED[foreign.control]}.")
        if row.sbom is not None:
            bill = records.bills[row.sbom]
            blobs[bill.named.digest] = bill.data
            count = len(bill.sbom.components)
            parts = "1 part" if count == 1 else f"{count} parts"
            words[-1] += f" Its SBOM ({bill.sbom.format}) names {parts}."
            if len(records.rows) <= WEIGHED and (flaws := flaws_say(bill.sbom)):
                remarks.append(f"· {row.name}: {flaws}")
            remarks += [f"! {row.name}, SBOM: {fault}" for fault in bill.sbom.faults[:3]]
        elif foreign.sbom is None:
            remarks.append(f"! {row.name} has no SBOM: nothing is known of its software.")
    return Change(states, blobs=blobs, words=tuple(words), remarks=tuple(remarks))
