"""Documents of desired state, `state/<scope>.json` (docs/spec/desired-state.md).

An entry with an unknown field or a bad value refuses that entry alone: it lands in
`StateDocument.unreadable`, and what the device has of that package stays as it is.
"""

from __future__ import annotations

import itertools
from typing import Any, Final, Literal

import msgspec

from allod.domain import desired, ids
from allod.domain.foreign import FOREIGN
from allod.errors import AllodError, InvalidInput
from allod.wire.codec import Document, convert, encode, instant, parse_instant, parse_strict
from allod.wire.entry import (
    ChangeNote,
    PackageEntry,
    change_from_wire,
    change_to_wire,
    entry_from_wire,
    entry_to_wire,
    without_defaults,
)
from allod.wire.foreign import ForeignRecord, check_foreign, foreign_from_wire, foreign_to_wire
from allod.wire.settings import Settings, settings_from_wire, settings_to_wire
from allod.wire.terms import TermWire, term_to_wire, terms_from_wire

STATE_CAP: Final = 4 * 1024 * 1024
_Status = Literal["active", "retired", "foreign"]


class Restart(Document, kw_only=True, frozen=True):
    """A scheduled restart."""

    id: str
    at: str
    latest: str


class DeviceRecord(Document, kw_only=True, frozen=True):
    """What only a device's own document says."""

    epoch: int
    status: _Status = "active"
    groups: list[str] | None = None
    label: str = ""
    replaces: str | None = None
    foreign: ForeignRecord | None = None


class StateDocument(Document, kw_only=True, frozen=True):
    """The outside; entries are read one by one."""

    type: Literal["allod.state"] = "allod.state"
    format: Literal[1] = 1
    fleet: str
    scope: str
    packages: dict[str, Any] = {}
    settings: Settings = Settings()
    restarts: list[Restart] = []
    hold: str | None = None
    device: DeviceRecord | None = None
    terms: list[TermWire] = []
    delegation: str | None = None  #: whose it is; null: the owner's
    change: ChangeNote | None = None


def decode_state(data: bytes) -> desired.StateDocument:
    """Read a document of desired state.

    Raises:
        InvalidInput: the document as a whole can't be read; entries that can't be read alone
            are in `unreadable`.
    """
    what = "the desired state"
    wire = convert(parse_strict(data, cap=STATE_CAP, what=what), StateDocument, what=what)
    packages: dict[str, desired.PackageEntry] = {}
    unreadable: dict[str, str] = {}
    patterns: list[str] = []
    for key, value in wire.packages.items():
        try:
            packages[key] = entry_from_wire(
                key, convert(value, PackageEntry, what=f"the entry {key[:80]!r}")
            )
            if ids.is_pattern(key):
                patterns.append(key)
        except AllodError as error:
            unreadable[key] = error.message
    patterns.sort()
    for first, second in itertools.pairwise(patterns):
        if second.startswith(first[:-1]):
            raise InvalidInput(
                "overlapping-patterns", f"cannot read {what}: {first} and {second} overlap"
            )
    scope = ids.parse_scope(wire.scope)
    owners = wire.delegation is None
    if (wire.device is not None) != (owners and scope.kind == "devices"):
        raise InvalidInput(
            "bad-document", f"cannot read {what}: 'device' stands in documents of devices only"
        )
    document = desired.StateDocument(
        fleet=ids.parse_fleet(wire.fleet),
        scope=scope,
        packages=packages,
        unreadable=unreadable,
        settings=settings_from_wire(wire.settings),
        restarts=tuple(
            desired.Restart(
                ids.parse_name(entry.id, "a restart's id"),
                parse_instant(entry.at),
                parse_instant(entry.latest),
            )
            for entry in wire.restarts
        ),
        hold=wire.hold,
        device=None if wire.device is None else _device(wire.device),
        terms=terms_from_wire(wire.terms, strict=True),
        author=_author(wire),
        change=None if wire.change is None else change_from_wire(wire.change),
    )
    check_foreign(document)
    return document


def _author(wire: StateDocument) -> str:
    """Who signs: what only the owner can say stands in no delegate's document."""
    if wire.delegation is None:
        return desired.OWNER
    if wire.settings != Settings() or wire.terms or wire.hold is not None:
        raise InvalidInput(
            "owners-word", "cannot read a delegate's document: only the owner sets what it sets"
        )
    return ids.parse_name(wire.delegation, "a delegation's id")


def _device(wire: DeviceRecord) -> desired.DeviceRecord:
    return desired.DeviceRecord(
        epoch=wire.epoch,
        status=wire.status,
        groups=None
        if wire.groups is None
        else tuple(ids.parse_group(name) for name in wire.groups),
        label=wire.label,
        replaces=None if wire.replaces is None else ids.parse_device(wire.replaces),
        foreign=None if wire.foreign is None else foreign_from_wire(wire.foreign),
    )


def encode_state(document: desired.StateDocument) -> bytes:
    """Write a document of desired state; what could not be read cannot be written again.

    Raises:
        InvalidInput: `unreadable-entries`, so that nothing is lost by an older program.
    """
    if document.unreadable:
        names = ", ".join(sorted(document.unreadable))
        raise InvalidInput(
            "unreadable-entries",
            f"cannot change {document.scope}: this program does not understand its entries {names}; "
            "use the version of allod that wrote them",
        )
    wire = StateDocument(
        fleet=document.fleet,
        scope=str(document.scope),
        packages={key: entry_to_wire(entry) for key, entry in document.packages.items()},
        settings=settings_to_wire(document.settings),
        restarts=[
            Restart(id=entry.id, at=instant(entry.at), latest=instant(entry.latest))
            for entry in document.restarts
        ],
        hold=document.hold,
        device=None if document.device is None else _device_to_wire(document.device),
        terms=[term_to_wire(term) for term in document.terms],
        delegation=None if document.author == desired.OWNER else document.author,
        change=None if document.change is None else change_to_wire(document.change),
    )
    return encode(without_defaults(msgspec.to_builtins(wire), keep={"type", "format"}))


def _device_to_wire(record: desired.DeviceRecord) -> DeviceRecord:
    names: dict[str, _Status] = {"retired": "retired", FOREIGN: "foreign"}
    return DeviceRecord(
        epoch=record.epoch,
        status=names.get(record.status, "active"),
        groups=None if record.groups is None else list(record.groups),
        label=record.label,
        replaces=record.replaces,
        foreign=None if record.foreign is None else foreign_to_wire(record.foreign),
    )
