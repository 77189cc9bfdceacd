"""One look of a monitor: the owner's view, the audit, and every device's report against the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from allod.audit.alarms import Sight, Source
from allod.audit.findings import Finding
from allod.audit.receipts import KnownEntries
from allod.audit.watching import Compared, Sighting, compare, evidence_in, sightings
from allod.cli.audit.source import ServerSource, read_tile
from allod.cli.documents import Base
from allod.cli.evidence import save_fork
from allod.cli.members import Device, Members
from allod.cli.refresh import View, refresh
from allod.errors import AllodError, InvalidInput, Unavailable
from allod.tlog.note import parse_key
from allod.tlog.tiles import Tile, TileReader
from allod.trust.fork_evidence import EVIDENCE, read_evidence
from allod.trust.statements import authority_log, log_prefix

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet
    from allod.tlog.checkpoint import SignedCheckpoint
    from allod.tlog.fork import Fork
    from allod.wire.trust import Log

#: Conditions that an audit looks at every time; its other findings happened.
LASTING: Final = frozenset(
    {"no-quorum", "stale", "report-gap", "unlogged-report", "unlogged-binding", "surplus-binding"}
)
#: What devices say of logs and signed files that an owner has to hear of.
SAID: Final = frozenset(
    {
        "equivocation",
        "log-consistency",
        "mix-and-match",
        "no-quorum",
        "note-signature",
        "rollback",
        "root-withheld",
        "withheld",
        "wrong-log",
    }
)
_WITNESSES: Final = frozenset({"no-quorum", "stale"})
RENAMED: Final[Mapping[str, str]] = {"clone": "device-cloned"}
_HASH: Final = 32

#: Runs the audit's incremental pass; what it found ever, and what it found in this run.
AuditPass = Callable[[], tuple[Iterable[Finding], Iterable[Finding]]]


@dataclass(slots=True)
class Look:
    """What one look saw, and which of its parts could be looked at whole."""

    sights: list[Sight] = field(default_factory=list)
    looked: set[Source] = field(default_factory=set)

    def see(
        self,
        source: Source,
        code: str,
        subject: str,
        says: str,
        *,
        lasting: bool = True,
        index: int | None = None,
        evidence: str | None = None,
    ) -> None:
        """Note something."""
        self.sights.append(
            Sight(
                code=code,
                subject=subject,
                says=says,
                source=source,
                lasting=lasting,
                index=index,
                evidence=evidence,
            )
        )


def look_at(fleet: LocalFleet, audit: AuditPass) -> Look:
    """Look at everything once. What fails is a sight; it never ends the monitor."""
    look = Look()
    view = _server(fleet, look)
    _log(look, audit)
    if view is not None:
        try:
            _devices(view, look)
        except AllodError as error:
            _failed(look, "devices", error)
        else:
            look.looked.add("devices")
    look.sights = _once(look.sights)
    return look


def _once(sights: Iterable[Sight]) -> list[Sight]:
    """One thing is said by one part of the look.

    What the audit found in the log, where no past is taken back, is not said again by reports;
    missing witnesses are the log's, and not the server's.
    """
    found = list(sights)
    audited = {(one.code, one.about) for one in found if one.source == "log"}
    unvouched = _WITNESSES & {one.code for one in found if one.source == "log"}
    return [
        one
        for one in found
        if not (one.source == "devices" and (one.code, one.about) in audited)
        and not (one.source == "server" and one.code in unvouched)
    ]


def _server(fleet: LocalFleet, look: Look) -> View | None:
    """The owner's own view, under this machine's floors."""
    view: View | None
    try:
        try:
            view = refresh(fleet)
        except Unavailable as error:
            if error.code not in _WITNESSES:
                raise
            look.see("server", error.code, "server", error.message)
            view = refresh(fleet, allow_expired=True, allow_unwitnessed=True)
        view.load_all()
        for alarm in view.repository.alarms:
            look.see("server", alarm.code, "log", alarm.says, lasting=False)
    except Unavailable as error:
        if _failed(look, "server", error):
            return None
        view = None
    except AllodError as error:
        _refused(fleet, look, error)
        view = None
    look.looked.add("server")
    return view


def _refused(fleet: LocalFleet, look: Look, error: AllodError) -> None:
    """What the server shows does not hold; a fork has its evidence here."""
    look.see("server", error.code, "server", error.message)
    fork = read_evidence(fleet.cached().get(EVIDENCE))
    if error.code == "log-consistency" and fork is not None:
        says = "the server shows this machine another history than before"
        _fork(look, "server", fleet, fork, says)


def _fork(
    look: Look, source: Source, fleet: LocalFleet, fork: Fork, says: str, *, subject: str = ""
) -> None:
    code = "log-fork" if fork.proven else "log-fork-unproven"
    path = str(save_fork(fleet, fork))
    look.see(source, code, subject or fork.origin, says, lasting=False, evidence=path)


def _failed(look: Look, source: Source, error: AllodError) -> bool:
    """A part of the look that came to nothing; whether it is only that nobody answered."""
    outage = isinstance(error, Unavailable) and "unsent" in error.details
    if outage:
        look.see("server", "server-unreachable", "server", error.message)
    else:
        look.see(source, error.code, "server", error.message)
    return outage


def _log(look: Look, audit: AuditPass) -> None:
    """The audit's incremental pass; what it found once stays found, whoever ran it."""
    try:
        ever, now = audit()
    except AllodError as error:
        _failed(look, "log", error)
        return
    look.looked.add("log")
    for one in dict.fromkeys((*ever, *now)):
        if one.code not in LASTING:
            look.see("log", one.code, one.subject, one.says, lasting=False, index=one.index)
    for one in dict.fromkeys(now):
        if one.code in LASTING:
            look.see("log", one.code, one.subject, one.says, index=one.index)


