"""The book of scheduled restarts: journalled before they are done, never repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from allod.agent.twin import Damaged, TwinFile
from allod.domain.resolution import ResolvedRestart
from allod.domain.restarts import Decision, RestartRecord, RestartState, decide, restart_key
from allod.wire.codec import instant, parse_instant
from allod.wire.report import Authority, RestartReport

_REMEMBERED: Final = 1000


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    state: RestartState
    boot: str
    at: str
    authority: Authority | None = None  #: under which it was begun


class RestartBook:
    """What became of every scheduled restart.

    Args:
        directory: where the book lies.
    """

    def __init__(self, directory: Path) -> None:
        self._twin = TwinFile(directory, "restarts")
        self.damaged = False
        self._entries = self._load()

    def _load(self) -> dict[str, _Entry]:
        try:
            content = self._twin.load()
            if content is not None:
                return msgspec.json.decode(content.data, type=dict[str, _Entry])
        except (Damaged, msgspec.DecodeError):
            self.damaged = True
        return {}

    def _record(self, key: str) -> RestartRecord | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        return RestartRecord(entry.state, entry.boot, parse_instant(entry.at))

    def write(
        self,
        key: str,
        state: RestartState,
        boot: str,
        now: datetime,
        authority: Authority | None = None,
    ) -> None:
        """Remember what became of one; durable when it returns."""
        entry = _Entry(
            state=state, boot=boot, at=instant(now), authority=authority or self.authority(key)
        )
        entries = {**self._entries, key: entry}
        for oldest in sorted(entries, key=lambda name: entries[name].at)[:-_REMEMBERED]:
            del entries[oldest]
        self._twin.save(msgspec.json.encode(entries))
        self._entries = entries
        self.damaged = False

    @property
    def used(self) -> bool:
        """Whether any restart was ever begun."""
        states = {entry.state for entry in self._entries.values()}
        return self.damaged or not states <= {RestartState.MISSED}

    def authority(self, key: str) -> Authority | None:
        """The receipt of one that was begun."""
        entry = self._entries.get(key)
        return None if entry is None else entry.authority

    def decide(
        self,
        orders: Iterable[ResolvedRestart],
        *,
        now: datetime,
        boot: str,
        busy: Callable[[ResolvedRestart], bool],
    ) -> list[tuple[str, ResolvedRestart, Decision]]:
        """What is to be done about each.

        After the loss of both copies of the book nothing that was due before is done: a restart
        is rather missed than repeated.
        """
        found = []
        for order in orders:
            restart, key = order.restart, key_of(order)
            decision = decide(restart, self._record(key), now=now, boot=boot, busy=False)
            if decision is Decision.BEGIN and self.damaged:
                decision = Decision.MISS
            if decision is Decision.BEGIN and busy(order):
                decision = Decision.WAIT
            found.append((key, order, decision))
        return found

    def report(self, orders: Iterable[ResolvedRestart]) -> list[RestartReport]:
        """As it stands in the report."""
        told = []
        for order in orders:
            record, restart = self._record(key_of(order)), order.restart
            state: Literal["waiting", "done", "missed"] = "waiting"
            at = restart.at
            if record is not None and record.state is not RestartState.BEGUN:
                state = "done" if record.state is RestartState.DONE else "missed"
                at = record.at
            told.append(
                RestartReport(id=restart.id, state=state, at=instant(at), manager=order.manager)
            )
        return told


def key_of(order: ResolvedRestart) -> str:
    """Under what an order is remembered."""
    return restart_key(order.scope, order.restart, order.manager)
