"""What a delegation would have allowed over the past of the channel that it is to follow.

By the same `decide` as everywhere, with the documents as they were published, one after another.
What people, witnesses and a calendar would have said then is not known: terms that ask them are
left out, and named beside the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from allod.domain.condition import Change, ChangeFacts, Term, Verb
from allod.domain.decision import Decision, decide
from allod.domain.delegation import Channel, ChannelRelease, Delegation
from allod.domain.ids import Digest, Purl, Scope, Version, is_pattern, pattern_covers
from allod.domain.permission import mended
from allod.domain.release import Release
from allod.domain.terms import Approvals, Consent, Lease, Until

#: Terms that ask what nobody knows of the past.
UNKNOWABLE: Final = (Approvals, Consent, Lease, Until)
_STEPS: Final = 16  #: moments at which one release is asked for again

Describe = Callable[[Purl, Digest], Release | None]


class Fate(StrEnum):
    """What would have become of a release."""

    BEGAN = "began"  #: the first that is known: taken as what ran
    RUN = "run"
    REFUSED = "refused"
    OVERTAKEN = "overtaken"  #: a newer one came before its time
    UNKNOWN = "unknown"  #: what it is cannot be read any more


@dataclass(frozen=True, slots=True)
class Would:
    """One release that the channel named, and what would have become of it."""

    package: Purl
    version: Version
    sequence: int
    published: datetime
    fate: Fate
    at: datetime | None = None  #: when it would have run
    reasons: tuple[str, ...] = ()  #: of a refusal


def hindsight(
    delegation: Delegation,
    past: Sequence[Channel],
    describe: Describe,
    *,
    terms: Iterable[Term] = (),
    running: Mapping[Purl, Release] | None = None,
) -> tuple[Would, ...]:
    """What would have run, and what would have been refused, in the order of publication.

    Args:
        delegation: as it is to be.
        past: the channel's documents.
        describe: what a release says of itself; None: it cannot be read any more.
        terms: those of the scopes.
        running: what ran when the past began, where that is known.
    """
    ordered = sorted(past, key=lambda one: one.sequence)
    scope = min(delegation.scopes)
    held = tuple(
        term for term in (*delegation.all_terms, *terms) if not isinstance(term, UNKNOWABLE)
    )
    found: list[Would] = []
    for package in sorted({one for channel in ordered for one in channel.packages}):
        if _covered(delegation, package):
            first = (running or {}).get(package)
            found.extend(_Course(package, scope, held, describe, first).over(ordered))
    return tuple(sorted(found, key=lambda one: (one.sequence, one.package)))


def asked(delegation: Delegation) -> tuple[Term, ...]:
    """The terms that hindsight leaves out."""
    return tuple(term for term in delegation.terms if isinstance(term, UNKNOWABLE))


def _covered(delegation: Delegation, package: Purl) -> bool:
    return any(
        one == package or (is_pattern(one) and pattern_covers(one, package))
        for one in delegation.packages
    )


class _Course:
    """What would have become of one package."""

    def __init__(
        self,
        package: Purl,
        scope: Scope,
        terms: tuple[Term, ...],
        describe: Describe,
        running: Release | None,
    ) -> None:
        self.package = package
        self.scope = scope
        self.terms = terms
        self.describe = describe
        self.running = running
        self.began = running is not None
        self.activated: tuple[datetime, ...] = ()

    def over(self, ordered: Sequence[Channel]) -> list[Would]:
        """One answer a release, where the channel went on to another one."""
        named = [
            (one, one.packages[self.package]) for one in ordered if self.package in one.packages
        ]
        steps = [
            pair
            for place, pair in enumerate(named)
            if place == 0 or pair[1].digest != named[place - 1][1].digest
        ]
        ends = [channel.at for channel, _ in steps[1:]]
        return [
            self._step(channel, release, ends[place] if place < len(ends) else None)
            for place, (channel, release) in enumerate(steps)
        ]

    def _step(self, channel: Channel, named: ChannelRelease, end: datetime | None) -> Would:
        release = self.describe(self.package, named.digest)
        if release is None:
            return self._would(channel, named, Fate.UNKNOWN)
        if not self.began:
            self.began, self.running = True, release
            return self._would(channel, named, Fate.BEGAN)
        now = channel.at
        for _ in range(_STEPS):
            decision = self._decide(channel, release, now)
            if decision.allowed:
                self.running, self.activated = release, (*self.activated, now)
                return self._would(channel, named, Fate.RUN, at=now)
            if decision.refusals or decision.until is None:
                stops = decision.refusals or decision.waits
                return self._would(
                    channel, named, Fate.REFUSED, reasons=tuple(one.says for one in stops)
                )
            now = decision.until
            if end is not None and now >= end:
                break
        return self._would(channel, named, Fate.OVERTAKEN)

    def _decide(self, channel: Channel, release: Release, now: datetime) -> Decision:
        facts = ChangeFacts(
            running=self.running,
            seen_since=channel.at,
            activated=self.activated,
            mends=mended(self.package, release, self.running, channel),
        )
        change = Change(Verb.ACTIVATE, self.scope, self.package, release)
        return decide(change, (*self.terms, channel.term), facts, now)

    def _would(
        self,
        channel: Channel,
        named: ChannelRelease,
        fate: Fate,
        *,
        at: datetime | None = None,
        reasons: tuple[str, ...] = (),
    ) -> Would:
        return Would(self.package, named.version, channel.sequence, channel.at, fate, at, reasons)
