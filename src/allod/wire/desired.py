"""Documents of desired state, `state/<scope>.json` (docs/spec/desired-state.md).

An entry with an unknown field or a bad value refuses that entry alone: it lands in
`StateDocument.unreadable`, and what the device has of that package stays as it is.
"""

from __future__ import annotations

import itertools
from typing import Any, Final, Literal

import msgspec

from allod.domain import desired, ids
from allod.domain.access import parse_access
from allod.domain.desired import Level, When
from allod.errors import AllodError, InvalidInput
from allod.wire.codec import Document, convert, encode, instant, parse_instant, parse_strict
from allod.wire.health import HealthWire, health_from_wire, health_to_wire
from allod.wire.settings import Settings, settings_from_wire, settings_to_wire

STATE_CAP: Final = 4 * 1024 * 1024


class ChangeNote(Document, kw_only=True, frozen=True):
    """A change's number, time, author and reason."""

    number: int
    id: str
    at: str
    by: str = ""
    message: str = ""
    ticket: str = ""


class ReleaseOrder(Document, kw_only=True, frozen=True):
    """One release of a package's list."""

    provider: str
    version: str
    digest: str
    level: Level
    when: When = When.NOW


class Software(Document, kw_only=True, frozen=True):
    """Who manages the software; the list is read only if it is the owner."""

    manager: str = desired.OWNER
    releases: list[ReleaseOrder] = []


class Configuration(Document, kw_only=True, frozen=True):
    """Who manages the configuration, and the document that is to hold."""

    manager: str = desired.OWNER
    digest: str | None = None
    size: int = 0
    media_type: str = "application/json"
    when: When = When.NOW


class Accepts(Document, kw_only=True, frozen=True):
    """What the owner accepts by name."""

    access: list[str] = []
    constraints: list[str] = []
    one_way: list[str] = []


class PackageEntry(Document, kw_only=True, frozen=True):
    """One package, or a purl pattern."""

    software: Software | None = None
    configuration: Configuration | None = None
    together: list[str] = []
    health: list[HealthWire] = []
    accepts: Accepts = Accepts()
    overrides: list[str] = []
    secrets: list[str] = []
    change: ChangeNote | None = None


class Restart(Document, kw_only=True, frozen=True):
    """A scheduled restart."""

    id: str
    at: str
    latest: str


