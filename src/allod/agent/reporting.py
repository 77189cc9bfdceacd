"""Reports: their chain, what has yet to be said, and the outbox.

The ledger is one file, kept twice, and holds everything that must not be said twice or forgotten:
the sequence, the chain's head, the journey, and the changes since the last report. A report is
made in this order, so that a cut at any point neither loses a change nor uses a sequence twice:

1. changes are recorded in the ledger before the journal of their unit is cleared;
2. the signed report is written to the outbox: from here its sequence is used;
3. the ledger moves on: sequence, head, changes that were said;
4. the report is handed in; only when the server has it durably it leaves the outbox.

`open` repeats step 3 for a report that a cut left between 2 and 3.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from allod import durable
from allod.agent.ports import IdentityKey
from allod.agent.twin import Damaged, TwinFile
from allod.domain import journey
from allod.domain.ids import Digest, Purl, sha256
from allod.errors import AllodError
from allod.wire import envelope
from allod.wire.codec import encode, instant, parse_instant
from allod.wire.report import Alarm, ChangeReport, Report

NEWEST: Final = "newest.json"  #: the newest signed report, for `allod-agent status` and `report`
MAX_CHANGES: Final = 500  #: in one report; the others go into the next
MAX_HEARTBEATS: Final = 50  #: undelivered ones that are kept
_REMEMBERED: Final = 512


class RecordedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was not yet reported; `id` makes recording idempotent."""

    id: str
    change: ChangeReport


