"""The newest report with changes of each device, as the fleet's activity log has it.

The log is read on from where this machine read last (`activity.json`). It is the server's own
word about what it has, in an order that it cannot take back: a report that it logged, and does
not show any more, is withheld; an older one in its place is a replay (attack 14).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from allod.durable import write_atomic
from allod.errors import AllodError, InvalidInput, Unavailable
from allod.tlog.checkpoint import CHECKPOINT_CAP, open_checkpoint
from allod.tlog.known import KnownLog, parse_known
from allod.tlog.merkle import CompactRange
from allod.tlog.note import parse_key
from allod.tlog.tail import Tail
from allod.tlog.tiles import ENTRIES, tile_at
from allod.trust.statements import log_prefix
from allod.wire.codec import Document, decode, encode
from allod.wire.log import ACTIVITY, ReportEntry, decode_activity

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet
    from allod.wire.trust import Log, TrustStatement

_CAP: Final = 256 * 1024 * 1024


class Logged(Document, frozen=True, kw_only=True):
    """The newest report with changes of a device that the log has."""

    epoch: int
    sequence: int
    digest: str


class ActivityFile(Document, frozen=True, kw_only=True):
    """`activity.json`: how far the log was read, and what it said."""

    type: Literal["allod.activity-read"] = "allod.activity-read"
    format: Literal[1] = 1
    known: str = ""  #: a `tlog.known.KnownLog`
    devices: dict[str, Logged] = {}  # noqa: RUF012 — msgspec copies it


@dataclass(frozen=True, slots=True)
class Activity:
    """What the activity log says; `trouble` is why it cannot be told, if it cannot."""

    devices: Mapping[str, Logged] = field(default_factory=dict)
    trouble: AllodError | None = None


def read_activity(fleet: LocalFleet, statement: TrustStatement | None) -> Activity:
    """Read the log on to where it is now; nothing, if the owner names none."""
    log = _newest(statement)
    if log is None:
        return Activity()
    kept = _load(fleet)
    try:
        file = _read_on(fleet, log, kept)
    except AllodError as error:
        return Activity(kept.devices, error)
    if file != kept:
        with fleet.alone():
            write_atomic(fleet.directory / "activity.json", encode(file))
    return Activity(file.devices)


def _newest(statement: TrustStatement | None) -> Log | None:
    named = [log for log in (statement.logs if statement else ()) if log.name == ACTIVITY]
    past = {log.follows for log in named}
    return next((log for log in reversed(named) if log.origin not in past), None)


def _read_on(fleet: LocalFleet, log: Log, kept: ActivityFile) -> ActivityFile:
    prefix = log_prefix(log, fleet.id)
    raw = fleet.client.file(f"{prefix}/checkpoint", cap=CHECKPOINT_CAP)
    if raw is None:
        raise _lacks(f"{prefix}/checkpoint")
    signed = open_checkpoint(raw, log.origin, [parse_key(log.key)])
    known = parse_known(kept.known.encode()) if kept.known else None
    same = known is not None and known.signed.checkpoint.origin == log.origin
    tail = Tail(known.range if known is not None and same else CompactRange(), signed.size)
    found: dict[str, Logged] = {}
    while (wanted := tail.wanted) is not None:
        tile = tile_at(ENTRIES, wanted.index, signed.size)
        data = fleet.client.file(f"{prefix}/{tile.path}", cap=tile.cap)
        if data is None:
            raise _lacks(f"{prefix}/{tile.path}")
        for _, entry in tail.take(data, width=tile.width):
            _note(found, entry, fleet.id)
    range_ = tail.finish(signed.checkpoint)
    devices = dict(kept.devices)
    devices |= {name: one for name, one in found.items() if _newer(one, devices.get(name))}
    return ActivityFile(known=KnownLog(signed, range_).encode().decode(), devices=devices)


def _note(found: dict[str, Logged], data: bytes, fleet: str) -> None:
    try:
        entry = decode_activity(data)
    except InvalidInput:
        return  # it says nothing; `allod audit verify` names it
    if isinstance(entry, ReportEntry) and entry.fleet == fleet:
        one = Logged(epoch=entry.epoch, sequence=entry.sequence, digest=entry.digest)
        if _newer(one, found.get(entry.device)):
            found[entry.device] = one


def _newer(one: Logged, before: Logged | None) -> bool:
    return before is None or (before.epoch, before.sequence) < (one.epoch, one.sequence)


def _lacks(path: str) -> Unavailable:
    return Unavailable("withheld", f"cannot tell which reports there are: the server lacks {path}")


def _load(fleet: LocalFleet) -> ActivityFile:
    """What was read; lost or damaged, it is read again."""
    try:
        data = (fleet.directory / "activity.json").read_bytes()
        file = decode(data, ActivityFile, cap=_CAP, what="activity.json")
        if file.known:
            parse_known(file.known.encode())
    except (FileNotFoundError, AllodError):
        return ActivityFile()
    return file
