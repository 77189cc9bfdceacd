"""The update machine: everything that can happen to one piece of work on a unit.

A unit is a package, or several that go together. The table below is the whole machine; the shell
(`agent.engine`) writes the next state to the journal, performs the effect, and feeds the outcome
back. `INTERRUPTED` is what it feeds in when it finds a state in the journal after a power cut, so
that recovery takes the same way as everything else. Every effect is idempotent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class State(StrEnum):
    """Where a piece of work stands."""

    ABSENT = "absent"
    TRANSFERRING = "transferring"
    TRANSFERRED = "transferred"
    INSTALLING = "installing"
    INSTALLED = "installed"
    WAITING = "waiting"  #: prepared, for the next restart
    ACTIVATING = "activating"
    PROBATION = "probation"  #: runs, and has to prove its health
    COMMITTING = "committing"  #: healthy; from here there is no way back by itself
    ACTIVE = "active"
    REVERTING = "reverting"
    FAILED = "failed"
    DELETING = "deleting"


class Event(StrEnum):
    """What happened: an order of the plan, the outcome of an effect, or a restart."""

    TRANSFER = "transfer ordered"
    FETCHED = "fetched"
    FETCH_FAILED = "fetch failed"
    INSTALL = "install ordered"
    STAGED = "staged"
    STAGE_FAILED = "stage failed"
    STAGE_REFUSED = "stage refused"
    ARM = "activation at restart ordered"
    CANCEL = "order withdrawn"
    BOOT = "machine restarted"
    ACTIVATE = "activation ordered"
    SWITCHED = "switched"
    SWITCH_FAILED = "switch failed"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    COMMITTED = "committed"
    REVERTED = "reverted"
    DELETE = "deletion ordered"
    DELETED = "deleted"
    INTERRUPTED = "interrupted"
    GAVE_UP = "interrupted too often"


class Effect(StrEnum):
    """What the shell does after it has journalled the state."""

    NONE = "nothing"
    FETCH = "fetch"
    STAGE = "stage"
    UNSTAGE = "unstage"
    PREPARE = "prepare for the restart"
    UNPREPARE = "take back what was prepared"
    SWITCH = "switch"
    WATCH = "watch health"
    COMMIT = "commit"
    UNDO = "undo"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Step:
    """What follows."""

    state: State
    effect: Effect


_S, _V, _E = State, Event, Effect

#: (state, event) -> what follows. What is not here cannot happen.
TABLE: Final[Mapping[tuple[State, Event], Step]] = MappingProxyType(
    {
        (_S.ABSENT, _V.TRANSFER): Step(_S.TRANSFERRING, _E.FETCH),
        (_S.TRANSFERRING, _V.FETCHED): Step(_S.TRANSFERRED, _E.NONE),
        (_S.TRANSFERRING, _V.FETCH_FAILED): Step(_S.ABSENT, _E.NONE),
        (_S.TRANSFERRING, _V.INTERRUPTED): Step(_S.ABSENT, _E.NONE),
        (_S.TRANSFERRED, _V.INSTALL): Step(_S.INSTALLING, _E.STAGE),
        (_S.INSTALLING, _V.STAGED): Step(_S.INSTALLED, _E.NONE),
        (_S.INSTALLING, _V.STAGE_FAILED): Step(_S.TRANSFERRED, _E.UNSTAGE),
        (_S.INSTALLING, _V.STAGE_REFUSED): Step(_S.FAILED, _E.UNSTAGE),
        (_S.INSTALLING, _V.INTERRUPTED): Step(_S.TRANSFERRED, _E.NONE),
        (_S.INSTALLED, _V.ARM): Step(_S.WAITING, _E.PREPARE),
        (_S.WAITING, _V.INTERRUPTED): Step(_S.WAITING, _E.PREPARE),
        (_S.WAITING, _V.CANCEL): Step(_S.INSTALLED, _E.UNPREPARE),
        (_S.WAITING, _V.BOOT): Step(_S.ACTIVATING, _E.SWITCH),
        (_S.INSTALLED, _V.ACTIVATE): Step(_S.ACTIVATING, _E.SWITCH),
        (_S.ACTIVATING, _V.SWITCHED): Step(_S.PROBATION, _E.WATCH),
        (_S.ACTIVATING, _V.SWITCH_FAILED): Step(_S.REVERTING, _E.UNDO),
        (_S.ACTIVATING, _V.INTERRUPTED): Step(_S.ACTIVATING, _E.SWITCH),
        (_S.ACTIVATING, _V.GAVE_UP): Step(_S.REVERTING, _E.UNDO),
        (_S.PROBATION, _V.HEALTHY): Step(_S.COMMITTING, _E.COMMIT),
        (_S.PROBATION, _V.UNHEALTHY): Step(_S.REVERTING, _E.UNDO),
        (_S.PROBATION, _V.INTERRUPTED): Step(_S.PROBATION, _E.WATCH),
        (_S.PROBATION, _V.GAVE_UP): Step(_S.REVERTING, _E.UNDO),
        (_S.COMMITTING, _V.COMMITTED): Step(_S.ACTIVE, _E.NONE),
        (_S.COMMITTING, _V.INTERRUPTED): Step(_S.COMMITTING, _E.COMMIT),
        (_S.REVERTING, _V.REVERTED): Step(_S.FAILED, _E.NONE),
        (_S.REVERTING, _V.INTERRUPTED): Step(_S.REVERTING, _E.UNDO),
        (_S.TRANSFERRED, _V.DELETE): Step(_S.DELETING, _E.DELETE),
        (_S.INSTALLED, _V.DELETE): Step(_S.DELETING, _E.DELETE),
        (_S.DELETING, _V.DELETED): Step(_S.ABSENT, _E.NONE),
        (_S.DELETING, _V.INTERRUPTED): Step(_S.DELETING, _E.DELETE),
    }
)

#: States in which nothing is under way: the journal holds no work then.
REST: Final = frozenset({_S.ABSENT, _S.TRANSFERRED, _S.INSTALLED, _S.ACTIVE, _S.FAILED})

#: States in which what runs may be the old or the new: only the journal knows.
BETWEEN: Final = frozenset({_S.ACTIVATING, _S.PROBATION, _S.COMMITTING, _S.REVERTING})


class IllegalTransitionError(RuntimeError):
    """A bug: the event cannot happen in that state. Nothing was changed."""


def step(state: State, event: Event) -> Step:
    """What follows when `event` happens in `state`.

    Raises:
        IllegalTransitionError: the table has no such row.
    """
    found = TABLE.get((state, event))
    if found is None:
        raise IllegalTransitionError(f"{event.value!r} cannot happen in state {state.value!r}")
    return found


def as_markdown() -> str:
    """The table for the documentation."""
    rows = ["| state | event | next state | effect |", "|---|---|---|---|"]
    rows += [
        f"| {state} | {event} | {after.state} | {after.effect} |"
        for (state, event), after in TABLE.items()
    ]
    return "\n".join(rows) + "\n"
