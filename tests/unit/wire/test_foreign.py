"""Devices on record: what their documents may say, and that a change of any of it is shown."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from allod.domain import edit, ids
from allod.domain.desired import (
    DeviceRecord,
    PackageEntry,
    Restart,
    Settings,
    Software,
    StateDocument,
)
from allod.domain.difference import differences
from allod.domain.foreign import BillOfMaterials, Control, ForeignDevice, foreign_id
from allod.domain.release import HealthCheck, ProbeKind
from allod.domain.terms import Soak
from allod.errors import InvalidInput
from allod.wire.desired import decode_state, encode_state
from allod.wire.foreign import FOREIGN_SBOM_CAP, ForeignSbom
from allod.wire.sbom import SBOM_TYPES

FLEET = ids.FleetId("f" * 64)
NOW = datetime(2026, 5, 1, tzinfo=UTC)
BILL = BillOfMaterials(ids.sha256(b"x"), 1, SBOM_TYPES[0])
DEVICE = ForeignDevice("Acme", "Imager 7", "4711", Control.VENDOR, BILL)
SCOPE = ids.device_scope(foreign_id(FLEET, "mr-1"))
GROUP = ids.GroupName("radiology")
DOCUMENT = edit.record(edit.empty(FLEET, SCOPE), "mr-1", DEVICE, (GROUP,))


def test_a_record_is_written_and_read() -> None:
    """Also without an SBOM, and when it was let go; the id is the page's own formula."""
    text = f"allod.foreign\0{'f' * 64}\0mr-1"
    assert SCOPE.name == hashlib.sha256(text.encode()).hexdigest()
    bare = edit.record(DOCUMENT, "mr-1", replace(DEVICE, sbom=None, serial=""), ())
    for document in (DOCUMENT, bare, edit.retire(DOCUMENT)):
        assert decode_state(encode_state(document)) == document
    assert ForeignSbom.__annotations__["media_type"].count("+json") == len(SBOM_TYPES)


def recorded(**fields: Any) -> StateDocument:
    """The document with another record."""
    return replace(DOCUMENT, device=replace(DOCUMENT.device or DeviceRecord(1), **fields))


def described(**fields: Any) -> StateDocument:
    """The document with other words about the device."""
    return recorded(foreign=replace(DEVICE, **fields))


@pytest.mark.parametrize(
    "document",
    [
        recorded(label="mr-2"),
        recorded(status="active"),
        recorded(foreign=None),
        recorded(replaces=ids.DeviceId("e" * 64)),
        replace(DOCUMENT, scope=ids.device_scope(ids.DeviceId("e" * 64))),
        replace(DOCUMENT, fleet=ids.FleetId("e" * 64)),
        replace(DOCUMENT, hold="x"),
        replace(DOCUMENT, settings=Settings(health=(HealthCheck(ProbeKind.HTTP, url="http://a/"),))),
        replace(DOCUMENT, packages={"pkg:generic/acme/toaster": PackageEntry(software=Software())}),
        replace(DOCUMENT, restarts=(Restart("r", NOW, NOW),)),
        replace(DOCUMENT, terms=(Soak(60),)),
        described(vendor=""),
        described(model=""),
        described(model=" x"),
        described(serial="\x1b[31m"),
        described(vendor="x" * 101),
        described(sbom=replace(BILL, size=0)),
        described(sbom=replace(BILL, size=FOREIGN_SBOM_CAP + 1)),
    ],
)  # fmt: skip
def test_a_record_that_breaks_a_rule_is_refused(document: StateDocument) -> None:
    """Another id than its name's, an order, a hostile or missing word: no program takes it."""
    with pytest.raises(InvalidInput) as caught:
        decode_state(encode_state(document))
    assert caught.value.code == "bad-record"


def test_the_longest_words_and_the_largest_sbom_are_taken() -> None:
    """What the page allows is allowed."""
    longest = described(
        vendor="x" * 100, model="y" * 100, serial="z" * 100,
        sbom=replace(BILL, size=32 * 1024 * 1024),
    )  # fmt: skip
    assert decode_state(encode_state(longest)) == longest
    assert decode_state(encode_state(described(sbom=replace(BILL, size=1)))) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"vendor": "Bcme"},
        {"model": "Imager 8"},
        {"serial": ""},
        {"control": Control.NOBODY},
        {"sbom": None},
        {"sbom": replace(BILL, digest=ids.sha256(b"y"))},
        {"sbom": replace(BILL, media_type=SBOM_TYPES[1])},
    ],
)
def test_no_change_of_a_record_is_signed_unseen(change: dict[str, Any]) -> None:
    """Whatever differs has a line of its own, both ways."""
    other = described(**change)
    for one, two in ((DOCUMENT, other), (other, DOCUMENT)):
        found = differences({SCOPE: one}, {SCOPE: two})
        assert [entry.what for entry in found] == [
            next(iter(change)).replace("control", "controlled")
        ]
