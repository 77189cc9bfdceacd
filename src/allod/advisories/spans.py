"""Which versions a range of an OSV record means (OSV schema 1.8, "Evaluation").

Events come unsorted. They are sorted by their version, and the affected versions are those from an
`introduced` to the next `fixed` (without it) or `last_affected` (with it). The schema does not say
which of several events of one version comes first, and real records write contiguous spans in any
order (PYSEC-2022-236). Events of one version are therefore counted: where one span ends and another
one begins, versions stay affected; where one begins and ends (`introduced: 1, fixed: 1`), nothing
is.

A version that its order cannot read leaves two answers, and both are kept: what is affected
wherever the unread one lies (`surely`), and what could be (`perhaps`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

from allod.advisories.advisory import Bound, Event, Range
from allod.advisories.orders import Order
from allod.errors import InvalidInput

BEGINNING: Final = "0"  #: below every version, also below those that are smaller than 0
INFINITY: Final = "*"  #: of `limit`: there is none

_Place = tuple[int, Any]  #: (0, None): the beginning; (1, key): a version
_FIRST: Final[_Place] = (0, None)


class Span(NamedTuple):
    """Affected versions without a gap."""

    low: _Place
    high: _Place | None  #: None: no end
    closed: bool  #: whether `high` itself is affected
    opened: str  #: the version of `introduced`, as written
    shut: Event | None

    def holds(self, place: _Place) -> bool:
        """Whether a version lies in it."""
        if place < self.low:
            return False
        if self.high is None or place < self.high:
            return True
        return self.closed and place == self.high

    def __str__(self) -> str:
        if self.shut is None:
            return f"introduced {self.opened}, no fix named"
        end = "fixed" if self.shut.bound is Bound.FIXED else "last affected"
        return f"introduced {self.opened}, {end} {self.shut.version}"


_ALL: Final = Span(_FIRST, None, closed=False, opened=BEGINNING, shut=None)


@dataclass(frozen=True, slots=True)
class Spans:
    """What one range means in one order."""

    surely: tuple[Span, ...]
    perhaps: tuple[Span, ...]
    limits: tuple[_Place, ...]  #: only versions below one of them are meant; none: no limit
    other_limits: bool  #: whether there are limits that the order cannot read
    unread: tuple[str, ...]  #: versions that the order cannot read

    def surely_hold(self, place: _Place) -> Span | None:
        """The span that a version is in, wherever the unread versions lie."""
        limited = bool(self.limits) or self.other_limits
        if limited and not any(place < limit for limit in self.limits):
            return None
        return next((span for span in self.surely if span.holds(place)), None)

    def perhaps_hold(self, place: _Place) -> bool:
        """Whether a version could be affected."""
        limited = bool(self.limits) and not self.other_limits
        if limited and not any(place < limit for limit in self.limits):
            return False
        return any(span.holds(place) for span in self.perhaps)


def place_of(order: Order, version: str) -> _Place:
    """Where a version lies.

    Raises:
        InvalidInput: `bad-version`.
    """
    return (1, order.key(version))


def spans_of(meant: Range, order: Order) -> Spans:
    """The affected versions of a range, in an order."""
    read: list[tuple[_Place, Event]] = []
    unread: list[Event] = []
    for event in meant.events:
        place = _read(order, event)
        if place is None:
            unread.append(event)
        else:
            read.append((place, event))
    events = [one for one in read if one[1].bound is not Bound.LIMIT]
    limits = tuple(place for place, event in read if event.bound is Bound.LIMIT)
    whole = _walk(events)
    lost = {event.bound for event in unread}
    sure = () if lost & {Bound.FIXED, Bound.LAST_AFFECTED} else whole
    # what begins nobody knows where may begin right at any version
    perhaps = (_ALL,) if Bound.INTRODUCED in lost else whole
    unknown = tuple(event.version for event in unread)
    return Spans(sure, perhaps, limits, Bound.LIMIT in lost, unknown)


def _read(order: Order, event: Event) -> _Place | None:
    """Where an event lies; None where nobody can tell."""
    if event.version == BEGINNING and event.bound in {Bound.INTRODUCED, Bound.FIXED}:
        return _FIRST
    if event.version == INFINITY and event.bound is Bound.LIMIT:
        return (2, None)
    try:
        return place_of(order, event.version)
    except InvalidInput:
        return None


def _walk(events: Iterable[tuple[_Place, Event]]) -> tuple[Span, ...]:
    """The spans between sorted events."""
    found: list[Span] = []
    opened: tuple[_Place, str] | None = None
    for place, group in groupby(sorted(events, key=itemgetter(0)), key=itemgetter(0)):
        begins: list[Event] = []
        ends: list[Event] = []
        lasts: list[Event] = []
        kinds = {Bound.INTRODUCED: begins, Bound.FIXED: ends, Bound.LAST_AFFECTED: lasts}
        for _, event in group:
            kinds[event.bound].append(event)
        depth = (opened is not None) + len(begins)
        if depth > len(ends) + len(lasts):  # it goes on behind this version
            opened = opened or (place, begins[0].version)
        elif depth > len(ends):  # this version is the last
            low, first = opened or (place, begins[0].version)
            found.append(Span(low, place, closed=True, opened=first, shut=lasts[0]))
            opened = None
        elif opened is not None:
            found.append(Span(opened[0], place, closed=False, opened=opened[1], shut=ends[0]))
            opened = None
    if opened is not None:
        found.append(Span(opened[0], None, closed=False, opened=opened[1], shut=None))
    return tuple(found)
