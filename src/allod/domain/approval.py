"""Approvals: what people signed about one change of one package (docs/spec/approval.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime


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
