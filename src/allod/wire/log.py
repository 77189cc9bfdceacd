"""Entries of the fleet's two logs (docs/spec/log.md): each has one form in bytes.

An entry of `authority` is a DSSE envelope: what a role's keys signed of one version of its file,
or a channel's document, whole. An entry of `activity` names, by its digest, what a device signed,
or says what the server refused or found.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from allod.domain.ids import FleetId, parse_device, parse_digest, parse_fleet
from allod.errors import AllodError, InvalidInput
from allod.wire.codec import Document, encode, parse_instant
from allod.wire.envelope import CHANNEL, LOG_ROLE, Envelope

ENTRY_CAP: Final = 0xFFFF  #: bytes, of any entry (C2SP tlog-tiles)
MAX_SIGNATURES: Final = 32
MAX_NUMBER: Final = 2**63 - 1
AUTHORITY: Final = "authority"
ACTIVITY: Final = "activity"
TRUST_ROLE: Final = "trust"  #: stands for the trust statements, which are signed by root

_ROLE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}", re.ASCII)
_CODE: Final = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_KEY: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SUBJECT_CAP: Final = 256
_SAYS_CAP: Final = 1000


class RoleStatement(Document, kw_only=True, frozen=True):
    """What the keys of a role sign about one version of its file, in one sitting with the file."""

    type: Literal["allod.log-role"] = "allod.log-role"
    format: Literal[1] = 1
    fleet: str
    role: str
    version: int
    digest: (
        str  #: of the canonical form of the file's `signed` part; of a trust statement's payload
    )


class BindingEntry(Document, kw_only=True, frozen=True, tag_field="kind", tag="binding"):
    """A device was bound."""

    type: Literal["allod.log-activity"] = "allod.log-activity"
    format: Literal[1] = 1
    fleet: str
    device: str
    epoch: int
    digest: str  #: of the binding record's payload


class ReportEntry(Document, kw_only=True, frozen=True, tag_field="kind", tag="report"):
    """A device reported a change, a refusal or an alarm."""

    type: Literal["allod.log-activity"] = "allod.log-activity"
    format: Literal[1] = 1
    fleet: str
    device: str
    epoch: int
    sequence: int
    previous: str | None  #: as in the report
    digest: str  #: of the report's payload


class RefusalEntry(Document, kw_only=True, frozen=True, tag_field="kind", tag="refusal"):
    """The server did not take something in."""

    type: Literal["allod.log-activity"] = "allod.log-activity"
    format: Literal[1] = 1
    fleet: str
    at: str
    code: str
    subject: str  #: a device, an invite, a role
    says: str
    digest: str | None  #: of what was refused


class AlarmEntry(Document, kw_only=True, frozen=True, tag_field="kind", tag="alarm"):
    """The server found something that the owner should look at."""

    type: Literal["allod.log-activity"] = "allod.log-activity"
    format: Literal[1] = 1
    fleet: str
    at: str
    code: str
    subject: str
    says: str
    digest: str | None  #: of the evidence, if there is some


ActivityEntry = BindingEntry | ReportEntry | RefusalEntry | AlarmEntry


@dataclass(frozen=True, slots=True)
class AuthorityEntry:
    """An entry of the authority log, read and not verified.

    Whether it counts is for `trust` to say; its signatures are checked over `payload`.
    """

    envelope: Envelope
    payload: bytes
    role: RoleStatement | None  #: None: `payload` is a channel's document


def log_origin(fleet: FleetId, name: Literal["authority", "activity"], number: int = 1) -> str:
    """The origin of a fleet's log; the second and later ones succeed a log that was lost."""
    suffix = "" if number == 1 else f"/{number}"
    return f"allod.dev/log/{fleet}/{name}{suffix}"


def encode_role_statement(statement: RoleStatement) -> bytes:
    """The payload that the role's keys sign, as `LOG_ROLE`. Raises InvalidInput."""
    _check_role(statement)
    return encode(statement)


def encode_authority(envelope: Envelope) -> bytes:
    """The entry for a signed role statement or channel document.

    Raises:
        InvalidInput: `bad-log-entry`, `too-large`, or what a field is refused with.
    """
    ordered = Envelope(
        payload_type=envelope.payload_type,
        payload=envelope.payload,
        signatures=sorted(envelope.signatures, key=lambda signature: signature.keyid),
    )
    entry = encode(ordered)
    decode_authority(entry)
    return entry