class DeviceRecord(Document, kw_only=True, frozen=True):
    """What only a device's own document says."""

    epoch: int
    status: Literal["active", "retired"] = "active"
    groups: list[str] | None = None
    label: str = ""
    replaces: str | None = None


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
            packages[key] = _entry(
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
    if (wire.device is None) == (scope.kind == "devices"):
        raise InvalidInput(
            "bad-document", f"cannot read {what}: 'device' stands in documents of devices only"
        )
    return desired.StateDocument(
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
        change=None if wire.change is None else change_from_wire(wire.change),
    )


def change_from_wire(wire: ChangeNote) -> desired.ChangeNote:
    """A change's note as a domain value."""
    return desired.ChangeNote(
        wire.number, wire.id, parse_instant(wire.at), wire.by, wire.message, wire.ticket
    )


def change_to_wire(note: desired.ChangeNote) -> ChangeNote:
    """The inverse of `change_from_wire`."""
    return ChangeNote(
        number=note.number,
        id=note.id,
        at=instant(note.at),
        by=note.by,
        message=note.message,
        ticket=note.ticket,
    )


def _device(wire: DeviceRecord) -> desired.DeviceRecord:
    return desired.DeviceRecord(
        epoch=wire.epoch,
        status=wire.status,
        groups=None
        if wire.groups is None
        else tuple(ids.parse_group(name) for name in wire.groups),
        label=wire.label,
        replaces=None if wire.replaces is None else ids.parse_device(wire.replaces),
    )


def _manager(value: str) -> str:
    return value if value == desired.OWNER else ids.parse_name(value, "a delegation's id")


def _entry(key: str, wire: PackageEntry) -> desired.PackageEntry:
    pattern = ids.is_pattern(key)
    if not pattern:
        ids.parse_purl(key)
    software = None
    if wire.software is not None:
        orders = tuple(
            desired.ReleaseOrder(
                ids.parse_provider(order.provider),
                ids.parse_version(order.version),
                ids.parse_digest(order.digest),
                order.level,
                order.when,
            )
            for order in wire.software.releases
        )
        software = desired.Software(_manager(wire.software.manager), orders)
        if sum(order.level is Level.ACTIVE for order in orders) > 1:
            raise InvalidInput("two-active", f"cannot have two active releases of {key}")
        if len({order.digest for order in orders}) != len(orders):
            raise InvalidInput("bad-document", f"cannot name one release of {key} twice")
        if orders and (pattern or software.manager != desired.OWNER):
            raise InvalidInput(
                "bad-document",
                f"cannot list releases for {key}: only the owner does, by exact name",
            )
    configuration = None
    if wire.configuration is not None:
        configuration = desired.ConfigurationOrder(
            _manager(wire.configuration.manager),
            None
            if wire.configuration.digest is None
            else ids.parse_digest(wire.configuration.digest),
            wire.configuration.size,
            wire.configuration.media_type,
            wire.configuration.when,
        )
    return desired.PackageEntry(
        software=software,
        configuration=configuration,
        together=tuple(ids.parse_purl(name) for name in wire.together),
        health=tuple(health_from_wire(check) for check in wire.health),
        accepts=desired.Accepts(
            parse_access(wire.accepts.access),
            frozenset(wire.accepts.constraints),
            frozenset(ids.parse_digest(digest) for digest in wire.accepts.one_way),
        ),
        overrides=frozenset(wire.overrides),
        secrets=frozenset(ids.parse_name(name, "a secret's name") for name in wire.secrets),
        change=None if wire.change is None else change_from_wire(wire.change),
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
        packages={key: _entry_to_wire(entry) for key, entry in document.packages.items()},
        settings=settings_to_wire(document.settings),
        restarts=[
            Restart(id=entry.id, at=instant(entry.at), latest=instant(entry.latest))
            for entry in document.restarts
        ],
        hold=document.hold,
        device=None
        if document.device is None
        else DeviceRecord(
            epoch=document.device.epoch,
            status="retired" if document.device.status == "retired" else "active",
            groups=None if document.device.groups is None else list(document.device.groups),
            label=document.device.label,
            replaces=document.device.replaces,
        ),
        change=None if document.change is None else change_to_wire(document.change),
    )
    return encode(_without_defaults(msgspec.to_builtins(wire), keep={"type", "format"}))


def _without_defaults(value: Any, keep: set[str]) -> Any:
    """Drop nulls and empty containers: absent and empty mean the same in every field."""
    if isinstance(value, dict):
        slim = {key: _without_defaults(part, keep) for key, part in value.items()}
        return {key: part for key, part in slim.items() if part is not None or key in keep}
    if isinstance(value, list):
        return [_without_defaults(part, keep) for part in value]
    return value


def _entry_to_wire(entry: desired.PackageEntry) -> PackageEntry:
    software = None
    if entry.software is not None:
        software = Software(
            manager=entry.software.manager,
            releases=[
                ReleaseOrder(
                    provider=order.provider,
                    version=order.version,
                    digest=order.digest,
                    level=order.level,
                    when=order.when,
                )
                for order in entry.software.releases
            ],
        )
    configuration = None
    if entry.configuration is not None:
        configuration = Configuration(
            manager=entry.configuration.manager,
            digest=entry.configuration.digest,
            size=entry.configuration.size,
            media_type=entry.configuration.media_type,
            when=entry.configuration.when,
        )
    return PackageEntry(
        software=software,
        configuration=configuration,
        together=list(entry.together),
        health=[health_to_wire(check) for check in entry.health],
        accepts=Accepts(
            access=sorted(entry.accepts.access),
            constraints=sorted(entry.accepts.constraints),
            one_way=sorted(entry.accepts.one_way),
        ),
        overrides=sorted(entry.overrides),
        secrets=sorted(entry.secrets),
        change=None if entry.change is None else change_to_wire(entry.change),
    )
