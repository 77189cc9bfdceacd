"""Ordered restarts: decided by the terms of whoever orders them, noted, and done after the report."""

from __future__ import annotations

from datetime import datetime

from allod.agent.engine_authority import restart_receipt
from allod.agent.engine_context import Context, Due, Outcome
from allod.agent.engine_restart import RestartBook, heeded, key_of
from allod.agent.grounds import DEVICE
from allod.agent.reporting import Ledger
from allod.agent.view import View
from allod.domain import decision as terms
from allod.domain.actions import Waiting
from allod.domain.desired import Restart
from allod.domain.ids import Purl
from allod.domain.judgement import Finding
from allod.domain.resolution import ResolvedRestart
from allod.domain.restarts import Decision, RestartState
from allod.domain.surroundings import busy
from allod.wire.codec import instant
from allod.wire.report import ChangeReport


class RestartKeeper:
    """Decides on ordered restarts, and does the one that is due, by the terms of whoever orders it.

    Args:
        book: what became of every restart.
        ledger: where restarts are noted for the report.
        context: what this run decides by.
        view: for receipts.
    """

    def __init__(self, book: RestartBook, ledger: Ledger, context: Context, view: View) -> None:
        self._book = book
        self._ledger = ledger
        self._context = context
        self._view = view

    def look(self, outcome: Outcome, boot: str, now: datetime) -> None:
        """Decide on all; the one that is due is left in the outcome, to be done after the report."""
        resolved = outcome.resolved
        why = resolved.holds[0] if resolved.holds else ""
        why = why or busy(outcome.inhibitions, resolved.override_inhibitors)
        said: dict[str, terms.Decision] = {}
        waits: dict[str, str] = {}
        missed: list[str] = []

        def held_up(order: ResolvedRestart) -> bool:
            key = key_of(order)
            said[key] = found = self._context.restart(order)
            _tell(outcome, order, found)
            says = [f"{one.code}: {one.says}" for one in (*found.refusals, *found.waits)]
            waits[key] = "; ".join([*([why] if why else []), *says])
            return bool(waits[key])

        orders = heeded(resolved.restart_orders, now)
        for key, order, decision in self._book.decide(orders, now=now, boot=boot, busy=held_up):
            if decision is Decision.FINISH:
                self._finish(key, order.restart, boot, now)
            elif decision is Decision.MISS:
                missed.append(key)
            elif decision is Decision.BEGIN and outcome.restart is None:
                authority = restart_receipt(self._view, order, said[key].texts)
                outcome.restart = Due(key, order, authority)
        self._book.miss(missed, boot, now)
        outcome.restarts = self._book.report(orders, waits)

    def _finish(self, key: str, restart: Restart, boot: str, now: datetime) -> None:
        self._ledger.record(
            f"restart#{key}",
            ChangeReport(
                at=instant(now),
                package="",
                what="restarted",
                after=restart.id,
                authority=self._book.authority(key),
            ),
            path=None,
        )
        self._book.write(key, RestartState.DONE, boot, now)


def _tell(outcome: Outcome, order: ResolvedRestart, found: terms.Decision) -> None:
    """What the terms say against a restart: in the findings of the run."""
    subject = Purl(f"restart {order.restart.id} by {order.manager}")
    for one in found.refusals:
        outcome.findings.refusals.append(Finding(one.code, subject, one.says))
    if not found.waits or found.refusals:
        return
    outcome.findings.waiting.append(
        Waiting(
            DEVICE,
            "restart",
            waits_for="; ".join(f"{one.code}: {one.says}" for one in found.waits),
            until=found.until,
            codes=tuple(one.code for one in found.waits),
            attempt=order.attempt,
        )
    )
