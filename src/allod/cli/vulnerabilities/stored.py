"""Whether a release in the store mends a flaw: by its signed SBOM, or by its provider's word."""

from __future__ import annotations

from collections.abc import Iterator
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
        recalled: whether releases that were recalled are looked at too: devices may run them.
    """

    picture: Picture
    bills: Bills
    known: Advisories
    recalled: bool = False
    _tags: dict[tuple[ProviderName, Purl], list[str]] = field(default_factory=dict)
    _releases: dict[tuple[ProviderName, Purl, str], Release | None] = field(default_factory=dict)
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

    def _newer(self, release: Release) -> Iterator[Release]:
        """Those after it, oldest first; where versions have no order, all others."""
        place = place_of(release.version)
        newer = [
            tag
            for tag in self._versions(release.provider, release.package)
            if tag != release.version
            and (place is None or (there := place_of(tag)) is None or there > place)
        ]
        for tag in newer[-LOOKED_AT:]:
            found = self._named(release.provider, release.package, tag)
            if found is not None and found.digest != release.digest:
                yield found

    def releases(self, provider: ProviderName, package: Purl) -> tuple[Release, ...]:
        """The newest releases of a package that nobody recalled, oldest first."""
        tags = self._versions(provider, package)[-LOOKED_AT:]
        found = (self._named(provider, package, tag) for tag in tags)
        return tuple(one for one in found if one is not None)

    def _versions(self, provider: ProviderName, package: Purl) -> list[str]:
        key = (provider, package)
        if key not in self._tags:
            tags = self.picture.catalog.versions(provider, package_name(package))
            self._tags[key] = sorted(tags, key=_by_version)
        return self._tags[key]

    def _named(self, provider: ProviderName, package: Purl, tag: str) -> Release | None:
        """The release that its provider signed under that version, unless it was recalled."""
        key = (provider, package, tag)
        if key not in self._releases:
            try:
                version = parse_version(tag)
                named = self.picture.catalog.resolve(PackageVersion(package, version), provider)
            except AllodError:  # nobody whose word counts says that it is a release
                self._releases[key] = None
            else:
                recalled = not self.recalled and named.digest in self.picture.base.withdrawn
                found = Release(provider, package, version, named.digest)
                self._releases[key] = None if recalled else found
        return self._releases[key]

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


def _by_version(tag: str) -> tuple[bool, object, str]:
    place = place_of(tag)
    return (place is not None, place or (), tag)


def still_has(has: Assessment, finding: Finding) -> bool:
    """Whether what is known of something has a flaw, or can hide it: unknown is not mended."""
    if any(one.counts and finding.names & one.names for one in has.findings):
        return True
    names = finding.names
    records = (one.advisory for one in has.undecided)
    open_ = ((one.id, *one.aliases, *one.upstream) for one in records)
    if any(not names.isdisjoint(one) for one in open_):
        return True
    part = {finding.component.name, finding.component.said.name}
    return any(one.said.name in part for one in has.unmatchable)
