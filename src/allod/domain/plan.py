"""The plan: what a device does next, and what it waits for. Pure: values in, values out.

Rules, in the order in which they are applied to each package:

1. Work that could not be brought to its end comes first: nothing else is planned for its unit.
2. What nobody's word decides stays as it is.
3. An order is judged as soon as its release's description is known and meets what the owner asks
   of its provider now, before its payload is fetched: not withdrawn, the device's hardware, constraints, access and one-way data accepted,
   and every term in force for each step that is left. What needs no description is judged before.
4. What was refused is not done; the half of a package that was signed apart from it is.
5. What waits for the next restart is taken back if it is not wanted any more, refused by now, or
   the word of a delegate that counts no more. Omission by the owner takes nothing back.
6. Orders rise from level to level; each level is an action of its own.
7. Activation of a unit waits until all of it is installed and allowed, then for hold, terms,
   window, inhibitors and restart. An attempt that failed is not repeated until something newer is
   signed.
8. Deletion is last, and only once what is wanted runs: a named list lacks the release, it does
   not run, and retention does not keep it. What ran before goes by retention, by nobody's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
from allod.domain.condition import Verb
from allod.domain.desired import Level, ReleaseOrder, When
from allod.domain.ids import Digest, Purl
from allod.domain.judgement import Finding, data_steps
from allod.domain.observed import Observed
from allod.domain.permission import Permissions, Standing
from allod.domain.resolution import (
    Resolved,
    ResolvedConfiguration,
    ResolvedPackage,
    ResolvedSoftware,
    Unresolved,
)
from allod.domain.standing import Halves, Judge
from allod.domain.surroundings import Surroundings, gate
from allod.domain.targets import (
    Target,
    attempt_of,
    configured,
    omitted,
    partners_of,
    signed_apart,
    target_of,
    units_of,
    verb_of,
    with_old_configuration,
)
from allod.domain.telling import Telling
from allod.domain.window import is_open


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in order, and what can't be done now."""

    actions: tuple[Action, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    refusals: tuple[Finding, ...] = ()
    failed: Mapping[Purl, tuple[Digest, ...]] = field(default_factory=dict)


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
        self.telling = Telling()
        self.halves: dict[Purl, Halves] = {}
        self.attempts: dict[Purl, str] = {}  #: by which answers at the device are known
        self.judge = Judge(
            Permissions(around.now, around.witnessed, around.grounds),
            around.facts,
            around.withdrawn,
            around.providers,
        )

    def run(self) -> Plan:
        targets = {}
        for package, wanted in self.resolved.packages.items():
            has = self.observed.get(package, Observed(package))
            self._report_unresolved(wanted)
            if has.stuck:
                self.telling.waiting.append(Waiting(package, "recover", waits_for=has.stuck))
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
            tuple(self.telling.waiting),
            tuple(dict.fromkeys(self.telling.refusals)),
            {
                package: tuple(dict.fromkeys(found))
                for package, found in self.telling.failed.items()
            },
        )

    # -- what is wanted

    def _report_unresolved(self, wanted: ResolvedPackage) -> None:
        for half in (wanted.software, wanted.configuration):
            if isinstance(half, Unresolved) and half.code != "unnamed":
                self.telling.refusals.append(Finding(half.code, wanted.package, half.reason))

    def _target(self, wanted: ResolvedPackage, has: Observed) -> Target:
        """What is to run; a half that is held up and was signed by itself is left for later."""
        whole = target_of(wanted, has)
        self.attempts[wanted.package] = whole.attempt
        target, halves = whole, self.judge.target(whole, whole.attempt)
        if signed_apart(wanted):
            target = self._apart(whole, halves)
            if target is not whole:
                self._leave_out(whole, halves, target)
                halves = self.judge.target(target, whole.attempt)
        self.telling.refusals.extend(halves.software.refusals + halves.configuration.refusals)
        self.halves[wanted.package] = halves
        return target

    def _apart(self, whole: Target, halves: Halves) -> Target:
        software, configuration = halves.both
        alone = configured(whole.wanted, whole.has)
        early = software.waits or not self._now(whole.when)
        if whole.changes_software and alone.changes and (software.refusals or early):
            return alone
        early = configuration.waits and whole.has.running is not None
        if whole.changes_software and (configuration.refusals or early):
            return with_old_configuration(whole)
        return whole

    def _leave_out(self, whole: Target, halves: Halves, target: Target) -> None:
        """Tell of the half that is not part of what happens next."""
        software = target.changes_configuration
        left = halves.software if software else halves.configuration
        self.telling.refusals.extend(left.refusals)
        if left.waits and not left.refusals:
            what = verb_of(whole) if software else "configure"
            self.telling.wait_for_terms(whole, what, whole.attempt, [left])

    def _now(self, when: When) -> bool:
        if when is When.WINDOW:
            return is_open(self.resolved.windows, self.around.now)
        return when is When.NOW

    def _cancel(self, targets: dict[Purl, Target]) -> None:
        """What waits for a restart and must not take place is taken back before all else."""
        for package, target in list(targets.items()):
            armed = target.has.armed
            if armed is None:
                continue
            refused = self.halves[package].refused
            same = armed.attempt == target.attempt and target.when is When.RESTART
            if same and target.changes and not refused:
                continue
            if omitted(target) and not refused:
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
        attempt = self.attempts[package]
        standing = self.judge.order(target.wanted, software, has, order, attempt)
        self.telling.refusals.extend(standing.refusals)
        if standing.refusals:
            return False
        if order.digest not in has.described or order.digest in has.unvetted:
            self._do(Describe(package, order), "describe", order)
            return False
        document = target.configuration if order.level is Level.ACTIVE else None
        attempt = attempt_of(target.wanted, order.digest, document)
        if self.telling.has_failed(target, attempt, self.around.now):
            return False
        if level is Level.INSTALLED:
            return True
        self._rise(target, order, attempt, standing)
        return False

    def _rise(self, target: Target, order: ReleaseOrder, attempt: str, standing: Standing) -> None:
        """Plan the next step, of which nothing says never."""
        package = target.wanted.package
        verb = Verb.TRANSFER if target.has.held.get(order.digest) is None else Verb.INSTALL
        if standing.decisions[verb].waits:
            self.telling.wait_for_terms(target, verb, self.attempts[package], [standing])
        elif verb is Verb.TRANSFER:
            self._do(Transfer(package, order, standing.texts(verb)), "transfer", order)
        else:
            self._do(Install(package, order, attempt, standing.texts(verb)), "install", order)

    def _do(self, action: Describe | Transfer | Install, what: str, order: ReleaseOrder) -> None:
        """Plan it, unless the owner holds everything."""
        if self.resolved.holds:
            self.telling.wait(action.package, what, order, self.resolved.holds[0])
        else:
            self.actions.append(action)

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
            or self.halves[target.wanted.package].refused
            or not self._document_there(target)
            or (target.changes and self.telling.has_failed(target, target.attempt, self.around.now))
        ]
        if blocked:
            names = ", ".join(target.wanted.package for target in blocked)
            for target in changing:
                if target not in blocked:
                    self.telling.wait(target.wanted.package, "activate", target.order, names)
            return
        members = tuple(self._member(target) for target in changing)
        self._schedule(changing, members)

    def _same_scope(self, unit: list[Target]) -> bool:
        if len(unit) == 1 and not partners_of(unit[0]):
            return True
        named = {partner for target in unit for partner in partners_of(target)}
        present = {target.wanted.package for target in unit}
        words = {
            (target.wanted.software.scope, target.wanted.software.manager)
            if isinstance(target.wanted.software, ResolvedSoftware)
            else None
            for target in unit
        }
        if named <= present and len(words) == 1 and None not in words:
            return True
        for target in unit:
            reason = "packages that go together need one scope and one manager"
            self.telling.refusals.append(Finding("together-apart", target.wanted.package, reason))
        return False

    def _document_there(self, target: Target) -> bool:
        digest = target.configuration
        if not target.changes or digest is None or digest in self.around.documents:
            return True
        half = target.wanted.configuration
        size = half.order.size if isinstance(half, ResolvedConfiguration) else 0
        if self.resolved.holds:
            self.telling.wait(
                target.wanted.package, "configure", target.order, self.resolved.holds[0]
            )
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
            self._texts(target),
        )

    def _texts(self, target: Target) -> tuple[str, ...]:
        software, configuration = self.halves[target.wanted.package].both
        texts = software.texts(Verb.ACTIVATE, Verb.DELETE) + configuration.texts(Verb.CONFIGURE)
        return tuple(dict.fromkeys(texts))

    def _schedule(self, changing: list[Target], members: tuple[Member, ...]) -> None:
        whens = {target.when for target in changing}
        armed = [target.has.armed for target in changing if target.has.armed is not None]
        booted = bool(armed) and all(one.boot != self.around.boot for one in armed)
        early = [t for t in changing if any(h.waits for h in self.halves[t.wanted.package].both)]
        if early and not self.resolved.holds:
            self._too_early(changing, early, booted=booted)
            return
        why, until = gate(whens, self.resolved, self.around, booted=booted)
        if why:
            for target in changing:
                self.telling.wait(target.wanted.package, verb_of(target), target.order, why, until)
        elif When.RESTART in whens and not booted:
            for target in changing:
                self.telling.wait(target.wanted.package, verb_of(target), target.order, "restart")
            if not armed:
                self.actions.append(Activate(members, at_restart=True))
        else:
            self.actions.append(Activate(members, booted=booted))

    def _too_early(self, changing: list[Target], early: list[Target], *, booted: bool) -> None:
        """A term has to be waited for; a restart that came too early is not made use of."""
        names = ", ".join(target.wanted.package for target in early)
        for target in changing:
            package = target.wanted.package
            if target in early:
                what, both = verb_of(target), self.halves[package].both
                self.telling.wait_for_terms(target, what, self.attempts[package], both)
            else:
                self.telling.wait(package, verb_of(target), target.order, names)
        if booted:
            armed = next(target for target in changing if target.has.armed is not None)
            self.actions.append(Cancel(armed.wanted.package))

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
        ran = frozenset() if has.running is None else frozenset(has.history)
        for digest in sorted(has.held):
            if digest in keep:
                continue
            if digest in ran or software.channel is not None:
                self.actions.append(Delete(target.wanted.package, digest))
            else:
                self._delete_by_order(target, software, digest)

    def _delete_by_order(self, target: Target, software: ResolvedSoftware, digest: Digest) -> None:
        package, attempt = target.wanted.package, self.attempts[target.wanted.package]
        standing = self.judge.removal(target.wanted, software, target.has, attempt)
        self.telling.refusals.extend(standing.refusals)
        if standing.refusals:
            return
        if standing.waits:
            self.telling.wait_for_terms(target, "delete", attempt, [standing])
            return
        self.actions.append(Delete(package, digest, standing.texts(Verb.DELETE)))