class LedgerState(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger holds; it only grows."""

    sequence: int = 0  #: of the newest report
    head: str | None = None  #: digest of the newest payload of the chain
    journey: str = journey.START
    changes: tuple[RecordedChange, ...] = ()
    recorded: tuple[str, ...] = ()  #: ids of the newest changes, reported or not
    said: str = ""  #: digest of what the newest report says, but for times
    said_at: str | None = None
    boot: str = ""
    boots: int = 0
    since: dict[str, str] = {}  #: finding -> since when it stands
    inventory: str = ""  #: digest of the inventory that was sent whole


class _Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A signed report in the outbox."""

    sequence: int
    kind: Literal["change", "heartbeat"]
    digest: str
    changes: tuple[str, ...]
    said: str
    at: str
    envelope: str
    lists: bool = False  #: it says what software the host has


class Ledger:
    """What has been said and what has yet to be said.

    Args:
        directory: `reports` of the state directory.
        key: the device's identity.
    """

    def __init__(self, directory: Path, key: IdentityKey) -> None:
        self._outbox = directory / "outbox"
        self._newest = directory / NEWEST
        self._twin = TwinFile(directory, "ledger")
        self._key = key
        self.alarms: tuple[Alarm, ...] = ()
        durable.make_directory(self._outbox)
        self._state = self._load()
        self._catch_up()

    @property
    def state(self) -> LedgerState:
        """What it holds."""
        return self._state

    def _load(self) -> LedgerState:
        try:
            content = self._twin.load()
            if content is not None:
                return msgspec.json.decode(content.data, type=LedgerState)
        except (Damaged, msgspec.DecodeError):
            says = "both copies of the ledger were damaged; the chain of reports begins anew"
            self.alarms = (Alarm(code="ledger-damaged", says=says),)
            # No sequence below this one can have been used less than once a second.
            return LedgerState(sequence=int(self._newest_time()))
        return LedgerState()

    def _newest_time(self) -> float:
        times = [
            path.stat().st_mtime for path in (*self._twin.paths, self._outbox) if path.exists()
        ]
        return max(times, default=0.0)

    def _catch_up(self) -> None:
        """Step 3 for reports that a cut left in the outbox without it."""
        for sequence in self.undelivered():
            if sequence > self._state.sequence:
                self._move_on(self._read(sequence))

    def _save(self, **changes: object) -> None:
        state = msgspec.structs.replace(self._state, **changes)
        if state != self._state:
            self._twin.save(msgspec.json.encode(state))
            self._state = state

    def see_boot(self, boot: str) -> bool:
        """Note the boot that this is; whether it is a new one."""
        if boot == self._state.boot:
            return False
        self._save(boot=boot, boots=self._state.boots + 1)
        return True

    def record(
        self, change_id: str, change: ChangeReport, *, path: tuple[str, str, str] | None
    ) -> None:
        """Note a change; one that was noted before is not noted again.

        Args:
            change_id: names this change for ever.
            change: as it will be reported.
            path: what it adds to the journey: what, release, configuration; None: nothing.
        """
        if change_id in self._state.recorded:
            return
        step = self._state.journey
        if path is not None:
            step = journey.extend(Digest(step), path[0], Purl(change.package), path[1], path[2])
        self._save(
            changes=(*self._state.changes, RecordedChange(id=change_id, change=change)),
            recorded=(change_id, *self._state.recorded)[:_REMEMBERED],
            journey=step,
        )

    def pending(self) -> tuple[ChangeReport, ...]:
        """The changes that the next report will carry."""
        return tuple(entry.change for entry in self._state.changes[:MAX_CHANGES])

    def since(self, findings: frozenset[str], now: datetime) -> dict[str, str]:
        """Since when each finding stands; those that are gone are forgotten."""
        known = {name: self._state.since.get(name, instant(now)) for name in sorted(findings)}
        self._save(since=known)
        return known

    def due(self, draft: Report, now: datetime, heartbeat: float) -> bool:
        """Whether there is something new to say, or it is time for a sign of life."""
        if self._state.changes or self._state.said_at is None:
            return True
        age = (now - parse_instant(self._state.said_at)).total_seconds()
        return self._state.said != what_is_said(draft) or not 0 <= age < heartbeat

    def publish(self, fill: Callable[[int, str | None], Report]) -> Report:
        """Make the next report and put it into the outbox.

        Args:
            fill: makes the report for this sequence and head of the chain.
        """
        changes = tuple(entry.id for entry in self._state.changes[:MAX_CHANGES])
        report = fill(self._state.sequence + 1, self._state.head)
        payload = encode(report)
        signed = self._key.sign_envelope(envelope.REPORT, payload)
        outgoing = _Outgoing(
            sequence=report.sequence,
            kind=report.kind,
            digest=sha256(payload),
            changes=changes,
            said=what_is_said(report),
            at=report.at,
            envelope=base64.b64encode(signed).decode(),
            lists=_has_lists(report),
        )
        durable.write_atomic(self._path(report.sequence), msgspec.json.encode(outgoing))
        durable.write_atomic(self._newest, signed)
        self._move_on(outgoing)
        if report.inventory is not None:
            self._save(inventory=report.inventory.digest)
        self._thin_out()
        return report

    def _move_on(self, sent: _Outgoing) -> None:
        self._save(
            sequence=sent.sequence,
            head=sent.digest if sent.kind == "change" else self._state.head,
            changes=tuple(one for one in self._state.changes if one.id not in sent.changes),
            said=sent.said,
            said_at=sent.at,
        )

    def _thin_out(self) -> None:
        """Of heartbeats that nobody fetched, only the newest are kept, and the newest lists."""
        waiting = self.undelivered()
        if len(waiting) <= MAX_HEARTBEATS:
            return
        read = {sequence: self._read(sequence) for sequence in waiting}
        beats = [sequence for sequence in waiting if read[sequence].kind == "heartbeat"]
        old = beats[:-MAX_HEARTBEATS]
        listed = next((sequence for sequence in reversed(old) if read[sequence].lists), None)
        for sequence in old:
            if sequence != listed:
                durable.remove_file(self._path(sequence))

    def undelivered(self) -> tuple[int, ...]:
        """The sequences in the outbox, oldest first."""
        names = (path.stem for path in self._outbox.glob("*.json"))
        return tuple(sorted(int(name) for name in names if name.isdecimal()))

    def deliver(self, post: Callable[[bytes], bytes], *, acknowledges: bool = True) -> int:
        """Hand in what waits, oldest first; how many were.

        Args:
            post: hands in one envelope; when it returns, the other side has it.
            acknowledges: whether the other side is the server; a stick is not, so what went onto
                it stays in the outbox as well.

        Raises:
            AllodError: the other side can't be reached or does not take it; the rest stays.
        """
        done = 0
        for sequence in self.undelivered():
            try:
                signed = base64.b64decode(self._read(sequence).envelope)
            except (msgspec.DecodeError, ValueError):
                self._give_up(sequence)
                continue
            post(signed)
            done += 1
            if acknowledges:
                durable.remove_file(self._path(sequence))
        return done

    def _give_up(self, sequence: int) -> None:
        says = f"the report {sequence} was damaged before it could be handed in"
        self.alarms = (*self.alarms, Alarm(code="report-damaged", says=says))
        durable.remove_file(self._path(sequence))

    def _read(self, sequence: int) -> _Outgoing:
        return msgspec.json.decode(self._path(sequence).read_bytes(), type=_Outgoing)

    def _path(self, sequence: int) -> Path:
        return self._outbox / f"{sequence}.json"


def _has_lists(report: Report) -> bool:
    known = report.inventory
    return known is not None and (known.dpkg is not None or known.pip is not None)


def what_is_said(report: Report) -> str:
    """Digest over a report without what differs in every one: two that say the same have the same."""
    quiet = msgspec.to_builtins(report)
    for name in ("sequence", "previous", "kind", "at", "uptime", "changes", "inventory"):
        quiet.pop(name, None)
    quiet["trust"].pop("time", None)
    for role in ("timestamp", "snapshot"):  # they grow without anything new being said
        quiet["trust"]["roles"].pop(role, None)
    for package in quiet["packages"]:
        for part in (*package["releases"], package["configuration"]):
            (part.get("measured") or {}).pop("at", None)
    return sha256(encode(quiet))


def deliver_all(ledger: Ledger, post: Callable[[bytes], bytes], *, acknowledges: bool) -> str:
    """Hand in what waits; why some could not be, in words, else empty."""
    try:
        ledger.deliver(post, acknowledges=acknowledges)
    except AllodError as error:
        return error.message
    return ""
