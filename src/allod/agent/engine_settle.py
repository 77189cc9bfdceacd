"""What follows when a piece of work comes to its end: memory, history, retention, the report."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from allod.agent.engine_steps import Bench
from allod.agent.grounds import GroundsStore
from allod.agent.journal import MAX_HISTORY, MemberRecord, Work
from allod.agent.reporting import Ledger
from allod.domain.ids import Purl
from allod.domain.machine import Event, State
from allod.wire.codec import instant
from allod.wire.report import ChangeReport

#: What the outcome of a piece of work is called in the report; what is not here is not told.
_WHAT: Final = {
    Event.FETCHED: "transferred",
    Event.STAGED: "installed",
    Event.DELETED: "deleted",
}


class Settler:
    """Keeps what must not be forgotten; every call may be repeated.

    Args:
        bench: what steps work on.
        ledger: where changes are noted for the report.
        grounds: what is remembered for terms.
    """

    def __init__(self, bench: Bench, ledger: Ledger, grounds: GroundsStore) -> None:
        self._bench = bench
        self._ledger = ledger
        self._grounds = grounds
        self.retention = 1

    @property
    def serial(self) -> int:
        """Differs between two runs that each did something: the sequence of the newest report."""
        return self._ledger.state.sequence

    def count(self, work: Work, now: datetime) -> None:
        """Before what runs is touched: that it changes counts, however it ends. Raises OSError."""
        for member in work.members:
            package = Purl(member.package)
            self._grounds.activate(package, member.number, member.managers, now, member.attempt)

    def commit(self, work: Work) -> None:
        """From here there is no way back by itself: remember what runs now."""
        for member in work.members:
            package = Purl(member.package)
            journal = self._bench.journals.load(package)
            record = journal.activation(member.number)
            before = journal.activation(member.before)
            history = [digest for digest in journal.history if digest != member.digest]
            if before is not None and before.digest != member.digest:
                history = [before.digest, *(d for d in history if d != before.digest)]
            self._bench.journals.save(
                package,
                msgspec.structs.replace(
                    journal,
                    history=tuple(history[:MAX_HISTORY]),
                    schema=journal.schema if record is None else record.schema,
                    failed=tuple(one for one in journal.failed if one.attempt != member.attempt),
                ),
            )

    def note(self, work: Work, event: Event, now: datetime) -> None:
        """Note for the report what became of the work."""
        for member in work.members:
            if event is Event.REVERTED:
                self._note_reverted(work, member, now)
            elif event is Event.COMMITTED:
                self._note_active(work, member, now)
            elif event in _WHAT:
                self._record(member, _WHAT[event], work, now)
            elif work.reason and event in {Event.STAGE_REFUSED, Event.CANCEL}:
                self._record(member, "installed", work, now, outcome="failed")

    def _note_active(self, work: Work, member: MemberRecord, now: datetime) -> None:
        journal = self._bench.journals.load(Purl(member.package))
        before = journal.activation(member.before)
        if member.digest is None:
            what = "deactivated"
        elif before is not None and before.digest == member.digest:
            what = "configured"
        else:
            what = "activated"
        path = (what, member.digest or "", member.configuration or "")
        self._record(member, what, work, now, path=path)

    def _note_reverted(self, work: Work, member: MemberRecord, now: datetime) -> None:
        path = ("reverted", member.digest or "", member.configuration or "")
        self._record(member, "reverted", work, now, outcome="reverted", path=path)

    def _record(
        self,
        member: MemberRecord,
        what: str,
        work: Work,
        now: datetime,
        *,
        outcome: Literal["done", "reverted", "failed"] = "done",
        path: tuple[str, str, str] | None = None,
    ) -> None:
        journal = self._bench.journals.load(Purl(member.package))
        before = journal.activation(member.before)
        old, new = (None if before is None else before.digest), member.digest
        if what == "configured":
            old, new = (None if before is None else before.configuration), member.configuration
        if what == "deleted":
            old, new = member.digest, None
        number = member.number or f"serial-{work.serial}"
        self._ledger.record(
            f"{member.package}#{number}#{what}#{member.digest}",
            ChangeReport(
                at=instant(now),
                package=member.package,
                what=what,
                before=old,
                after=new,
                outcome=outcome,
                why=work.reason,
                authority=member.authority,
            ),
            path=path,
        )

    def tidy(self, work: Work) -> None:
        """Remove what nobody can need any more: old activations and copies of data."""
        for member in work.members:
            if not member.number:
                continue
            package = Purl(member.package)
            if work.state is State.FAILED:
                copies = dict(self._bench.journals.load(package).snapshots)
                copies.pop(str(member.number), None)
                self._bench.journals.change(package, snapshots=copies)
            self.prune(package)

    def prune(self, package: Purl) -> None:
        """Keep the activation that runs, those that wait or can be gone back to, and their copies."""
        journal = self._bench.journals.load(package)
        links = self._bench.activations
        keep = {links.number(package, name) for name in ("current", "next", "previous")}
        if journal.work is not None:
            for member in journal.work.members:
                keep |= {member.number, member.before}
        for number in links.numbers(package):
            if number not in keep:
                links.drop(package, number)
        newest = sorted((int(number) for number in journal.snapshots), reverse=True)
        copies = set(newest[: self.retention])
        if self._bench.world.snapshots.numbers(package) - copies:
            self._bench.world.snapshots.prune(package, copies)
        kept = {number for number in keep if number is not None}
        self._bench.journals.save(
            package,
            msgspec.structs.replace(
                journal,
                activations={n: r for n, r in journal.activations.items() if int(n) in kept},
                snapshots={n: s for n, s in journal.snapshots.items() if int(n) in copies},
            ),
        )
