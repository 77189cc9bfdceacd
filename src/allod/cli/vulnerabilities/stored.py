"""Whether a release in the store mends a flaw: by its signed SBOM, or by its provider's word."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from allod.advisories.assessing import assess
from allod.advisories.finding import Advisories, Assessment, Finding
from allod.cli.catalog import PackageVersion
from allod.cli.vulnerabilities.found import Line, Looked, wares_of
from allod.cli.vulnerabilities.ware import Kind, Release
from allod.domain.ids import ProviderName, Purl, package_name, parse_version
from allod.domain.version_order import place_of
from allod.errors import AllodError

if TYPE_CHECKING:
    from allod.cli.picture import Picture
    from allod.cli.vulnerabilities.bills import Bills

LOOKED_AT: Final = 20  #: releases of a package, the newest ones


@dataclass
class Store:
    """The releases that can be had.

    Args:
        picture: the fleet, verified.
        bills: their SBOMs.
        known: what is known of advisories.
    """

    picture: Picture
    bills: Bills
    known: Advisories
    _releases: dict[tuple[ProviderName, Purl], tuple[Release, ...]] = field(default_factory=dict)
    _assessed: dict[Release, Assessment | None] = field(default_factory=dict)

    def mending(self, looked: Looked) -> Looked:
        """The look with, at each flaw of a package, the newer releases that have it no more."""
        return replace(looked, lines=tuple(map(self.mended, looked.lines)))

    def mended(self, line: Line) -> Line:
        """One of them."""
        running = {ware.release for ware in line.wares if ware.kind is Kind.RELEASE}
        found = {
            newer: None
            for release in sorted(filter(None, running), key=lambda one: one.shown)
            for newer in self._newer(release)
            if self.mends(newer, line.finding)
        }
        return replace(line, releases=tuple(found))

    def _newer(self, release: Release) -> tuple[Release, ...]:
        """Those after it, oldest first; where versions have no order, all others."""
        known = self.releases(release.provider, release.package)
        place = place_of(release.version)
        return tuple(
            one
            for one in known
            if one.digest != release.digest
            and (place is None or (there := place_of(one.version)) is None or there > place)
        )

    def releases(self, provider: ProviderName, package: Purl) -> tuple[Release, ...]:
        """The newest releases of a package that its provider signed and nobody recalled."""
        key = (provider, package)
        if key not in self._releases:
            self._releases[key] = tuple(self._listed(provider, package))
        return self._releases[key]

    def _listed(self, provider: ProviderName, package: Purl) -> list[Release]:
        catalog = self.picture.catalog
        tags = sorted(
            catalog.versions(provider, package_name(package)),
            key=lambda tag: (place_of(tag) is not None, place_of(tag) or (), tag),
        )
        found: list[Release] = []
        for tag in tags[-LOOKED_AT:]:
            try:
                version = parse_version(tag)
                named = catalog.resolve(PackageVersion(package, version), provider)
            except AllodError:
                continue  # nobody whose word counts says that it is a release
            if named.digest not in self.picture.base.withdrawn:
                found.append(Release(provider, package, version, named.digest))
        return found

    def mends(self, release: Release, finding: Finding) -> bool:
        """Whether a release has a flaw no more."""
        has = self.assessed(release)
        if has is not None:
            return not still_has(has, finding)
        try:
            said = self.picture.catalog.release(
                release.provider, release.package, release.digest
            ).mends
        except AllodError:
            return False
        return not finding.names.isdisjoint(said)

    def assessed(self, release: Release) -> Assessment | None:
        """What is known of a release; None: what it is made of is not known."""
        if release not in self._assessed:
            ware = self.bills.ware(release)
            self._assessed[release] = None if ware.unseen else assess(wares_of(ware), self.known)
        return self._assessed[release]


def still_has(has: Assessment, finding: Finding) -> bool:
    """Whether what is known of something has a flaw, or can hide it: unknown is not mended."""
    if any(one.counts and finding.names & one.names for one in has.findings):
        return True
    names = finding.names
    open_ = ((one.advisory.id, *one.advisory.aliases) for one in has.undecided)
    if any(not names.isdisjoint(one) for one in open_):
        return True
    part = {finding.component.name, finding.component.said.name}
    return any(one.said.name in part for one in has.unmatchable)
