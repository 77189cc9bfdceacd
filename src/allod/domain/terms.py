"""Terms: what a delegate, or the owner by their own wish, is held to (docs/spec/delegation.md).

Each term judges one change by itself, from facts that it is given; `decision.decide` asks all of
them. A fact that is missing never lets a change through. A term says in `judge` what it looked at,
so that a refusal, a preview and an audit use the same words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final

from allod.domain.access import new_access
from allod.domain.condition import (
    AGENT,
    DISTURBING,
    Change,
    ChangeFacts,
    Reason,
    Term,
    Verb,
    Verdict,
    moment,
    span,
    window_text,
)
from allod.domain.desired import Window
from allod.domain.ids import Purl, Scope, is_pattern, pattern_covers
from allod.domain.release import Release
from allod.domain.window import is_open, next_opening


def _holds(term: Term) -> Reason:
    return Reason(term.name, Verdict.HOLDS, term)


def needs_name(package: Purl, release: Release | None) -> bool:
    """Whether a pattern does not cover it: the agent itself, and what runs as root.

    Whoever decides on those has full control of the device, so they are delegated only by name.
    """
    return package == AGENT or (release is not None and "root" in release.access)


@dataclass(frozen=True, slots=True)
class Scopes:
    """Only in these groups and on these devices."""

    scopes: frozenset[Scope]
    name: ClassVar[str] = "scopes"

    @property
    def says(self) -> str:
        """The condition, in words."""
        return "only in " + ", ".join(sorted(map(str, self.scopes)))

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """Refuses `outside-scope`."""
        if change.scope in self.scopes:
            return _holds(self)
        return Reason("outside-scope", Verdict.REFUSES, self, f"it is for {change.scope}")


@dataclass(frozen=True, slots=True)
class Packages:
    """Only these packages: exact names, or purl patterns that end in '/*'."""

    packages: tuple[str, ...]
    name: ClassVar[str] = "packages"

    @property
    def says(self) -> str:
        """The condition, in words."""
        return "only " + ", ".join(self.packages)

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """Refuses `outside-packages`, and `full-control` where only a pattern covers it.

        A restart is about no package.
        """
        if change.package in self.packages or change.verb is Verb.RESTART:
            return _holds(self)
        covered = any(is_pattern(p) and pattern_covers(p, change.package) for p in self.packages)
        if not covered:
            return Reason(
                "outside-packages", Verdict.REFUSES, self, f"it is about {change.package}"
            )
        if any(needs_name(change.package, one) for one in (change.release, facts.running)):
            fact = f"{change.package} has full control of the device, and no pattern covers that"
            return Reason("full-control", Verdict.REFUSES, self, fact)
        return _holds(self)


@dataclass(frozen=True, slots=True)
class Verbs:
    """Only these kinds of change."""

    verbs: frozenset[Verb]
    name: ClassVar[str] = "verbs"

    @property
    def says(self) -> str:
        """The condition, in words."""
        return "only to " + ", ".join(sorted(self.verbs))

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """Refuses `outside-verbs`."""
        if change.verb in self.verbs:
            return _holds(self)
        return Reason("outside-verbs", Verdict.REFUSES, self, f"it is to {change.verb}")


class VersionRule(StrEnum):
    """Which releases may follow the one that runs."""

    SAME_MINOR = "same-minor"
    SECURITY = "security"


PROVIDER: Final = "provider"  #: the source of evidence that is the provider's own signed statement
_NUMBERS: Final = re.compile(r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?![0-9])", re.ASCII)


def _numbers(version: str) -> tuple[int, int, int] | None:
    """Major, minor and patch, where a version begins so."""
    found = _NUMBERS.match(version)
    return None if found is None else (int(found[1]), int(found[2] or 0), int(found[3] or 0))


@dataclass(frozen=True, slots=True)
class Versions:
    """Only releases that stand so to the one that runs; the first release of a package is none.

    `security`: it mends a flaw that the running one has, by one of the named sources of evidence
    (`provider`: the provider's signed statement). Neither rule lets an older version in.
    """

    rule: VersionRule
    evidence: frozenset[str] = frozenset()
    name: ClassVar[str] = "version"

    @property
    def says(self) -> str:
        """The condition, in words."""
        if self.rule is VersionRule.SAME_MINOR:
            return "only patches of the same minor version"
        return f"only security fixes, by the word of {', '.join(sorted(self.evidence)) or 'nobody'}"

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """Refuses `version-rule`."""
        wanted, running = change.release, facts.running
        if wanted is None or (running is not None and wanted.version == running.version):
            return _holds(self)
        against = self._against(wanted, running, facts)
        if against:
            return Reason("version-rule", Verdict.REFUSES, self, against)
        mended = ", ".join(self._mended(facts))
        return Reason(self.name, Verdict.HOLDS, self, mended and f"it mends {mended}")

    def _mended(self, facts: ChangeFacts) -> list[str]:
        return sorted({flaw for source, flaw in facts.mends if source in self.evidence})

    def _against(self, wanted: Release, running: Release | None, facts: ChangeFacts) -> str:
        """Why the one may not follow the other; empty: it may."""
        if running is None:
            return "nothing of it runs yet"
        old, new = _numbers(running.version), _numbers(wanted.version)
        if old is None or new is None:
            return f"{running.version} and {wanted.version} have no common order"
        if new < old:
            return f"{wanted.version} is older than {running.version}"
        if self.rule is VersionRule.SAME_MINOR:
            return "" if new[:2] == old[:2] else f"{wanted.version} is no patch of it"
        return "" if self._mended(facts) else f"nobody of them says that {wanted.version} mends one"


@dataclass(frozen=True, slots=True)
class NewAccess:
    """No access that what runs does not have, but for what is listed.

    What the owner accepts by name for one package counts too, unless the term is `strict`: the
    owner's own, which is set aside by name or not at all.
    """

    allowed: frozenset[str] = frozenset()
    strict: bool = False
    name: ClassVar[str] = "access"

    @property
    def says(self) -> str:
        """The condition, in words."""
        return "no new access" + (f" but {', '.join(sorted(self.allowed))}" if self.allowed else "")

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """Refuses `new-access`."""
        if change.release is None:
            return _holds(self)
        had = frozenset() if facts.running is None else facts.running.access
        accepted = frozenset() if self.strict else change.accepted
        fresh = new_access(had | self.allowed | accepted, change.release.access)
        if not fresh:
            return _holds(self)
        return Reason("new-access", Verdict.REFUSES, self, f"it needs {', '.join(sorted(fresh))}")


@dataclass(frozen=True, slots=True)
class Soak:
    """A release is not run before it has been known for so long."""

    seconds: int
    name: ClassVar[str] = "soak"

    @property
    def says(self) -> str:
        """The condition, in words."""
        return f"not before it is known for {span(self.seconds)}"

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """Waits `soak`."""
        if change.verb not in DISTURBING or change.release is None:
            return _holds(self)
        if facts.seen_since is None:
            return Reason("soak", Verdict.WAITS, self, "it is not known yet")
        until = facts.seen_since + timedelta(seconds=self.seconds)
        fact = f"known since {moment(facts.seen_since)}"
        if now >= until:
            return Reason("soak", Verdict.HOLDS, self, fact)
        return Reason("soak", Verdict.WAITS, self, fact, until)


@dataclass(frozen=True, slots=True)
class Windows:
    """What runs changes only within these spans of the week."""

    windows: tuple[Window, ...]
    name: ClassVar[str] = "window"

    @property
    def says(self) -> str:
        """The condition, in words."""
        return "only in the window " + ", ".join(window_text(one) for one in self.windows)

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """Waits `window`."""
        if change.verb not in DISTURBING:
            return _holds(self)
        if is_open(self.windows, now):
            return Reason("window", Verdict.HOLDS, self, "it is open")
        opening = next_opening(self.windows, now)
        fact = "it never opens" if opening is None else f"it opens {moment(opening)}"
        return Reason("window", Verdict.WAITS, self, fact, opening)


@dataclass(frozen=True, slots=True)
class Rate:
    """What runs of a package changes at most so often in so long."""

    changes: int
    seconds: int
    name: ClassVar[str] = "rate"

    @property
    def says(self) -> str:
        """The condition, in words."""
        return f"at most {self.changes} in {span(self.seconds)}"

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """Waits `rate`."""
        if change.verb not in DISTURBING:
            return _holds(self)
        span_ = timedelta(seconds=self.seconds)
        recent = sorted(at for at in facts.activated if at > now - span_)
        fact = f"{len(recent)} so far"
        if len(recent) < self.changes:
            return Reason("rate", Verdict.HOLDS, self, fact)
        until = recent[-self.changes] + span_ if self.changes > 0 else None
        return Reason("rate", Verdict.WAITS, self, fact, until)


@dataclass(frozen=True, slots=True)
class Approvals:
    """So many people of each kind approved it; one person counts for one kind."""

    needed: tuple[tuple[str, int], ...]  #: kind, how many; by kind
    name: ClassVar[str] = "approvals"

    @property
    def says(self) -> str:
        """The condition, in words."""
        return "approved by " + " and ".join(f"{count} of {kind}" for kind, count in self.needed)

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """Refuses `approvals-missing`."""
        places = [kind for kind, count in self.needed for _ in range(count)]
        filled = seated(places, facts.approved)
        if filled == len(places):
            names = sorted(
                {name for kind, _ in self.needed for name in facts.approved.get(kind, ())}
            )
            return Reason(self.name, Verdict.HOLDS, self, f"approved by {', '.join(names)}")
        fact = f"{filled} of {len(places)} are there"
        return Reason("approvals-missing", Verdict.REFUSES, self, fact)


def seated(places: list[str], approved: Mapping[str, frozenset[str]]) -> int:
    """How many places can be filled, each by another person of its kind."""
    held: dict[str, int] = {}

    def seat(place: int, tried: set[str]) -> bool:
        for person in sorted(approved.get(places[place], frozenset())):
            if person in tried:
                continue
            tried.add(person)
            if person not in held or seat(held[person], tried):
                held[person] = place
                return True
        return False

    return sum(seat(place, set()) for place in range(len(places)))


@dataclass(frozen=True, slots=True)
class Consent:
    """Somebody at the device agrees before what runs changes."""

    name: ClassVar[str] = "consent"

    @property
    def says(self) -> str:
        """The condition, in words."""
        return "only once somebody at the device agrees"

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """Waits `consent`; refuses `consent-declined`."""
        if change.verb not in DISTURBING:
            return _holds(self)
        if facts.consent is None:
            return Reason("consent", Verdict.WAITS, self, "nobody answered yet")
        if facts.consent:
            return Reason("consent", Verdict.HOLDS, self, "somebody at the device agreed")
        return Reason("consent-declined", Verdict.REFUSES, self, "somebody at the device declined")


@dataclass(frozen=True, slots=True)
class Lease:
    """The word counts only on evidence of freshness that is at most so old.

    The evidence is the time that a quorum of witnesses gave the newest checkpoint of the log.
    """

    seconds: int
    name: ClassVar[str] = "lease"

    @property
    def says(self) -> str:
        """The condition, in words."""
        return f"only while the log was witnessed in the last {span(self.seconds)}"

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """Refuses `lease-over`, `lease-unproved`."""
        if facts.witnessed is None:
            return Reason("lease-unproved", Verdict.REFUSES, self, "no witness vouched for it")
        fact = f"witnessed {moment(facts.witnessed)}"
        if now - facts.witnessed <= timedelta(seconds=self.seconds):
            return Reason(self.name, Verdict.HOLDS, self, fact)
        return Reason("lease-over", Verdict.REFUSES, self, fact)


@dataclass(frozen=True, slots=True)
class Until:
    """Not from this moment on."""

    at: datetime
    what: str = "it"  #: what ends: the delegation, the channel's document
    name: ClassVar[str] = "until"

    @property
    def says(self) -> str:
        """The condition, in words."""
        return f"{self.what} is good until {moment(self.at)}"

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """Refuses `ended`."""
        if now < self.at:
            return _holds(self)
        return Reason("ended", Verdict.REFUSES, self, f"it is {moment(now)}")


#: Terms that the owner may set aside by name for one package; the others are what a delegation is.
OVERRIDABLE: Final = frozenset(
    one.name for one in (Versions, NewAccess, Soak, Windows, Rate, Approvals, Consent)
)
