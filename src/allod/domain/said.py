"""What differs between two values, said as data and in one line: the words that others are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was."""

    subject: str  #: a scope ("groups/kitchen") or a file ("fleet.json")
    what: str  #: stable kebab-case name of what differs
    says: str  #: one line for people
    package: str | None = None
    before: str | None = None
    after: str | None = None
    path: str = ""  #: which field, where a document is compared field by field


def plain(
    subject: str, what: str, name: str, before: str | None, after: str | None, **more: Any
) -> Difference:
    """One difference, as `before → after`."""
    if before is None:
        says = f"{name}: {after}"
    elif after is None:
        says = f"{name}: no longer {before}"
    else:
        says = f"{name}: {before} → {after}"
    return Difference(subject, what, says, before=before, after=after, **more)


def simple(
    subject: str, what: str, name: str, before: Any, after: Any, **more: Any
) -> Iterator[Difference]:
    """One difference if the two differ, shown as texts."""
    if before != after:
        old, new = (None if value is None else str(value) for value in (before, after))
        yield plain(subject, what, name, old, new, **more)


def names(
    subject: str, what: str, name: str, before: Iterable[str], after: Iterable[str], **more: Any
) -> Iterator[Difference]:
    """One difference a name that came or went."""
    old, new = frozenset(before), frozenset(after)
    for gone in sorted(old - new):
        yield Difference(subject, f"{what}-gone", f"{name}: {gone} no longer", before=gone, **more)
    for came in sorted(new - old):
        yield Difference(subject, f"{what}-new", f"{name}: {came}", after=came, **more)
