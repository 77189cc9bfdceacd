"""What is to run of each package, and which packages change together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from allod.domain.desired import OWNER, ConfigurationOrder, ReleaseOrder, When
from allod.domain.ids import Digest, Purl, Scope
from allod.domain.observed import Observed
from allod.domain.resolution import (
    ResolvedConfiguration,
    ResolvedPackage,
    ResolvedSoftware,
    Unresolved,
)


def attempt_of(package: ResolvedPackage, digest: Digest | None, document: Digest | None) -> str:
    """What an attempt is known by: the same one is not repeated after it failed."""
    changes = [
        half.change if isinstance(half, ResolvedSoftware | ResolvedConfiguration) else ""
        for half in (package.software, package.configuration)
    ]
    return "|".join((digest or "", document or "", *changes))


@dataclass(frozen=True, slots=True)
class Target:
    """What is to run of one package."""

    wanted: ResolvedPackage
    has: Observed
    digest: Digest | None
    configuration: Digest | None
    when: When
    order: ReleaseOrder | None

    @property
    def changes(self) -> bool:
        """Whether something else runs."""
        running = self.has.running
        if running is None or self.digest is None:
            return (running is None) != (self.digest is None)
        return (running.digest, running.configuration) != (self.digest, self.configuration)

    @property
    def changes_software(self) -> bool:
        """Whether another release runs, or none."""
        running = self.has.running
        return (None if running is None else running.digest) != self.digest

    @property
    def changes_configuration(self) -> bool:
        """Whether what is to run gets another document than what runs now has."""
        running = self.has.running
        had = None if running is None else running.configuration
        return self.digest is not None and had != self.configuration

    @property
    def attempt(self) -> str:
        """What this attempt is known by."""
        return attempt_of(self.wanted, self.digest, self.configuration)


def target_of(wanted: ResolvedPackage, has: Observed) -> Target:
    """What is to run if both halves are allowed."""
    if isinstance(wanted.software, Unresolved):
        return configured(wanted, has)
    order, configuration = wanted.software.active, _configuration(wanted, has)
    if order is None:
        return Target(wanted, has, None, None, When.NOW, None)
    same = has.running is not None and has.running.digest == order.digest
    when = configuration.when if same else order.when
    return Target(wanted, has, order.digest, configuration.digest, when, order)


def configured(wanted: ResolvedPackage, has: Observed) -> Target:
    """The release that runs, with the configuration that is wanted."""
    order = _configuration(wanted, has)
    digest = None if has.running is None else has.running.digest
    return Target(wanted, has, digest, order.digest, order.when, None)


def with_old_configuration(target: Target) -> Target:
    """The release that is wanted, with the configuration that is there."""
    running = target.has.running
    return replace(target, configuration=None if running is None else running.configuration)


def _configuration(wanted: ResolvedPackage, has: Observed) -> ConfigurationOrder:
    if isinstance(wanted.configuration, ResolvedConfiguration):
        return wanted.configuration.order
    return ConfigurationOrder(digest=None if has.running is None else has.running.configuration)


def signed_apart(wanted: ResolvedPackage) -> bool:
    """Whether one half does not have to wait for the other: they are changes of their own."""
    halves = wanted.software, wanted.configuration
    return (
        isinstance(halves[0], ResolvedSoftware)
        and isinstance(halves[1], ResolvedConfiguration)
        and (halves[0].change, halves[0].manager) != (halves[1].change, halves[1].manager)
    )


def omitted(target: Target) -> bool:
    """Whether nobody's word decides by the owner's silence alone, and nothing else changes.

    A delegate whose word is lost is no such case, nor one who was ended and is named no more.
    """
    wanted = target.wanted
    halves = wanted.software, wanted.configuration
    lost = any(isinstance(half, Unresolved) and half.manager != OWNER for half in halves)
    armed = target.has.armed
    if armed is not None and armed.managers - {OWNER}:
        lost = True
    return isinstance(wanted.software, Unresolved) and not target.changes and not lost


def units_of(targets: Mapping[Purl, Target]) -> list[tuple[Purl, ...]]:
    """The packages that change, grouped by what is to go together."""
    units: list[set[Purl]] = []
    for package, target in targets.items():
        joined = {
            package,
            *(one for one in partners_of(target) if _binds(target, targets.get(one))),
        }
        apart = [unit for unit in units if not unit & joined]
        units = [*apart, joined.union(*(unit for unit in units if unit & joined))]
    return [tuple(sorted(unit)) for unit in units]


def _binds(target: Target, partner: Target | None) -> bool:
    """Whether a partner waits for it too: a delegate holds up no package but their own."""
    ours, theirs = target.wanted.software, None if partner is None else partner.wanted.software
    if not isinstance(ours, ResolvedSoftware) or ours.manager == OWNER:
        return True
    return isinstance(theirs, ResolvedSoftware) and _word(theirs) == _word(ours)


def _word(software: ResolvedSoftware) -> tuple[Scope, str]:
    return software.scope, software.manager


def partners_of(target: Target) -> tuple[Purl, ...]:
    """The packages that the owner wants to go together with this one."""
    software = target.wanted.software
    return software.together if isinstance(software, ResolvedSoftware) else ()


def verb_of(target: Target) -> str:
    """What the change is called."""
    running = target.has.running
    if target.digest is None:
        return "deactivate"
    return "configure" if running is not None and running.digest == target.digest else "activate"
