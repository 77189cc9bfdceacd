"""How an order stands: what the terms and the rules that hold without any term say of it.

Pure questions about one package; `plan` draws the consequences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from allod.domain.condition import Verb
from allod.domain.desired import ReleaseOrder
from allod.domain.ids import Digest, ProviderName
from allod.domain.judgement import ProviderLimits, Situation, barred, objections
from allod.domain.observed import Facts, Observed
from allod.domain.permission import NOTHING, Permissions, Standing, steps_to
from allod.domain.resolution import ResolvedConfiguration, ResolvedPackage, ResolvedSoftware
from allod.domain.targets import Target


@dataclass(frozen=True, slots=True)
class Halves:
    """How both halves of a package's change stand; a half that does not change stands well."""

    software: Standing = NOTHING
    configuration: Standing = NOTHING

    @property
    def both(self) -> tuple[Standing, Standing]:
        """One after the other."""
        return self.software, self.configuration

    @property
    def refused(self) -> bool:
        """Whether anything says never."""
        return any(one.refusals for one in self.both)


@dataclass(frozen=True, slots=True)
class Judge:
    """Says how orders stand on one device."""

    permissions: Permissions
    facts: Facts
    withdrawn: Mapping[Digest, str]
    providers: Mapping[ProviderName, ProviderLimits]

    def order(
        self,
        wanted: ResolvedPackage,
        software: ResolvedSoftware,
        has: Observed,
        order: ReleaseOrder,
        attempt: str,
    ) -> Standing:
        """One release of a list, as far as it is described."""
        at = Situation(wanted, software, has, self.facts, self.withdrawn, self.providers)
        release = has.described.get(order.digest)
        return Standing(
            self.permissions.software(software, steps_to(order, has), order, has, attempt),
            barred(order, at) if release is None else objections(order, release, at),
            wanted.package,
        )

    def removal(
        self, wanted: ResolvedPackage, software: ResolvedSoftware, has: Observed, attempt: str
    ) -> Standing:
        """That something goes, be it what runs."""
        return Standing(
            self.permissions.software(software, (Verb.DELETE,), None, has, attempt),
            package=wanted.package,
        )

    def target(self, target: Target, attempt: str) -> Halves:
        """All that changes for what is to run.

        Args:
            target: what is to run.
            attempt: by which an answer of somebody at the device is known.
        """
        if not target.changes:
            return Halves()
        return Halves(self._software(target, attempt), self._configuration(target, attempt))

    def _software(self, target: Target, attempt: str) -> Standing:
        software, has = target.wanted.software, target.has
        if not isinstance(software, ResolvedSoftware) or not target.changes_software:
            return NOTHING
        if target.order is None:
            return self.removal(target.wanted, software, has, attempt)
        return self.order(target.wanted, software, has, target.order, attempt)

    def _configuration(self, target: Target, attempt: str) -> Standing:
        configuration, digest = target.wanted.configuration, target.digest
        if (
            not isinstance(configuration, ResolvedConfiguration)
            or digest is None
            or not target.changes_configuration
        ):
            return NOTHING
        package = target.wanted.package
        release = target.has.described.get(digest)
        decision = self.permissions.configuration(configuration, release, package, attempt)
        return Standing({Verb.CONFIGURE: decision}, package=package)
