"""Which records mean a component: the evaluation of the OSV schema (1.8), three-valued.

A version is meant if it lies in a range or is enumerated. Ranges of commits say nothing of
versions. What nobody can tell is `Undecided`, never clean:

* `only-commits`: the record knows commits only, and enumerates no versions;
* `bad-range`: a version in it cannot be ordered, and the answer depends on where it lies, or a
  range does not say where it begins;
* `no-range`: the record names the package, and no versions of it;
* `no-order`: nobody knows the order of the ecosystem's versions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from allod.advisories.advisory import Affected, Bound, Range, RangeKind
from allod.advisories.component import Component
from allod.advisories.finding import Candidate, Hit, Undecided
from allod.advisories.orders import SEMVER, Key, Order, order_of
from allod.advisories.spans import BEGINNING, Spans, place_of, spans_of
from allod.errors import InvalidInput

_NUMBERS: Final = re.compile("[0-9]+")


class Matched(NamedTuple):
    """What some records say of one component."""

    hits: tuple[Hit, ...]
    undecided: tuple[Undecided, ...]


class Answer(NamedTuple):
    """What one record says of one version."""

    matched: str = ""  #: the range or version in words; empty: it is not meant, or nobody knows
    code: str = ""  #: why nobody knows
    why: str = ""


NOT_MEANT: Final = Answer()


class Judge:
    """One record's word about one package, read once and asked about many versions."""

    def __init__(self, affected: Affected) -> None:
        self._affected = affected
        self._own = order_of(affected.ecosystem)
        self._ranges = [one for one in affected.ranges if one.kind is not RangeKind.GIT]
        self._read: dict[str, Sequence[Spans]] = {}

    def judge(self, version: str) -> Answer:
        """Whether it means a version."""
        affected = self._affected
        if not self._ranges and not affected.versions:
            return self._nothing()
        open_question: Answer | None = None
        for at, meant in enumerate(self._ranges):
            answer = self._in_range(at, meant, version)
            if answer.matched:
                return answer
            if answer.code and open_question is None:
                open_question = answer
        if self._enumerated(version):
            return Answer(f"version {version}, enumerated")
        return open_question or NOT_MEANT

    def fixed(self, version: str) -> tuple[str, ...]:
        """The versions that mend it: those above a version first, lowest first."""
        order = self._order_for(version)
        named = {
            event.version
            for meant in self._ranges
            if meant.kind is not RangeKind.OTHER
            for event in meant.events
            if event.bound is Bound.FIXED and event.version != BEGINNING
        }
        if order is None:
            return tuple(sorted(named))
        mine = order.key(version)
        ordered = sorted((key, one) for one in named if (key := key_of(order, one)) is not None)
        above = [one for key, one in ordered if key > mine]
        return (*above, *(one for key, one in ordered if not key > mine))

    def _nothing(self) -> Answer:
        """The answer of a record that says nothing of versions."""
        if self._affected.ranges:
            return Answer(code="only-commits", why="the record knows commits, and no versions")
        return Answer(code="no-range", why="the record names the package, and no versions of it")

    def _orders(self, kind: RangeKind) -> Iterable[Order]:
        """The orders that a range may be meant in, best first."""
        if kind is RangeKind.SEMVER:
            yield SEMVER
            if self._own is not None and self._own.name != SEMVER.name:
                yield self._own
        elif self._own is not None:
            yield self._own

    def _order_for(self, version: str) -> Order | None:
        """The order in which a version can be compared with those of the record."""
        for kind in sorted({meant.kind for meant in self._ranges}):
            for order in self._orders(kind):
                if key_of(order, version) is not None:
                    return order
        return None

    def _spans(self, at: int, order: Order) -> Spans:
        """A range in an order, read once."""
        kept = self._read.get(order.name)
        if kept is None:
            kept = [spans_of(one, order) for one in self._ranges]
            self._read[order.name] = kept
        return kept[at]

    def _in_range(self, at: int, meant: Range, version: str) -> Answer:
        """Whether a range means a version."""
        if meant.kind is RangeKind.OTHER:
            return Answer(code="bad-range", why="a range is of a kind that nobody here knows")
        if not any(event.bound is Bound.INTRODUCED for event in meant.events):
            if not meant.events and self._affected.versions:
                return NOT_MEANT
            return Answer(code="bad-range", why="a range does not say where it begins")
        read = self._best_read(at, meant, version)
        if read is None:
            why = f"nobody knows how {self._affected.ecosystem or 'no ecosystem'} orders {version}"
            return Answer(code="no-order", why=why)
        return _placed(*read, version)

    def _best_read(self, at: int, meant: Range, version: str) -> tuple[Order, Spans] | None:
        """The order that reads the version, and most of the range; nothing: none does."""
        best: tuple[Order, Spans] | None = None
        for order in self._orders(meant.kind):
            if key_of(order, version) is None:
                continue
            spans = self._spans(at, order)
            if not spans.unread:
                return order, spans
            best = best or (order, spans)
        return best

    def _enumerated(self, version: str) -> bool:
        """Whether a version is enumerated, however it is written."""
        listed = self._affected.versions
        if not listed:
            return False
        if version in listed:
            return True
        order = self._own
        mine = None if order is None else key_of(order, version)
        if order is None or mine is None:
            return False
        shape = _shape(version)
        alike = [one for one in listed if _shape(one) == shape]
        return any(key_of(order, one) == mine for one in alike)


def _placed(order: Order, spans: Spans, version: str) -> Answer:
    """Whether a version lies in a range."""
    place = place_of(order, version)
    span = spans.surely_hold(place)
    if span is not None:
        return Answer(str(span))
    if spans.unread and spans.perhaps_hold(place):
        names = ", ".join(repr(one[:60]) for one in spans.unread[:3])
        return Answer(code="bad-range", why=f"{order.name} cannot order {names}")
    return NOT_MEANT


def match(component: Component, candidates: Iterable[Candidate]) -> Matched:
    """What records about a component's package say of its version."""
    hits: list[Hit] = []
    undecided: list[Undecided] = []
    for candidate in candidates:
        if candidate.advisory.withdrawn:
            continue
        judge = Judge(candidate.affected)
        found = outcome(component, candidate, judge)
        if isinstance(found, Hit):
            hits.append(found)
        elif found is not None:
            undecided.append(found)
    return Matched(tuple(hits), tuple(undecided))


def outcome(component: Component, candidate: Candidate, judge: Judge) -> Hit | Undecided | None:
    """What one record says of a component; nothing: it is not meant."""
    answer = judge.judge(component.version)
    if answer.matched:
        return Hit(
            component,
            candidate.advisory,
            candidate.affected,
            answer.matched,
            judge.fixed(component.version),
        )
    if answer.code:
        return Undecided(component, candidate.advisory, answer.code, answer.why)
    return None


def key_of(order: Order, version: str) -> Key | None:
    """Where a version lies in an order; nothing where it cannot read it."""
    try:
        return order.key(version)
    except InvalidInput:
        return None


@lru_cache(maxsize=65536)
def _shape(version: str) -> tuple[str, ...]:
    """The numbers in it but the noughts: what versions that are equal have in common."""
    return tuple(number for one in _NUMBERS.findall(version) if (number := one.lstrip("0")))
