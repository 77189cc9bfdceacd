"""What one run decides by: the documents as they resolve, and everything around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from allod.agent.engine_acts import Findings
from allod.agent.engine_authority import managers_of
from allod.agent.engine_ports import World
from allod.agent.grounds import DEVICE, GroundsStore, unknown
from allod.agent.view import View
from allod.domain.condition import Change, ChangeFacts, Verb
from allod.domain.decision import Decision, decide
from allod.domain.desired import DriftPolicy
from allod.domain.ids import DeviceId, Digest, Purl
from allod.domain.judgement import ProviderLimits
from allod.domain.observed import Grounds, Inhibition, Observed
from allod.domain.plan import Plan
from allod.domain.resolution import (
    Defaults,
    Resolved,
    ResolvedPackage,
    ResolvedRestart,
    Unresolved,
    resolve,
)
from allod.domain.rollout import Progress, mark_of
from allod.domain.surroundings import Surroundings
from allod.domain.terms import Packages, Versions
from allod.wire.report import Authority, RestartReport
from allod.wire.trust import ProviderDocument


@dataclass(frozen=True, slots=True)
class Due:
    """A restart that is to be done now."""

    key: str  #: under which it is remembered
    order: ResolvedRestart
    authority: Authority | None


@dataclass(slots=True)
class Outcome:
    """How a run ended, as far as the report needs it."""

    device: DeviceId
    resolved: Resolved
    plan: Plan
    observed: Mapping[Purl, Observed]
    findings: Findings
    inhibitions: tuple[Inhibition, ...]
    restarts: list[RestartReport] = field(default_factory=list)
    restart: Due | None = None  #: see `Engine.restart`
    handed_over: bool = False  #: a new agent is in place and goes on


def wanted_of(
    view: View, present: tuple[Purl, ...], now: datetime, came: frozenset[str]
) -> Resolved:
    """What the documents mean here and now, by whosever word.

    Args:
        view: what was accepted.
        present: packages that the device has.
        now: the time that it decides by.
        came: rollouts that have come to it before.
    """
    return resolve(
        view.scopes,
        view.documents,
        present,
        Defaults(DriftPolicy(view.fleet.defaults.drift), view.fleet.defaults.retention_releases),
        delegates=view.delegates,
        progress=Progress(view.gates, view.device, now, came),
    )


def arrived(view: View, resolved: Resolved, now: datetime) -> frozenset[str]:
    """The marks of the rollouts that have come to the device now."""
    progress, found = Progress(view.gates, view.device, now), set()
    for wanted in resolved.packages.values():
        for half in (wanted.software, wanted.configuration):
            if isinstance(half, Unresolved) or half.rollout is None:
                continue
            if progress.reached(half.rollout):
                found.add(mark_of(half.rollout, half.change, half.manager))
    return frozenset(found)


class Context:
    """What plans of one run depend on besides packages.

    Args:
        world: the device.
        grounds: what it remembers for terms.
        view: what it accepted.
        findings: where to tell what could not be remembered.
        now: the time that it decides by.
    """

    def __init__(
        self, world: World, grounds: GroundsStore, view: View, findings: Findings, now: datetime
    ) -> None:
        self._world = world
        self._grounds = grounds
        self._view = view
        self._findings = findings
        self._now = now
        self.inhibitions = world.inhibitors.held()

    def surroundings(
        self, resolved: Resolved, observed: Mapping[Purl, Observed], documents: frozenset[Digest]
    ) -> Surroundings:
        """All that a plan is made from besides orders and packages."""
        view = self._view
        return Surroundings(
            self._now,
            self._world.clock.boot_id(),
            self._world.host.fitness(),
            self.inhibitions,
            {digest: entry.why for digest, entry in view.withdrawn.items()},
            {name: _limits(entry, view) for name, entry in view.providers.items()},
            documents,
            grounds={
                package: self._facts(wanted, observed.get(package))
                for package, wanted in resolved.packages.items()
            },
            witnessed=view.witnessed,
        )

    def _facts(self, wanted: ResolvedPackage, has: Observed | None) -> Grounds:
        """What is remembered of a package; a release counts as seen once its description is here."""
        package, software = wanted.package, wanted.software
        described = set() if has is None else set(has.described)
        ordered = () if isinstance(software, Unresolved) else software.releases
        try:
            self._grounds.see(package, described & {one.digest for one in ordered}, self._now)
            known = self._grounds.of(package, managers_of(wanted), self._now)
            return replace(known, mends=self._mends(wanted, has))
        except OSError as error:
            self._findings.alarm("disk", f"cannot remember what terms ask of {package}: {error}")
            return unknown(self._now)

    def _mends(
        self, wanted: ResolvedPackage, has: Observed | None
    ) -> dict[Digest, frozenset[tuple[str, str]]]:
        """What verifiers say of ordered releases over the one that runs, where a term asks them."""
        software = wanted.software
        if isinstance(software, Unresolved) or has is None or has.running is None:
            return {}
        if not any(isinstance(one, Versions) and one.asks_verifiers for one in software.terms):
            return {}
        found = {}
        for order in software.releases:
            if order.digest != has.running.digest and order.digest in has.described:
                mends = self._world.source.evidence(wanted.package, order)
                found[order.digest] = mends.get(has.running.digest, frozenset())
        return found

    def restart(self, order: ResolvedRestart) -> Decision:
        """Whether the terms allow a restart of the machine now."""
        try:
            known = self._grounds.of(DEVICE, {order.manager}, self._now)
        except OSError as error:
            self._findings.alarm("disk", f"cannot remember what terms ask of restarts: {error}")
            known = unknown(self._now)
        facts = ChangeFacts(
            witnessed=self._view.witnessed,
            activated=known.activated,
            consent=known.consent.get(order.attempt),
        )
        change = Change(Verb.RESTART, order.scope, DEVICE)
        # A restart is of no package: what the order is held to is the verb and the scope.
        terms = [term for term in order.terms if not isinstance(term, Packages)]
        return decide(change, terms, facts, self._now)

    def tell_damage(self) -> None:
        """What is remembered for terms was lost: they are read strictly."""
        for package in sorted(self._grounds.damaged):
            says = f"what terms ask of {package or 'restarts'} was damaged, and is read strictly"
            self._findings.alarm("grounds-damaged", says)


def _limits(provider: ProviderDocument, view: View) -> ProviderLimits:
    access = None if provider.access is None else frozenset(provider.access)
    channels = (one.channel for one in view.delegates.values() if one.channel is not None)
    # What was accepted of a channel counts, so it stands in the log before any distrust.
    vouched = {
        release.digest
        for channel in channels
        if channel.provider == provider.provider
        for release in channel.packages.values()
    }
    return ProviderLimits(
        provider.distrusted or "", access, provider.distrusted_after, frozenset(vouched)
    )
