"""Entries of documents of desired state: what a scope says of one package (docs/spec/desired-state.md)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from allod.domain import desired, ids
from allod.domain.access import parse_access
from allod.errors import InvalidInput
from allod.wire.codec import Document, decode, encode, instant, parse_instant
from allod.wire.envelope import Envelope
from allod.wire.health import HealthWire, health_from_wire, health_to_wire
from allod.wire.orders import (
    Configuration,
    Software,
    configuration_from_wire,
    configuration_to_wire,
    software_from_wire,
    software_to_wire,
)
from allod.wire.rollout import RolloutWire, rollout_from_wire, rollout_to_wire

_CHANGE_ID: Final = 128  #: characters: devices remember changes by their ids
_APPROVALS: Final = 32  #: the most that an entry may carry
_APPROVAL_CAP: Final = 24 * 1024  #: bytes of one


class ChangeNote(Document, kw_only=True, frozen=True):
    """A change's number, time, author and reason."""

    number: int
    id: str
    at: str
    by: str = ""
    message: str = ""
    ticket: str = ""


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
    accepts: Accepts = msgspec.field(default_factory=Accepts)
    overrides: list[str] = []
    secrets: list[str] = []
    rollout: RolloutWire | None = None
    approvals: list[Envelope] = []
    change: ChangeNote | None = None


def change_from_wire(wire: ChangeNote) -> desired.ChangeNote:
    """A change's note as a domain value. Raises InvalidInput."""
    if len(wire.id) > _CHANGE_ID or not wire.id.isprintable():
        raise InvalidInput("bad-note", "cannot read a change: its id is no short text")
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


def _approvals(wire: list[Envelope]) -> tuple[bytes, ...]:
    if len(wire) > _APPROVALS:
        raise InvalidInput("bad-document", f"cannot read more than {_APPROVALS} approvals")
    return tuple(encode(one) for one in wire)


def entry_from_wire(key: str, wire: PackageEntry) -> desired.PackageEntry:
    """An entry as a domain value. Raises InvalidInput."""
    if not ids.is_pattern(key):
        ids.parse_purl(key)
    return desired.PackageEntry(
        software=None if wire.software is None else software_from_wire(key, wire.software),
        configuration=None
        if wire.configuration is None
        else configuration_from_wire(wire.configuration),
        together=tuple(ids.parse_purl(name) for name in wire.together),
        health=tuple(health_from_wire(check) for check in wire.health),
        accepts=desired.Accepts(
            parse_access(wire.accepts.access),
            frozenset(wire.accepts.constraints),
            frozenset(ids.parse_digest(digest) for digest in wire.accepts.one_way),
        ),
        overrides=frozenset(wire.overrides),
        secrets=frozenset(ids.parse_name(name, "a secret's name") for name in wire.secrets),
        rollout=None if wire.rollout is None else rollout_from_wire(key, wire.rollout),
        approvals=_approvals(wire.approvals),
        change=None if wire.change is None else change_from_wire(wire.change),
    )


def entry_to_wire(entry: desired.PackageEntry) -> PackageEntry:
    """The inverse of `entry_from_wire`."""
    return PackageEntry(
        software=None if entry.software is None else software_to_wire(entry.software),
        configuration=None
        if entry.configuration is None
        else configuration_to_wire(entry.configuration),
        together=list(entry.together),
        health=[health_to_wire(check) for check in entry.health],
        accepts=Accepts(
            access=sorted(entry.accepts.access),
            constraints=sorted(entry.accepts.constraints),
            one_way=sorted(entry.accepts.one_way),
        ),
        overrides=sorted(entry.overrides),
        secrets=sorted(entry.secrets),
        rollout=None if entry.rollout is None else rollout_to_wire(entry.rollout),
        approvals=[
            decode(one, Envelope, cap=_APPROVAL_CAP, what="an approval") for one in entry.approvals
        ],
        change=None if entry.change is None else change_to_wire(entry.change),
    )


def entry_digest(key: str, entry: desired.PackageEntry) -> ids.Digest:
    """What people approve: the entry without its approvals, and of its change what lasts.

    A change's number and time are given when it is published; its id, author and reasons stand
    from the proposal on.
    """
    wire = msgspec.structs.replace(entry_to_wire(entry), approvals=[], change=None)
    note = entry.change
    lasting = None if note is None else [note.id, note.by, note.message, note.ticket]
    return ids.sha256(encode([key, without_defaults(msgspec.to_builtins(wire), set()), lasting]))


def without_defaults(value: Any, keep: set[str]) -> Any:
    """Drop nulls and empty containers: absent and empty mean the same in every field."""
    if isinstance(value, dict):
        slim = {key: without_defaults(part, keep) for key, part in value.items()}
        return {key: part for key, part in slim.items() if part is not None or key in keep}
    if isinstance(value, list):
        return [without_defaults(part, keep) for part in value]
    return value
