"""Terms: what a delegate, or the owner by their own wish, is held to (docs/spec/delegation.md).

Each term judges one change by itself, from facts that it is given; `decision.decide` asks all of
them. A fact that is missing never lets a change through. A term says in `judge` what it looked at,
so that a refusal, a preview and an audit use the same words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import ClassVar, Final, cast

from allod.domain.access import new_access
from allod.domain.approval import NOBODY, seated
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
from allod.domain.version_order import place_of
from allod.domain.window import is_open, next_opening

_HOLDS: Final = Verdict.HOLDS
_REFUSES: Final = Verdict.REFUSES
_WAITS: Final = Verdict.WAITS
#: A reason made as quickly as it can be: that is most of what a decision costs.
_reason: Final = cast("Callable[[tuple[object, ...]], Reason]", partial(tuple.__new__, Reason))


def _holds(term: Term, text: str = "", *values: object) -> Reason:
    return _reason((term.name, _HOLDS, term, text, values, None))


def _refuses(term: Term, code: str, text: str, *values: object) -> Reason:
    return _reason((code, _REFUSES, term, text, values, None))


def _waits(term: Term, until: datetime | None, text: str, *values: object) -> Reason:
    return _reason((term.name, _WAITS, term, text, values, until))


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
        return _refuses(self, "outside-scope", "it is for {}", change.scope)


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
        patterns = [one for one in self.packages if pattern_covers(one, change.package)]
        if not any(map(is_pattern, patterns)):
            return _refuses(self, "outside-packages", "it is about {}", change.package)
        if needs_name(change.package, change.release) or needs_name(change.package, facts.running):
            fact = "{} has full control of the device, and no pattern covers that"
            return _refuses(self, "full-control", fact, change.package)
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
        return _refuses(self, "outside-verbs", "it is to {}", change.verb)


class VersionRule(StrEnum):
    """Which releases may follow the one that runs."""

    SAME_MINOR = "same-minor"
    SECURITY = "security"


PROVIDER: Final = "provider"  #: the source of evidence that is the provider's own signed statement


@dataclass(frozen=True, slots=True)
class Versions:
    """Only releases that stand so to the one that runs; the first release of a package is none.

    `security`: it mends a flaw that the running one has, by one of the named sources of evidence
    (`provider`: the provider's signed statement; else a source of advisories, by a verifier's
    word), and needs no access that the running one has not: what opens something new is no mere
    fix, whatever it mends. Neither rule lets an older version in; another
    build of the same version is a patch, and a fix only by such evidence.
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

    @property
    def asks_verifiers(self) -> bool:
        """Whether somebody beside the provider may say that a release mends something."""
        return self.rule is VersionRule.SECURITY and not self.evidence <= {PROVIDER}

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """Refuses `version-rule`."""
        wanted, running = change.release, facts.running
        if wanted is None:
            return _holds(self)
        if running is None:
            return _refuses(self, "version-rule", "nothing of it runs yet")
        if wanted.version == running.version:  # another build of it mends something, or nothing
            fixes = self.rule is VersionRule.SECURITY
            return self._fixes(wanted, running, facts) if fixes else _holds(self)
        new, old = place_of(wanted.version), place_of(running.version)
        versions = (wanted.version, running.version)
        if old is None or new is None:
            against = "{} and {} have no common order"
        elif new < old:
            against = "{} is older than {}"
        elif self.rule is VersionRule.SECURITY:
            return self._fixes(wanted, running, facts)
        elif new.numbers[:2] == old.numbers[:2]:
            return _holds(self)
        else:
            against = "{} is no patch of {}"
        return _refuses(self, "version-rule", against, *versions)

    def _fixes(self, wanted: Release, running: Release, facts: ChangeFacts) -> Reason:
        fresh = new_access(running.access, wanted.access)
        if fresh:
            return _refuses(self, "version-rule", "it needs {}, so it is no mere fix", fresh)
        mended = frozenset([flaw for source, flaw in facts.mends if source in self.evidence])
        if mended:
            return _holds(self, "it mends {}", mended)
        fact = "nobody of them says that {} mends one"
        return _refuses(self, "version-rule", fact, wanted.version)


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
        had = frozenset[str]() if facts.running is None else facts.running.access
        if change.release is None or change.release.access <= had:
            return _holds(self)
        granted = self.allowed if self.strict else self.allowed | change.accepted
        fresh = new_access(had | granted, change.release.access)
        return _refuses(self, "new-access", "it needs {}", fresh) if fresh else _holds(self)


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
        since = facts.seen_since
        if since is None:
            return _waits(self, None, "it is not known yet")
        if (now - since).total_seconds() >= self.seconds:
            return _holds(self, "known since {}", since)
        return _waits(self, since + timedelta(seconds=self.seconds), "known since {}", since)


@dataclass(frozen=True, slots=True)
class Windows:
    """What runs changes only within these spans of the week."""

    windows: tuple[Window, ...]
    name: ClassVar[str] = "window"

    @property
    def says(self) -> str:
        """The condition, in words."""
        spans = ", ".join(window_text(one) for one in self.windows)
        return f"only in the window {spans}" if spans else "only in a window, and there is none"

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """Waits `window`."""
        if change.verb not in DISTURBING:
            return _holds(self)
        if is_open(self.windows, now):
            return _holds(self, "it is open")
        opening = next_opening(self.windows, now)
        if opening is None:
            return _waits(self, None, "it never opens")
        return _waits(self, opening, "it opens {}", opening)


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
        length = timedelta(seconds=self.seconds)
        recent = [at for at in facts.activated if at > now - length]
        if len(recent) < self.changes:
            return _holds(self, "{} so far", len(recent))
        until = sorted(recent)[-self.changes] + length if self.changes > 0 else None
        return _waits(self, until, "{} so far", len(recent))


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
        count = sum([count for _, count in self.needed])
        filled = seated(self.needed, facts.approved)
        if filled == count:
            people = [facts.approved.get(kind, NOBODY) for kind, _ in self.needed]
            return _holds(self, "approved by {}", NOBODY.union(*people))
        return _refuses(self, "approvals-missing", "{} of {} are there", filled, count)


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
            return _waits(self, None, "nobody answered yet")
        if facts.consent:
            return _holds(self, "somebody at the device agreed")
        return _refuses(self, "consent-declined", "somebody at the device declined")


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
            return _refuses(self, "lease-unproved", "no witness vouched for it")
        if (now - facts.witnessed).total_seconds() <= self.seconds:
            return _holds(self, "witnessed {}", facts.witnessed)
        return _refuses(self, "lease-over", "witnessed {}", facts.witnessed)


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
        return _refuses(self, "ended", "it is {}", now)


#: Terms that the owner may set aside by name for one package; the others are what a delegation is.
OVERRIDABLE: Final = frozenset(
    one.name for one in (Versions, NewAccess, Soak, Windows, Rate, Approvals, Consent)
)
