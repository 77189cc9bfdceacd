"""Whether a change is allowed: one pure function, on the device, in a preview and in the server.

Every term that is in force for the change is asked, and nothing else decides: a term more never
allows more, and the order of terms changes nothing but the order of the reasons.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from allod.domain.condition import Change, ChangeFacts, Reason, Term, Verdict
from allod.domain.terms import OVERRIDABLE

_HOLDS: Final = Verdict.HOLDS
_OVERRIDDEN: Final = Verdict.OVERRIDDEN


class Decision(NamedTuple):
    """Whether a change is allowed, and what each term said."""

    allowed: bool
    reasons: tuple[Reason, ...]

    @property
    def refusals(self) -> tuple[Reason, ...]:
        """The terms that forbid it."""
        return tuple(one for one in self.reasons if one.verdict is Verdict.REFUSES)

    @property
    def waits(self) -> tuple[Reason, ...]:
        """The terms for which it is too early."""
        return tuple(one for one in self.reasons if one.verdict is Verdict.WAITS)

    @property
    def until(self) -> datetime | None:
        """When the last of those terms would let it through; None: not by time alone."""
        return let_through(self.waits)

    @property
    def texts(self) -> tuple[str, ...]:
        """What each term said, for reports and people."""
        return tuple(
            f"{one.code}: {one.says}"
            + (" (the owner set it aside)" if one.verdict is Verdict.OVERRIDDEN else "")
            for one in self.reasons
        )


def let_through(waits: Iterable[Reason]) -> datetime | None:
    """When time alone ends the last of these waits; None: something else has to happen."""
    moments = [one.until for one in waits]
    known = [at for at in moments if at is not None]
    return max(known) if known and len(known) == len(moments) else None


def decide(change: Change, terms: Iterable[Term], facts: ChangeFacts, now: datetime) -> Decision:
    """Whether the terms allow a change.

    Args:
        change: what is to happen, by whose document.
        terms: all that are in force for it; without any, everything is allowed.
        facts: what is known where it is decided.
        now: the time that is decided by.
    """
    reasons = [term.judge(change, facts, now) for term in terms]
    if change.overrides:
        reasons = [_overridden(one, change) for one in reasons]
    stops = [one for one in reasons if one.verdict is not _HOLDS and one.verdict is not _OVERRIDDEN]
    return Decision(not stops, tuple(reasons))


def _overridden(reason: Reason, change: Change) -> Reason:
    """The owner's word, by name, against a term that may be set aside."""
    name = reason.term.name
    if reason.verdict is Verdict.HOLDS or name not in change.overrides & OVERRIDABLE:
        return reason
    return reason._replace(verdict=Verdict.OVERRIDDEN, until=None)