# -- devices --------------------------------------------------------------------------------------


def _devices(view: View, look: Look) -> None:
    members = Members(Base(view))
    devices = members.devices
    for remark in members.vanished:
        look.see("devices", remark.code, remark.subject, remark.says)
    for device in devices:
        for remark in device.member.alarms:
            code = RENAMED.get(remark.code, remark.code)
            look.see("devices", code, device.member.device, remark.says)
        for code, says in _said(device):
            look.see("devices", code, device.member.device, f"the device says: {says}")
    log = _named(view)
    own = None if log is None else view.repository.floors.log_floor(log.origin)
    if log is not None and own is not None:
        _against_log(view, look, log, own, devices)


def _said(device: Device) -> Iterator[tuple[str, str]]:
    """What a device itself refused or noticed."""
    report = device.report
    if report is None:
        return
    for refusal in report.refusals:
        if refusal.code in SAID:
            yield refusal.code, "; ".join(refusal.reasons)
    for alarm in report.alarms:
        if alarm.code in SAID:
            yield alarm.code, alarm.says


def _named(view: View) -> Log | None:
    statement = view.repository.statement
    return None if statement is None else authority_log(statement)


def _against_log(
    view: View, look: Look, log: Log, own: SignedCheckpoint, devices: Iterable[Device]
) -> None:
    """Two devices, or a device and this machine, that were shown two histories (attack 52)."""
    key = parse_key(log.key)
    seen: list[Sighting] = []
    for report in (device.report for device in devices):
        if report is None:
            continue
        seen += [one for one in sightings(report) if one.origin == log.origin]
        for fork, proven in evidence_in(report, {log.origin: key}):
            shown = "two histories" if proven else "checkpoints that it could not bring together"
            says = f"the device was shown {shown}, and reports the evidence"
            _fork(look, "devices", view.fleet, fork, says, subject=report.device)
    for one in compare(seen, _entries(view, log, own), own, key):
        _compared(view, look, one)


def _compared(view: View, look: Look, one: Compared) -> None:
    device = one.sighting.device
    match one.verdict:
        case "fork" if one.fork is not None:
            _fork(look, "devices", view.fleet, one.fork, one.says, subject=device)
        case "other-history":
            look.see("devices", "other-history", device, one.says, lasting=False)
        case "ahead":
            look.see("devices", "log-withheld", device, one.says)
        case "unread":
            look.see("devices", "bad-tile", device, one.says)
        case _:
            pass


def _entries(view: View, log: Log, own: SignedCheckpoint) -> KnownEntries:
    source, prefix = ServerSource(view.fleet.client), log_prefix(log, view.fleet.id)

    def read(tile: Tile) -> bytes:
        found = read_tile(source, prefix, tile)
        if found is None:
            raise InvalidInput("bad-tile", f"cannot read {tile.path}: it is not served")
        return found[1][: tile.width * _HASH]

    return KnownEntries(own.checkpoint, TileReader(own.size, read))