def decode_authority(entry: bytes) -> AuthorityEntry:
    """Read an entry of the authority log. One that cannot be read does not count.

    Raises:
        InvalidInput: `bad-log-entry`, `too-large`.
    """
    what = "an entry of the authority log"
    envelope = _canonical(entry, Envelope, what)
    ids = [signature.keyid for signature in envelope.signatures]
    if not 1 <= len(ids) <= MAX_SIGNATURES or ids != sorted(set(ids)):
        raise _bad(what, "its signatures are none, too many, or not in the order of their keys")
    if any(_KEY.fullmatch(key) is None for key in ids):
        raise _bad(what, "a key's id is not 64 hex digits")
    for signature in envelope.signatures:
        _unbase64(signature.sig, what)
    payload = _unbase64(envelope.payload, what)
    if envelope.payload_type == CHANNEL:
        return AuthorityEntry(envelope, payload, None)
    if envelope.payload_type != LOG_ROLE:
        raise _bad(what, f"it is signed as {envelope.payload_type[:80]!r}")
    statement = _canonical(payload, RoleStatement, what)
    _check_role(statement)
    return AuthorityEntry(envelope, payload, statement)


def encode_activity(entry: ActivityEntry) -> bytes:
    """An entry of the activity log.

    Raises:
        InvalidInput: `bad-log-entry`, `too-large`.
    """
    _check_activity(entry)
    return encode(entry)


def decode_activity(entry: bytes) -> ActivityEntry:
    """Read an entry of the activity log.

    Raises:
        InvalidInput: `bad-log-entry`, `too-large`.
    """
    found: ActivityEntry = _canonical(entry, ActivityEntry, "an entry of the activity log")
    _check_activity(found)
    return found


def _canonical(data: bytes, shape: Any, what: str) -> Any:
    """Decode what was written by `encode`, and nothing else.

    Writing it again must give the same bytes, so that keys that stand twice, other spellings and
    everything else that is ambiguous is refused without a pass of its own.
    """
    if len(data) > ENTRY_CAP:
        raise InvalidInput(
            "too-large", f"cannot read {what}: {len(data)} bytes, at most {ENTRY_CAP} are allowed"
        )
    try:
        value = msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _bad(what, str(error)) from error
    if encode(value) != data:
        raise _bad(what, "it is not in canonical form")
    return value


def _unbase64(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad(what, str(error)) from error
    if base64.b64encode(data).decode() != text:
        raise _bad(what, "its base64 has a second spelling")
    return data


def _bad(what: str, why: str) -> InvalidInput:
    return InvalidInput("bad-log-entry", f"cannot read {what}: {why}")


def _check_role(statement: RoleStatement) -> None:
    what = "a role's entry"
    if _ROLE.fullmatch(statement.role) is None or ".." in statement.role:
        raise _bad(what, "its role is none")
    if not 1 <= statement.version <= MAX_NUMBER:
        raise _bad(what, "its version is none")
    _check_ids(what, statement.fleet, statement.digest)


def _check_activity(entry: ActivityEntry) -> None:
    what = "an entry of the activity log"
    numbers: tuple[int, ...] = ()
    match entry:
        case BindingEntry():
            numbers = (entry.epoch,)
            _check_ids(what, entry.fleet, entry.digest, device=entry.device)
        case ReportEntry():
            numbers = (entry.epoch, entry.sequence)
            _check_ids(what, entry.fleet, entry.digest, entry.previous, device=entry.device)
        case _:
            _check_said(what, entry)
    if not all(1 <= number <= MAX_NUMBER for number in numbers):
        raise _bad(what, "an epoch or a sequence begins at 1")


def _check_said(what: str, entry: RefusalEntry | AlarmEntry) -> None:
    _check_ids(what, entry.fleet, entry.digest)
    if _CODE.fullmatch(entry.code) is None:
        raise _bad(what, "its code is none")
    if len(entry.subject) > _SUBJECT_CAP or len(entry.says) > _SAYS_CAP:
        raise _bad(what, "its texts are too long")
    try:
        parse_instant(entry.at)
    except AllodError as error:
        raise _bad(what, error.message) from error


def _check_ids(what: str, fleet: str, *digests: str | None, device: str | None = None) -> None:
    try:
        parse_fleet(fleet)
        if device is not None:
            parse_device(device)
        for digest in digests:
            if digest is not None:
                parse_digest(digest)
    except AllodError as error:
        raise _bad(what, error.message) from error
