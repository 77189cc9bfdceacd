"""Changes and facts from which tests of terms are made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from allod.domain.condition import Change, ChangeFacts, Reason, Term, Verb
from allod.domain.ids import GroupName, ProviderName, Purl, Scope, Version, group_scope
from allod.domain.release import Kind, Release

NOW = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)  # a Sunday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TOASTER = Purl("pkg:generic/acme/toaster")
ACME = ProviderName("acme")
KITCHEN, HOUSE = group_scope(GroupName("kitchen")), group_scope(GroupName("house"))


def release(version: str = "2.0.1", *access: str, **fields: Any) -> Release:
    """A release of the toaster."""
    return Release(TOASTER, Version(version), ACME, Kind.TREE, access=frozenset(access), **fields)


def change(verb: Verb = Verb.ACTIVATE, /, scope: Scope = KITCHEN, **fields: Any) -> Change:
    """A change of the toaster."""
    return Change(verb, scope, **{"package": TOASTER, "release": release(), **fields})


def asked(term: Term, of: Change, /, now: datetime = NOW, **facts: Any) -> Reason:
    """What one term says."""
    return term.judge(of, ChangeFacts(**facts), now)


def told(term: Term, of: Change, /, now: datetime = NOW, **facts: Any) -> tuple[str, str, str]:
    """Code, verdict and fact."""
    reason = asked(term, of, now, **facts)
    return reason.code, reason.verdict.value, reason.fact
