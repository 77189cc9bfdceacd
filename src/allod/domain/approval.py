"""Approvals: what people signed about one change of one package (docs/spec/approval.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

NOBODY: Final = frozenset[str]()


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's word for a change, verified: made by `trust.approvals` alone."""

    kind: str  #: as whom they approve: qa, operations, …
    person: str
    at: datetime  #: as they say
    ticket: str = ""
    message: str = ""


def by_kind(approvals: Iterable[Approval]) -> Mapping[str, frozenset[str]]:
    """Kind -> the people who approved as such."""
    found: dict[str, set[str]] = {}
    for one in approvals:
        found.setdefault(one.kind, set()).add(one.person)
    return {kind: frozenset(people) for kind, people in found.items()}


def seated(needed: tuple[tuple[str, int], ...], approved: Mapping[str, frozenset[str]]) -> int:
    """How many places can be filled, each by another person of its kind."""
    people = [approved.get(kind, NOBODY) for kind, _ in needed]
    if len(NOBODY.union(*people)) == sum(map(len, people)):
        # Nobody approved as two kinds: there is nothing to choose.
        return sum([min(len(of), count) for of, (_, count) in zip(people, needed, strict=True)])
    places = [kind for kind, count in needed for _ in range(count)]
    held: dict[str, int] = {}

    def seat(place: int, tried: set[str]) -> bool:
        for person in sorted(approved.get(places[place], NOBODY)):
            if person in tried:
                continue
            tried.add(person)
            if person not in held or seat(held[person], tried):
                held[person] = place
                return True
        return False

    return sum(seat(place, set()) for place in range(len(places)))
