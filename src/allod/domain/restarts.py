"""Scheduled restarts: done once between `at` and `latest`, never repeated.

Whether a restart took place is told by the boot id, which differs after every restart of the
machine: one that was begun, and after which the boot id is another, is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from allod.domain.desired import OWNER, Restart
from allod.domain.ids import Scope


class RestartState(StrEnum):
    """What became of a scheduled restart."""

    BEGUN = "begun"
    DONE = "done"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class RestartRecord:
    """What the device remembers of one, for ever."""

    state: RestartState
    boot: str  #: the boot during which it was begun
    at: datetime


class Decision(StrEnum):
    """What is to be done about one."""

    NOTHING = "nothing"  #: over, or not due
    WAIT = "wait"  #: due, but somebody must not be disturbed
    BEGIN = "begin"  #: journal, then restart
    FINISH = "finish"  #: it took place: note so
    MISS = "miss"  #: it is too late: note so


def restart_key(scope: Scope, restart: Restart, manager: str = OWNER) -> str:
    """Under what it is remembered; a delegate's are apart from the owner's, whatever their ids."""
    if manager != OWNER:
        return f"by/{manager}/{scope}#{restart.id}"
    return f"{scope}#{restart.id}"


def decide(
    restart: Restart, record: RestartRecord | None, *, now: datetime, boot: str, busy: bool
) -> Decision:
    """What is to be done about `restart`.

    One that was begun is not begun again, also where this boot goes on: whether the machine was
    told is not known after a cut, and a restart is rather missed than repeated.

    Args:
        restart: as ordered.
        record: what is remembered of it.
        now: the time that the device decides by.
        boot: id of this boot.
        busy: whether a restart would disturb.
    """
    if record is not None and record.state is not RestartState.BEGUN:
        return Decision.NOTHING
    if record is not None and record.boot != boot:
        return Decision.FINISH
    if now > restart.latest:
        return Decision.MISS
    if record is not None or now < restart.at:
        return Decision.NOTHING
    return Decision.WAIT if busy else Decision.BEGIN
