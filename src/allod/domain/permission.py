"""What is asked of the terms for one package: the change and the facts that `decide` is given.

Each half of a package, software and configuration, is asked for by itself, with the terms of
whoever decides on it. All steps on the way to an order's level are asked before the first is done:
what will be refused in the end is not even fetched (docs/spec/desired-state.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

from allod.domain.approval import by_kind
from allod.domain.condition import AGENT, Change, ChangeFacts, Reason, Verb
from allod.domain.decision import Decision, decide
from allod.domain.delegation import Channel
from allod.domain.desired import Level, ReleaseOrder
from allod.domain.ids import Digest, Purl
from allod.domain.judgement import Finding
from allod.domain.observed import Grounds, Observed
from allod.domain.release import Release
from allod.domain.resolution import ResolvedConfiguration, ResolvedSoftware
from allod.domain.terms import PROVIDER

_STEPS: Final = (
    (Level.TRANSFERRED, Verb.TRANSFER),
    (Level.INSTALLED, Verb.INSTALL),
    (Level.ACTIVE, Verb.ACTIVATE),
)
NO_FLAWS: Final = frozenset[tuple[str, str]]()
_LEVELS: Final = tuple(level for level, _ in _STEPS)


@dataclass(frozen=True, slots=True)
class Standing:
    """What was answered for one half of a package."""

    decisions: Mapping[Verb, Decision] = field(default_factory=lambda: MappingProxyType({}))
    objections: tuple[Finding, ...] = ()  #: of the rules that hold without any term
    package: Purl = AGENT

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """All that says never, each once."""
        found = (
            Finding(one.code, self.package, one.says)
            for decision in self.decisions.values()
            for one in decision.refusals
        )
        return tuple(dict.fromkeys((*self.objections, *found)))

    @property
    def waits(self) -> tuple[Reason, ...]:
        """All that says not yet."""
        return tuple(one for decision in self.decisions.values() for one in decision.waits)

    def texts(self, *verbs: Verb) -> tuple[str, ...]:
        """What the terms said of these steps, in words."""
        decisions = (self.decisions.get(verb) for verb in verbs)
        return tuple(text for one in decisions if one is not None for text in one.texts)


NOTHING: Final = Standing()


def steps_to(order: ReleaseOrder, has: Observed) -> tuple[Verb, ...]:
    """What is still to be done until a release is at its order's level."""
    level = has.held.get(order.digest)
    done = -1 if level is None else _LEVELS.index(level)
    last = _LEVELS.index(order.level)
    return tuple(verb for _, verb in _STEPS[done + 1 : last + 1])


def mended(
    package: Purl,
    wanted: Release | None,
    running: Release | None,
    channel: Channel | None,
    evidence: frozenset[tuple[str, str]] = frozenset(),
) -> frozenset[tuple[str, str]]:
    """The flaws that only the wanted release mends, by who says so.

    Args:
        package: of which.
        wanted: what is to come.
        running: what runs.
        channel: whose document names the release; then its word is the provider's too.
        evidence: what verifiers say of these very releases, by source of advisories.
    """
    if wanted is None:
        return frozenset()
    flaws = set(wanted.mends)
    named = None if channel is None else channel.packages.get(package)
    if named is not None:
        flaws.update(named.mends)
    known = () if running is None else running.mends
    found = {(source, flaw) for source, flaw in evidence if source != PROVIDER}
    return frozenset(found.union((PROVIDER, flaw) for flaw in flaws.difference(known)))


def known_since(digest: Digest, channel: Channel | None, grounds: Grounds) -> datetime | None:
    """The earliest moment at which the release is proved to have been known."""
    moments = [grounds.seen.get(digest), None if channel is None else channel.seen_since]
    return min((at for at in moments if at is not None), default=None)


@dataclass(frozen=True, slots=True)
class Permissions:
    """Asks `decide` with what is known here and now."""

    now: datetime  #: the time that is decided by
    witnessed: datetime | None = None
    grounds: Mapping[Purl, Grounds] = field(default_factory=lambda: MappingProxyType({}))

    def software(
        self,
        software: ResolvedSoftware,
        verbs: Iterable[Verb],
        order: ReleaseOrder | None,
        has: Observed,
        attempt: str,
    ) -> Mapping[Verb, Decision]:
        """What is said of these steps with a package's software.

        Args:
            software: what is wanted of it, and by whom.
            verbs: the steps.
            order: the release that comes; None: one goes.
            has: what the device has of it.
            attempt: by which an answer of somebody at the device is known.
        """
        release = None if order is None else has.described.get(order.digest)
        running, grounds = has.running_release, self.grounds.get(has.package, Grounds())
        evidence = NO_FLAWS if order is None else grounds.mends.get(order.digest, NO_FLAWS)
        facts = ChangeFacts(
            running=running,
            seen_since=None
            if order is None
            else known_since(order.digest, software.channel, grounds),
            witnessed=self.witnessed,
            activated=grounds.activated,
            approved=by_kind(software.approved),
            consent=grounds.consent.get(attempt),
            mends=mended(has.package, release, running, software.channel, evidence),
        )
        return {
            verb: decide(
                Change(
                    verb,
                    software.scope,
                    has.package,
                    release,
                    software.accepts.access,
                    software.overrides,
                ),
                software.terms,
                facts,
                self.now,
            )
            for verb in verbs
        }

    def configuration(
        self,
        configuration: ResolvedConfiguration,
        release: Release | None,
        package: Purl,
        attempt: str,
    ) -> Decision:
        """What is said of another configuration for `release`, the one that runs or comes."""
        grounds = self.grounds.get(package, Grounds())
        facts = ChangeFacts(
            running=release,
            witnessed=self.witnessed,
            activated=grounds.activated,
            approved=by_kind(configuration.approved),
            consent=grounds.consent.get(attempt),
        )
        change = Change(
            Verb.CONFIGURE, configuration.scope, package, overrides=configuration.overrides
        )
        return decide(change, configuration.terms, facts, self.now)
