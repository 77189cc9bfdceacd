"""Each alarm once: what a monitor sees now, against what it has said already.

A *lasting* sight is a condition that is looked at every time: it is raised when it has stood for
its patience, and over when a look that could see it does not. All else happened: it is said once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from allod.audit.findings import KINDS, SHOWN
from allod.domain.ids import sha256
from allod.wire.codec import Document, instant, parse_instant

TOLD: Final = 20  #: alarms of one code in one look that are named one by one
FORKS: Final = frozenset({"log-fork", "log-fork-unproven", "other-history"})  #: once is enough
_SUSPICIONS: Final = frozenset({"other-history", "log-consistency"})  #: that a proof replaces
KEPT: Final = 10_000  #: alarms that are remembered
PATIENCE: Final[Mapping[str, timedelta]] = {
    "no-quorum": timedelta(minutes=15),
    "server-unreachable": timedelta(hours=1),
    "publishing": timedelta(hours=1),
    "report-gap": timedelta(hours=1),
    "unlogged-report": timedelta(hours=1),
    "unlogged-binding": timedelta(hours=1),
    "unlogged-file": timedelta(hours=1),
    "log-withheld": timedelta(minutes=15),
}

Source = Literal["server", "log", "devices"]


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it should be, as one look saw it.

    Attributes:
        code: stable.
        subject: a log, role, file, device or the server.
        says: in words; parts of it may come from a hostile server.
        source: which part of the look saw it.
        index: of the log's entry, if it is about one.
        lasting: it is looked at every time.
        evidence: a file that shows it to a third party.
    """

    code: str
    subject: str
    says: str
    source: Source
    index: int | None = None
    lasting: bool = False
    evidence: str | None = None

    @property
    def about(self) -> str:
        """The device, if it is about one; an audit says which binding of it, too."""
        return self.subject.partition(" ")[0]

    @property
    def key(self) -> str:
        """The same thing seen again has the same; of what happened, the words say which it is."""
        about = f"{self.code} {self.subject} {'' if self.index is None else self.index}"
        once = self.lasting or self.code in FORKS
        return about if once else f"{about} {sha256(self.says.encode())}"


class Known(Document, frozen=True, kw_only=True):
    """An alarm that is remembered."""

    sight: Sight
    since: str
    raised: str | None = None  #: when it was said; None: it has not stood long enough
    resolved: str | None = None


class Event(Document, frozen=True, kw_only=True):
    """What is said, to people and to hooks."""

    type: Literal["allod.alarm"] = "allod.alarm"
    format: Literal[1] = 1
    fleet: str
    event: Literal["raised", "resolved"]
    at: str
    code: str
    subject: str
    says: str
    since: str
    index: int | None = None
    evidence: str | None = None
    means: str = ""
    do: str = ""


def step(
    known: Mapping[str, Known],
    seen: Iterable[Sight],
    looked: frozenset[Source],
    *,
    fleet: str,
    now: datetime,
) -> tuple[dict[str, Known], tuple[Event, ...]]:
    """What is known after a look, and what is to be said.

    Args:
        known: by key, after the look before.
        seen: in this look.
        looked: the parts that could be looked at whole; what the others saw stands as it was.
        fleet: whose monitor this is.
        now: of the look.
    """
    after, events = dict(known), []
    current = _telling(known, seen)
    for key, one in current.items():
        before = after.get(key)
        again = one.lasting and before is not None and before.resolved is not None
        if before is None or again:
            before = Known(sight=one, since=instant(now))
        elif before.raised is None:
            before = msgspec.structs.replace(before, sight=one)
        after[key] = before
        waited = now - parse_instant(before.since)
        if before.raised is None and waited >= _patience(one):
            after[key] = msgspec.structs.replace(before, raised=instant(now))
            events.append(_event(fleet, "raised", after[key], now))
    for key, standing in known.items():
        sight = standing.sight
        if key in current or not sight.lasting or sight.source not in looked:
            continue
        if standing.raised is None:
            del after[key]
        elif standing.resolved is None:
            after[key] = msgspec.structs.replace(standing, resolved=instant(now))
            events.append(_event(fleet, "resolved", after[key], now))
    return _kept(after), _bounded(events, fleet, now)


def _telling(known: Mapping[str, Known], seen: Iterable[Sight]) -> dict[str, Sight]:
    """By key; of whom, or of which log, a fork is proven, nothing less is said of it."""
    current = {one.key: one for one in seen}
    sights = (*(one.sight for one in known.values()), *current.values())
    forked = {one.about for one in sights if one.code == "log-fork"}
    return {
        key: one
        for key, one in current.items()
        if one.lasting or one.code not in _SUSPICIONS or one.about not in forked
    }


def standing(known: Mapping[str, Known]) -> tuple[Known, ...]:
    """The lasting alarms that were raised and are not over."""
    return tuple(
        one
        for one in known.values()
        if one.sight.lasting and one.raised is not None and one.resolved is None
    )


def _patience(sight: Sight) -> timedelta:
    return PATIENCE.get(sight.code, timedelta(0)) if sight.lasting else timedelta(0)


def _event(fleet: str, event: Literal["raised", "resolved"], known: Known, now: datetime) -> Event:
    sight = known.sight
    kind = KINDS.get(sight.code)
    return Event(
        fleet=fleet,
        event=event,
        at=instant(now),
        code=sight.code,
        subject=sight.subject[:SHOWN],
        says=sight.says[:SHOWN],
        since=known.since,
        index=sight.index,
        evidence=sight.evidence,
        means="" if kind is None else kind.means,
        do="" if kind is None else kind.do,
    )


def _bounded(events: Sequence[Event], fleet: str, now: datetime) -> tuple[Event, ...]:
    """Whoever can append to the log must not be able to drown what matters."""
    told: list[Event] = []
    more: dict[tuple[str, Literal["raised", "resolved"]], int] = {}
    counts: dict[tuple[str, str], int] = {}
    for one in events:
        kind = (one.code, one.event)
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] <= TOLD:
            told.append(one)
        else:
            more[kind] = more.get(kind, 0) + 1
    at = instant(now)
    for (code, event), count in more.items():
        says = f"and {count} more of this kind; 'allod audit verify' shows them"
        told.append(
            Event(fleet=fleet, event=event, at=at, code=code, subject="others", says=says, since=at)
        )
    return tuple(told)


def _kept(known: dict[str, Known]) -> dict[str, Known]:
    """The oldest that are past are forgotten first; what stands is never forgotten."""
    past = [key for key, one in known.items() if not one.sight.lasting or one.resolved is not None]
    for key in past[: max(0, len(known) - KEPT)]:
        del known[key]
    return known
