"""What terms allow, said once more and naively: the judge that judges the judge.

Nothing here comes from `allod.domain`: each rule is written down again from its description in
docs/spec/delegation.md, in the simplest words that do, however slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any, Final

from allod.testing.fleet_words import Rule, Span, Ware

#: What an owner may set aside by name for one package.
SET_ASIDE: Final = frozenset(
    {"version", "access", "soak", "window", "rate", "approvals", "consent"}
)
#: What changes what runs.
FELT: Final = frozenset({"activate", "configure", "delete", "restart"})
_AGENT: Final = "pkg:generic/allod/agent"


@dataclass(frozen=True, slots=True)
class Deed:
    """A change that a device makes."""

    verb: str
    scope: str
    package: str
    ware: Ware | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What was so when it was made."""

    now: datetime
    running: Ware | None = None
    known_since: datetime | None = None
    witnessed: datetime | None = None
    changed: tuple[datetime, ...] = ()
    approved: tuple[tuple[str, str], ...] = ()  #: kind, person
    consent: bool | None = None
    mends: frozenset[tuple[str, str]] = frozenset()  #: source, flaw
    accepts: frozenset[str] = frozenset()
    overrides: frozenset[str] = field(default_factory=frozenset)


def against(rules: Iterable[Rule], deed: Deed, facts: Facts) -> list[str]:
    """The names of the terms that do not let it through; empty: it is lawful."""
    found = []
    for rule in rules:
        aside = rule.kind in facts.overrides and rule.kind in SET_ASIDE
        if not aside and not _lets_through(rule, deed, facts):
            found.append(rule.kind)
    return found


def covers(pattern: str, package: str) -> bool:
    """Whether a name or pattern speaks of a package."""
    if pattern.endswith("/*"):
        return package.startswith(pattern[: -len("*")])
    return pattern == package


def _lets_through(rule: Rule, deed: Deed, facts: Facts) -> bool:
    if rule.kind in _IN_TIME:
        return deed.verb not in FELT or _IN_TIME[rule.kind](rule.value, deed, facts)
    return _ALWAYS[rule.kind](rule.value, deed, facts)


def is_open(spans: Iterable[Span], now: datetime) -> bool:
    """Whether one of the spans holds `now`: minute by minute back to where it may have begun."""
    for span in spans:
        for back in range(span.minutes):
            at = now - timedelta(minutes=back)
            if at.weekday() in span.days and at.hour * 60 + at.minute == span.start:
                return True
    return False


def _names(allowed: Iterable[str], deed: Deed) -> bool:
    if deed.package in allowed:
        return True
    root = deed.ware is not None and "root" in deed.ware.access
    if deed.package == _AGENT or root:
        return False
    return any(covers(one, deed.package) for one in allowed)


def _parts(version: str) -> list[int] | None:
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            return None
        numbers.append(int(part))
    return [*numbers, 0, 0, 0][:3]


def _version(value: Any, deed: Deed, facts: Facts) -> bool:
    rule, sources = value
    if deed.ware is None:
        return True
    if facts.running is None:
        return False
    had = facts.running.access
    opens = any(name not in had and name.split(":")[0] not in had for name in deed.ware.access)
    mends = any(source in sources for source, _ in facts.mends) and not opens
    if facts.running.version == deed.ware.version:
        return rule == "same-minor" or mends
    old, new = _parts(facts.running.version), _parts(deed.ware.version)
    if old is None or new is None or new < old:
        return False
    if rule == "same-minor":
        return old[:2] == new[:2]
    return mends


def _access(allowed: frozenset[str], deed: Deed, facts: Facts, *, strict: bool) -> bool:
    if deed.ware is None:
        return True
    has = set(allowed)
    if facts.running is not None:
        has |= facts.running.access
    if not strict:
        has |= facts.accepts
    return all(name in has or name.split(":")[0] in has for name in deed.ware.access)


def _approved(needed: Iterable[tuple[str, int]], facts: Facts) -> bool:
    """Whether the places can be filled, each by another person: every way is tried."""
    places = [kind for kind, count in needed for _ in range(count)]
    people = sorted({person for _, person in facts.approved})
    said = set(facts.approved)
    return any(
        all((kind, person) in said for kind, person in zip(places, seated, strict=True))
        for seated in permutations(people, len(places))
    )


def new_access(ware: Ware, running: Ware | None, accepts: frozenset[str]) -> list[str]:
    """What a release needs and nobody took on: what every order is held to, with or without terms."""
    has = set(accepts) | (set() if running is None else set(running.access))
    return sorted(name for name in ware.access if name not in has and name.split(":")[0] not in has)


def _soaked(seconds: int, deed: Deed, facts: Facts) -> bool:
    since = facts.known_since
    return deed.ware is None or (
        since is not None and (facts.now - since).total_seconds() >= seconds
    )


def _seldom(value: tuple[int, int], deed: Deed, facts: Facts) -> bool:
    most, seconds = value
    return sum((facts.now - at).total_seconds() < seconds for at in facts.changed) < most


def _leased(seconds: int, deed: Deed, facts: Facts) -> bool:
    seen = facts.witnessed
    return seen is not None and (facts.now - seen).total_seconds() <= seconds


_Says = Callable[[Any, Deed, Facts], bool]

#: What is asked of every change.
_ALWAYS: Final[Mapping[str, _Says]] = {
    "scopes": lambda value, deed, facts: deed.scope in value,
    "verbs": lambda value, deed, facts: deed.verb in value,
    "packages": lambda value, deed, facts: _names(value, deed),
    "version": _version,
    "access": lambda value, deed, facts: _access(value, deed, facts, strict=False),
    "own-access": lambda value, deed, facts: _access(value, deed, facts, strict=True),
    "approvals": lambda value, deed, facts: _approved(value, facts),
    "lease": _leased,
    "until": lambda value, deed, facts: facts.now < value,
}

#: What is asked only of what changes what runs.
_IN_TIME: Final[Mapping[str, _Says]] = {
    "soak": _soaked,
    "window": lambda value, deed, facts: is_open(value, facts.now),
    "rate": _seldom,
    "consent": lambda value, deed, facts: facts.consent is True,
}


def mended(ware: Ware | None, running: Ware | None) -> Mapping[str, frozenset[str]]:
    """What the new one mends and the old one does not, by the provider's own word."""
    if ware is None:
        return {}
    had = set() if running is None else set(running.mends)
    return {"provider": frozenset(ware.mends) - had}
