"""What this machine has seen of the devices' reports, so that none of it is taken back unnoticed.

A server can show an older report, leave some out, or let a device vanish; a device can go back
to an older disk, or leave out what it did. Whatever does not go on from where it was seen last
is an alarm, and puts in doubt what the device says (attack 14, 41).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from allod.audit.chain import fallen
from allod.domain.reported import Remark
from allod.durable import write_atomic
from allod.trust.report import ChainHead, Link, SignedReport, follow
from allod.wire.codec import Document, decode, encode
from allod.wire.report import TrustState

if TYPE_CHECKING:
    from allod.cli.activity import Logged
    from allod.cli.fleet import LocalFleet

_CAP: Final = 64 * 1024 * 1024


class Whole(Document, frozen=True, kw_only=True):
    """Up to which report the chain was seen without a hole."""

    sequence: int
    digest: str
    head: str | None


class Seen(Document, frozen=True, kw_only=True):
    """The newest report of a device that this machine has verified."""

    epoch: int
    sequence: int
    digest: str
    whole: Whole | None = None
    trust: TrustState | None = None  #: where the device said that its floors are


class SeenFile(Document, frozen=True, kw_only=True):
    """`seen.json` of a fleet on the owner's machine."""

    type: Literal["allod.seen"] = "allod.seen"
    format: Literal[1] = 1
    devices: dict[str, Seen] = {}  # noqa: RUF012 — msgspec copies it


@dataclass(frozen=True, slots=True)
class Followed:
    """What new reports of a device are, beside what was seen of it.

    `remarks` are alarms; all of them put the device's state in doubt.
    """

    seen: Seen | None
    remarks: tuple[Remark, ...] = ()


def load_seen(fleet: LocalFleet) -> SeenFile:
    """What was seen. Raises InvalidInput: the file is damaged."""
    path = fleet.directory / "seen.json"
    if not path.exists():
        return SeenFile()
    return decode(path.read_bytes(), SeenFile, cap=_CAP, what=str(path))


def remember(fleet: LocalFleet, found: Iterable[tuple[str, Seen]]) -> None:
    """Keep what is newer than what was seen; another command may have seen more meanwhile."""
    listed = dict(found)
    with fleet.alone():
        before = load_seen(fleet).devices
        known = dict(before)
        known |= {name: now for name, now in listed.items() if _newer(now, before.get(name))}
        if known != before:
            write_atomic(fleet.directory / "seen.json", encode(SeenFile(devices=known)))


def begin_at(seen: Seen | None, epoch: int, newest: int) -> int:
    """After which report to ask, so that the newest one and all unseen ones come."""
    if seen is None or seen.epoch != epoch or seen.whole is None:
        return newest - 1
    return max(0, min(seen.whole.sequence, newest - 1))


def follow_on(
    reports: Sequence[SignedReport], seen: Seen | None, logged: Logged | None = None
) -> Followed:
    """Hold verified reports of one device, oldest first, against what was seen of it.

    Args:
        reports: of its present binding.
        seen: what this machine saw last.
        logged: its newest report with changes in this binding, as the activity log has it.
    """
    if not reports:
        return Followed(seen, () if seen is None and logged is None else (_withheld(),))
    newest = reports[-1]
    at = (newest.report.epoch, newest.report.sequence)
    if seen is not None and at < (seen.epoch, seen.sequence):
        return Followed(seen, (_withheld(),))
    if logged is not None and newest.report.sequence < logged.sequence:
        return Followed(seen, (_withheld(),))
    remarks: list[Remark] = []
    named = logged is not None and logged.sequence == newest.report.sequence
    if named and logged is not None and logged.digest != newest.digest:
        remarks.append(Remark("clone", "the log has another report under this number"))
    if seen is not None and seen.epoch == newest.report.epoch:
        if at == (seen.epoch, seen.sequence) and newest.digest != seen.digest:
            remarks.append(Remark("clone", "the device signed two reports under one number"))
        remarks += _back(seen.trust, newest.report.trust)
    same = seen is not None and seen.epoch == newest.report.epoch
    whole, holes = _chain(reports, seen.whole if seen is not None and same else None)
    remarks += holes
    trust = newest.report.trust
    if remarks and seen is not None and same and seen.trust is not None:
        trust = seen.trust  # what is in doubt takes nothing back
    now = Seen(epoch=at[0], sequence=at[1], digest=newest.digest, whole=whole, trust=trust)
    return Followed(now, tuple(remarks))


def _chain(
    reports: Sequence[SignedReport], whole: Whole | None
) -> tuple[Whole | None, tuple[Remark, ...]]:
    """How far the chain goes on without a hole; who looks first begins at the newest report."""
    if whole is None:
        return _end(reports[-1]), ()
    head = ChainHead(whole.sequence, whole.digest, whole.head)
    older: set[str] = set()
    for signed in reports:
        if signed.report.sequence <= head.sequence:
            continue
        found = follow(head, signed, older)
        if found.link is Link.FORKED:
            says = (
                f"report {signed.report.sequence} rests on another past: two devices have one key"
            )
            return whole, (Remark("clone", says),)
        if found.link is Link.GAP:
            says = f"before report {signed.report.sequence} a report with changes is missing"
            return whole, (Remark("report-gap", says),)
        older.add(signed.digest)
        head = found.head
        whole = Whole(sequence=head.sequence, digest=head.last or "", head=head.head)
    return whole, ()


def _end(signed: SignedReport) -> Whole:
    report = signed.report
    head = signed.digest if report.kind == "change" else report.previous
    return Whole(sequence=report.sequence, digest=signed.digest, head=head)


def _back(before: TrustState | None, now: TrustState) -> list[Remark]:
    """Whether the device says that its floors are lower than it said; repairs may lower roles."""
    if before is None:
        return []
    lower = fallen(before, now)
    if not lower:
        return []
    return [Remark("device-went-back", f"the device went back: {', '.join(lower)}")]


def _withheld() -> Remark:
    return Remark(
        "reports-withheld", "the server does not show reports that it had: you saw them, or its log"
    )


def _newer(now: Seen, before: Seen | None) -> bool:
    return before is None or _reach(before) < _reach(now)


def _reach(seen: Seen) -> tuple[int, int, int]:
    return (seen.epoch, seen.sequence, 0 if seen.whole is None else seen.whole.sequence)
