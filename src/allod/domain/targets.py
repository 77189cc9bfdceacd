"""What is to run of each package, and which packages change together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from allod.domain.desired import ReleaseOrder, When
from allod.domain.ids import Digest, Purl
from allod.domain.observed import Observed
from allod.domain.resolution import ResolvedConfiguration, ResolvedPackage, ResolvedSoftware


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
    def attempt(self) -> str:
        """What this attempt is known by."""
        return attempt_of(self.wanted, self.digest, self.configuration)


def units_of(targets: Mapping[Purl, Target]) -> list[tuple[Purl, ...]]:
    """The packages that change, grouped by what is to go together."""
    units: list[set[Purl]] = []
    for package, target in targets.items():
        software = target.wanted.software
        partners = software.together if isinstance(software, ResolvedSoftware) else ()
        joined = {package, *partners}
        apart = [unit for unit in units if not unit & joined]
        units = [*apart, joined.union(*(unit for unit in units if unit & joined))]
    return [tuple(sorted(unit)) for unit in units]


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
