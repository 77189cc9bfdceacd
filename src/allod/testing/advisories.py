"""Advisories in memory: what a store answers, from records that a test writes down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from allod.advisories.advisory import Advisory, Affected, Bound, Event, Range, RangeKind, Severity
from allod.advisories.component import Component
from allod.advisories.finding import Candidate, Epss, Exploited, VexStatement
from allod.advisories.names import asked, normalise
from allod.domain.sbom import SbomComponent


def events(*said: str) -> tuple[Event, ...]:
    """Events as "introduced 1.0", "fixed 2.0"."""
    return tuple(Event(Bound(bound), version) for bound, version in map(str.split, said))


def versions(*said: str, kind: RangeKind = RangeKind.ECOSYSTEM) -> Range:
    """A range of such events."""
    return Range(kind, events(*said))


def about(ecosystem: str, name: str, *ranges: Range, enumerated: Iterable[str] = ()) -> Affected:
    """What a record says of a package."""
    return Affected(ecosystem, name, ranges, frozenset(enumerated))


def record(name: str, *affected: Affected, source: str = "ours", **also: Any) -> Advisory:
    """A record; `also` are further fields."""
    return Advisory(name, source, "2026-01-01T00:00:00Z", affected=affected, **also)


def part(ecosystem: str, name: str, version: str, purl: str = "") -> Component:
    """A component."""
    return Component(ecosystem, name, version, SbomComponent(name, version, purl))


class MemoryAdvisories:
    """Implements `allod.advisories.finding.Advisories`."""

    def __init__(
        self,
        records: Iterable[Advisory] = (),
        *,
        exploited: Iterable[Exploited] = (),
        epss: Iterable[Epss] = (),
        statements: Iterable[VexStatement] = (),
    ) -> None:
        self._about: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
        self._scores: dict[str, set[Severity]] = defaultdict(set)
        self._names: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        self._exploited = {one.cve: one for one in exploited}
        self._epss = {one.cve: one for one in epss}
        self._statements = sorted(statements, key=lambda one: one.at)
        for record in records:
            self.add(record)

    def add(self, record: Advisory) -> None:
        """Another record."""
        if record.withdrawn:
            return
        names = (record.id, *record.aliases)
        for name in (*names, *(record.upstream if len(record.upstream) == 1 else ())):
            if record.severity:
                self._scores[name].update(record.severity)
        for name in names:
            self._names[name].append(names)
        bare = replace(record, affected=())
        for one in record.affected:
            name = normalise(one.ecosystem, one.name)
            self._about[one.ecosystem, name].append(Candidate(bare, replace(one, name=name)))

    @property
    def packages(self) -> frozenset[tuple[str, str]]:
        """The packages that there are records about."""
        return frozenset(self._about)

    def about(
        self, packages: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Sequence[Candidate]]:
        """The records about packages."""
        found: dict[tuple[str, str], Sequence[Candidate]] = {}
        for ecosystem, name in packages:
            places = [(scope, name) for scope in asked(ecosystem)]
            if said := [one for place in places for one in self._about.get(place, ())]:
                found[ecosystem, name] = said
        return found

    def aliases(self, names: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """What records that have one of these as id or alias call the same flaw."""
        return {
            name: frozenset(other for group in self._names[name] for other in group)
            for name in names
            if name in self._names
        }

    def scores(self, names: Iterable[str]) -> Mapping[str, Sequence[Severity]]:
        """How bad records call the flaws of these names, as a whole."""
        return {name: sorted(self._scores[name]) for name in names if name in self._scores}

    def told_of(self, ecosystems: Iterable[str]) -> frozenset[str]:
        """See the port."""
        return frozenset(ecosystems) & {ecosystem for ecosystem, _ in self._about}

    def exploited(self, cves: Iterable[str]) -> Mapping[str, Exploited]:
        """What is known to be exploited of these."""
        return {one: self._exploited[one] for one in cves if one in self._exploited}

    def epss(self, cves: Iterable[str]) -> Mapping[str, Epss]:
        """How likely these are to be exploited."""
        return {one: self._epss[one] for one in cves if one in self._epss}

    def statements(self, flaws: Iterable[str]) -> Sequence[VexStatement]:
        """Statements that name any of these flaws, oldest first."""
        named = set(flaws)
        return [one for one in self._statements if not named.isdisjoint(one.flaws)]
