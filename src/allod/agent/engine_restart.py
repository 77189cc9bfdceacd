"""The book of scheduled restarts: journalled before they are done, never repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from allod.agent.twin import Damaged, TwinFile
from allod.domain.desired import OWNER
from allod.domain.resolution import ResolvedRestart
from allod.domain.restarts import Decision, RestartRecord, RestartState, decide, restart_key
from allod.wire.codec import instant, parse_instant
from allod.wire.report import Authority, RestartReport

_REMEMBERED: Final = 1000
MAX_DELEGATED: Final = 32  #: orders of each delegate that are heeded at a time


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
        self._write({key: entry})

    def miss(self, keys: Iterable[str], boot: str, now: datetime) -> None:
        """It is too late for these; durable when it returns."""
        entry = _Entry(state=RestartState.MISSED, boot=boot, at=instant(now))
        fresh = dict.fromkeys(keys, entry)
        if fresh:
            self._write(fresh)

    def _write(self, fresh: dict[str, _Entry]) -> None:
        entries = self._entries | fresh
        for whose in {_of(key) for key in fresh}:
            same = [name for name in entries if _of(name) == whose]  # nobody crowds others out
            most = 2 * MAX_DELEGATED if whose else _REMEMBERED
            for oldest in sorted(same, key=lambda name: entries[name].at)[:-most]:
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

    def report(
        self, orders: Iterable[ResolvedRestart], waits: Mapping[str, str]
    ) -> list[RestartReport]:
        """As it stands in the report, with what each waits for, by key."""
        told = []
        for order in orders:
            key, restart = key_of(order), order.restart
            record = self._record(key)
            state: Literal["waiting", "done", "missed"] = "waiting"
            at = restart.at
            if record is not None and record.state is not RestartState.BEGUN:
                state = "done" if record.state is RestartState.DONE else "missed"
                at = record.at
            told.append(
                RestartReport(
                    id=restart.id,
                    state=state,
                    at=instant(at),
                    manager=order.manager,
                    waits_for=waits.get(key, ""),
                )
            )
        return told


def heeded(orders: Iterable[ResolvedRestart], now: datetime) -> tuple[ResolvedRestart, ...]:
    """The owner's orders, and of each delegate's the next few: more are no orders, but a flood."""
    found: list[ResolvedRestart] = []
    counts: dict[str, int] = {}
    for order in sorted(orders, key=lambda one: (one.restart.latest < now, one.restart.at)):
        counts[order.manager] = counts.get(order.manager, 0) + 1
        if order.manager == OWNER or counts[order.manager] <= MAX_DELEGATED:
            found.append(order)
    return tuple(found)


def _of(key: str) -> str:
    """Whose restart a key names; empty: the owner's."""
    return key.split("/")[1] if key.startswith("by/") else ""


def key_of(order: ResolvedRestart) -> str:
    """Under what an order is remembered."""
    return restart_key(order.scope, order.restart, order.manager)
