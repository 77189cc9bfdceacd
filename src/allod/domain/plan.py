"""The plan: what a device does next, and what it waits for. Pure: values in, values out.

Rules, in the order in which they are applied to each package:

1. Work that could not be brought to its end comes first: nothing else is planned for its unit.
2. What nobody's word decides stays as it is.
3. An order is judged as soon as its release's description is known, before its payload is
   fetched: not withdrawn, the device's hardware, constraints, access and one-way data accepted.
4. Orders rise from level to level; each level is an action of its own.
5. Activation of a unit waits until all of it is installed and allowed, then for hold, window,
   inhibitors and restart. An attempt that failed is not repeated until something newer is signed.
6. Deletion is last, and only once what is wanted runs: a named list lacks the release, it does
   not run, and retention does not keep it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from allod.domain.actions import (
    Action,
    Activate,
    Cancel,
    Delete,
    Describe,
    FetchDocument,
    Install,
    Member,
    Transfer,
    Waiting,
)
from allod.domain.desired import ConfigurationOrder, Level, ReleaseOrder, When
from allod.domain.ids import Digest, ProviderName, Purl
from allod.domain.judgement import Finding, ProviderLimits, Situation, data_steps, objections
from allod.domain.observed import Facts, Grounds, Inhibition, Observed
from allod.domain.resolution import (
    Resolved,
    ResolvedConfiguration,
    ResolvedPackage,
    ResolvedSoftware,
    Unresolved,
)
from allod.domain.targets import Target, attempt_of, partners_of, units_of, verb_of
from allod.domain.window import is_open, next_opening


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in order, and what can't be done now."""

    actions: tuple[Action, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    refusals: tuple[Finding, ...] = ()
    failed: Mapping[Purl, tuple[Digest, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a plan depends on besides packages."""

    now: datetime  #: the time that the device decides by
    boot: str
    facts: Facts = field(default_factory=Facts)
    inhibitions: tuple[Inhibition, ...] = ()
    withdrawn: Mapping[Digest, str] = field(default_factory=dict)  #: why
    providers: Mapping[ProviderName, ProviderLimits] = field(default_factory=dict)
    documents: frozenset[Digest] = frozenset()  #: configuration documents that are on the device
    grounds: Mapping[Purl, Grounds] = field(default_factory=dict)
    witnessed: datetime | None = None  #: time of the newest evidence of freshness


def make_plan(resolved: Resolved, observed: Mapping[Purl, Observed], around: Surroundings) -> Plan:
    """What to do next on a device in this situation."""
    return _Planner(resolved, observed, around).run()


class _Planner:
    def __init__(
        self, resolved: Resolved, observed: Mapping[Purl, Observed], around: Surroundings
    ) -> None:
        self.resolved = resolved
        self.observed = observed
        self.around = around
        self.actions: list[Action] = []
        self.waiting: list[Waiting] = []
        self.refusals: list[Finding] = []
        self.failed: dict[Purl, list[Digest]] = {}

    def run(self) -> Plan:
        targets = {}
        for package, wanted in self.resolved.packages.items():
            has = self.observed.get(package, Observed(package))
            self._report_unresolved(wanted)
            if has.stuck:
                self.waiting.append(Waiting(package, "recover", waits_for=has.stuck))
            else:
                targets[package] = self._target(wanted, has)
        self._cancel(targets)
        ready = {package for package, target in targets.items() if self._raise(target)}
        for unit in units_of(targets):
            self._activate([targets[package] for package in unit if package in targets], ready)
        for target in targets.values():
            self._delete(target)
        return Plan(
            tuple(self.actions),
            tuple(self.waiting),
            tuple(dict.fromkeys(self.refusals)),
            {package: tuple(dict.fromkeys(found)) for package, found in self.failed.items()},
        )

    # -- what is wanted

    def _report_unresolved(self, wanted: ResolvedPackage) -> None:
        for half in (wanted.software, wanted.configuration):
            if isinstance(half, Unresolved) and half.code != "unnamed":
                self.refusals.append(Finding(half.code, wanted.package, half.reason))

    def _target(self, wanted: ResolvedPackage, has: Observed) -> Target:
        running = has.running
        document = None if running is None else running.configuration
        config_order = ConfigurationOrder(digest=document)
        if isinstance(wanted.configuration, ResolvedConfiguration):
            config_order = wanted.configuration.order
        if isinstance(wanted.software, Unresolved):
            digest = None if running is None else running.digest
            return Target(wanted, has, digest, config_order.digest, config_order.when, None)
        order = wanted.software.active
        if order is None:
            return Target(wanted, has, None, None, When.NOW, None)
        whole = Target(wanted, has, order.digest, config_order.digest, order.when, order)
        if running is None:
            return whole
        if running.digest == order.digest:
            return Target(wanted, has, order.digest, config_order.digest, config_order.when, order)
        apart = isinstance(wanted.configuration, ResolvedConfiguration) and (
            wanted.configuration.change != wanted.software.change
        )
        if apart and running.configuration != config_order.digest and not self._now(order.when):
            # A configuration that was signed by itself does not wait for the software's restart.
            return Target(wanted, has, running.digest, config_order.digest, config_order.when, None)
        return whole

    def _now(self, when: When) -> bool:
        if when is When.WINDOW:
            return is_open(self.resolved.windows, self.around.now)
        return when is When.NOW

    def _cancel(self, targets: dict[Purl, Target]) -> None:
        """What waits for a restart and is not wanted any more is taken back before all else."""
        for package, target in list(targets.items()):
            armed = target.has.armed
            if armed is None:
                continue
            if armed.attempt == target.attempt and target.when is When.RESTART and target.changes:
                continue
            if isinstance(target.wanted.software, Unresolved) and target.order is None:
                continue  # omission stops change, it does not take anything back
            self.actions.append(Cancel(package))
            for member in armed.packages:
                targets.pop(member, None)

    # -- levels

    def _raise(self, target: Target) -> bool:
        """Plan what lifts the orders to their levels; whether the active one is ready to run."""
        software = target.wanted.software
        ready = True
        if isinstance(software, ResolvedSoftware):
            for order in software.releases:
                lifted = self._lift(target, software, order)
                if order == target.order:
                    ready = lifted
        return ready

    def _lift(self, target: Target, software: ResolvedSoftware, order: ReleaseOrder) -> bool:
        package, has = target.wanted.package, target.has
        level = has.held.get(order.digest)
        runs = has.running is not None and has.running.digest == order.digest
        reached = runs or level is Level.INSTALLED or level == order.level
        if reached and (runs or order.level is not Level.ACTIVE):
            return True
        release = has.described.get(order.digest)
        if release is None:
            self._do(Describe(package, order), "describe", order)
            return False
        situation = Situation(
            target.wanted, software, has, self.around.facts, self.around.withdrawn
        )
        found = objections(order, release, situation)
        self.refusals.extend(found)
        document = target.configuration if order.level is Level.ACTIVE else None
        attempt = attempt_of(target.wanted, order.digest, document)
        if found or self._failed(target, attempt):
            return False
        if level is Level.INSTALLED:
            return True
        if level is None:
            self._do(Transfer(package, order), "transfer", order)
        else:
            self._do(Install(package, order, attempt), "install", order)
        return False

    def _do(self, action: Describe | Transfer | Install, what: str, order: ReleaseOrder) -> None:
        """Plan it, unless the owner holds everything."""
        if self.resolved.holds:
            self._wait(action.package, what, order, self.resolved.holds[0])
        else:
            self.actions.append(action)

    def _failed(self, target: Target, attempt: str) -> bool:
        for failure in target.has.failed:
            if failure.attempt != attempt:
                continue
            self.failed.setdefault(target.wanted.package, []).append(failure.digest)
            if failure.retry_at is None or self.around.now < failure.retry_at:
                waits = "a newer order" if failure.retry_at is None else "the next try"
                self.waiting.append(
                    Waiting(
                        target.wanted.package,
                        "activate",
                        digest=failure.digest,
                        waits_for=f"{waits}; it failed: {failure.reason}",
                    )
                )
                return True
        return False

    def _wait(self, package: Purl, what: str, order: ReleaseOrder | None, why: str) -> None:
        self.waiting.append(
            Waiting(
                package,
                what,
                "" if order is None else order.version,
                None if order is None else order.digest,
                why,
            )
        )

    # -- activation

    def _activate(self, unit: list[Target], ready: set[Purl]) -> None:
        changing = [target for target in unit if target.changes]
        if not changing:
            return
        if not self._same_scope(unit):
            return
        blocked = [
            target
            for target in unit
            if target.wanted.package not in ready
            or not self._document_there(target)
            or (target.changes and self._failed(target, target.attempt))
        ]
        if blocked:
            names = ", ".join(target.wanted.package for target in blocked)
            for target in changing:
                if target not in blocked:
                    self._wait(target.wanted.package, "activate", target.order, names)
            return
        members = tuple(self._member(target) for target in changing)
        self._schedule(changing, members)

    def _same_scope(self, unit: list[Target]) -> bool:
        if len(unit) == 1 and not partners_of(unit[0]):
            return True
        named = {partner for target in unit for partner in partners_of(target)}
        present = {target.wanted.package for target in unit}
        scopes = {
            target.wanted.software.scope
            if isinstance(target.wanted.software, ResolvedSoftware)
            else None
            for target in unit
        }
        if named <= present and len(scopes) == 1 and None not in scopes:
            return True
        for target in unit:
            reason = "packages that go together need one scope and one manager"
            self.refusals.append(Finding("together-apart", target.wanted.package, reason))
        return False

    def _document_there(self, target: Target) -> bool:
        digest = target.configuration
        if not target.changes or digest is None or digest in self.around.documents:
            return True
        half = target.wanted.configuration
        size = half.order.size if isinstance(half, ResolvedConfiguration) else 0
        if self.resolved.holds:
            self._wait(target.wanted.package, "configure", target.order, self.resolved.holds[0])
        else:
            self.actions.append(FetchDocument(target.wanted.package, digest, size))
        return False

    def _member(self, target: Target) -> Member:
        release = None if target.digest is None else target.has.described.get(target.digest)
        snapshot, restore = data_steps(target.has, release)
        return Member(
            target.wanted.package,
            target.digest,
            target.configuration,
            target.attempt,
            snapshot,
            restore,
        )

    def _schedule(self, changing: list[Target], members: tuple[Member, ...]) -> None:
        whens = {target.when for target in changing}
        armed = [target.has.armed for target in changing if target.has.armed is not None]
        booted = bool(armed) and all(one.boot != self.around.boot for one in armed)
        why = self._gate(whens, booted=booted)
        if why:
            for target in changing:
                self._wait(target.wanted.package, verb_of(target), target.order, why)
        elif When.RESTART in whens and not booted:
            for target in changing:
                self._wait(target.wanted.package, verb_of(target), target.order, "restart")
            if not armed:
                self.actions.append(Activate(members, at_restart=True))
        else:
            self.actions.append(Activate(members, booted=booted))

    def _gate(self, whens: Iterable[When], *, booted: bool) -> str:
        """What an activation has to wait for; empty: nothing."""
        if self.resolved.holds:
            return self.resolved.holds[0]
        if booted or When.RESTART in whens:
            return ""
        if When.WINDOW in whens and not is_open(self.resolved.windows, self.around.now):
            opening = next_opening(self.resolved.windows, self.around.now)
            return (
                "window: no scope sets one"
                if opening is None
                else f"window: opens {opening:%Y-%m-%dT%H:%M:%SZ}"
            )
        return busy(self.around.inhibitions, self.resolved.override_inhibitors)

    # -- deletion

    def _delete(self, target: Target) -> None:
        software, has = target.wanted.software, target.has
        if isinstance(software, Unresolved) or target.changes or self.resolved.holds:
            return
        active = software.active
        if active is not None and (has.running is None or has.running.digest != active.digest):
            return
        keep = {order.digest for order in software.releases}
        if has.running is not None:
            keep.add(has.running.digest)
            earlier = [digest for digest in has.history if digest not in keep]
            keep.update(earlier[: self.resolved.retention])
        self.actions.extend(
            Delete(target.wanted.package, digest)
            for digest in sorted(has.held)
            if digest not in keep
        )


def busy(inhibitions: Iterable[Inhibition], overridden: frozenset[str]) -> str:
    """Who must not be disturbed, in words; empty: nobody. '*' overrides whoever it is."""
    if "*" in overridden:
        return ""
    return next(
        (f"busy: {one.name}: {one.why}" for one in inhibitions if one.name not in overridden),
        "",
    )
