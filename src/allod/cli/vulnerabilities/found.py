"""What advisories say of what runs: each flaw of each part once, with all the places it is in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from allod.advisories.assessing import worst_first
from allod.advisories.component import Component, Unmatchable
from allod.advisories.finding import (
    Advisories,
    Assessment,
    Finding,
    Level,
    Undecided,
    Wares,
)
from allod.advisories.names import asked
from allod.advisories.purls import component_of
from allod.advisories.rematch import Inventory, rematch
from allod.cli.vulnerabilities.ware import Place, Release, Running, Ware
from allod.domain.sbom import SbomComponent

_LEVELS: Final = tuple(Level)  #: worst first, but for those that nobody scored
_Part = tuple[str, str, str]
Packages = Collection[tuple[str, str]]  #: ecosystem and name


@dataclass(frozen=True, slots=True)
class Line:
    """One flaw of one part, wherever it is."""

    finding: Finding
    wares: tuple[Ware, ...]
    places: tuple[Place, ...] = ()
    releases: tuple[Release, ...] = ()  #: in the store, that have it no more; oldest first

    @property
    def part(self) -> _Part:
        """Ecosystem, name and version of the part that has it."""
        return part_of(self.finding.component)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A part of which nothing can be known."""

    code: str
    why: str
    said: SbomComponent
    wares: tuple[Ware, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known of what runs, and what is not."""

    running: Running
    lines: tuple[Line, ...] = ()  #: worst first
    unknown: tuple[Unknown, ...] = ()
    undecided: tuple[Undecided, ...] = ()
    components: tuple[Component, ...] = ()  #: all that have an ecosystem, name and version
    clean: int = 0  #: different parts that were asked about and have none
    parts: int = 0  #: different parts, those that nothing is known of among them
    unasked: Mapping[str, int] = field(default_factory=dict)  #: ecosystem that no source knows

    @property
    def assessment(self) -> Assessment:
        """All of it as one, whatever has it."""
        unmatchable = [Unmatchable(one.said, one.code, one.why) for one in self.unknown]
        unmatchable += [
            Unmatchable(one.said, "unknown-ecosystem", f"no source here knows of {one.ecosystem}")
            for one in self.components
            if one.ecosystem in self.unasked
        ]
        findings = (line.finding for line in self.lines)
        return Assessment(tuple(findings), tuple(unmatchable), self.undecided, self.clean)

    @property
    def asked(self) -> tuple[Component, ...]:
        """The components that any source that counts could know of."""
        return tuple(one for one in self.components if one.ecosystem not in self.unasked)

    @property
    def by_level(self) -> dict[Level, int]:
        """Different flaws that count, each once, however many parts have it."""
        worst: dict[str, Level] = {}
        for line in self.lines:
            if line.finding.counts:
                known = worst.get(line.finding.id, line.finding.level)
                worst[line.finding.id] = min(known, line.finding.level, key=_LEVELS.index)
        counted = dict.fromkeys(_LEVELS, 0)
        for level in worst.values():
            counted[level] += 1
        return counted


def part_of(component: Component) -> _Part:
    """What makes two components the same to advisories."""
    return (component.ecosystem, component.name, component.version)


def wares_of(ware: Ware) -> Wares:
    """The ware as advisories are asked about it."""
    components: dict[Component, None] = {}
    unmatchable: dict[Unmatchable, None] = {}
    for said in ware.parts:
        known = component_of(said, distribution=ware.distribution)
        if isinstance(known, Component):
            components[known] = None
        else:
            unmatchable[known] = None
    return Wares(tuple(components), tuple(unmatchable), ware.products)


def look_at(running: Running, known: Advisories, *, packages: Packages | None = None) -> Looked:
    """Ask what is known of what runs, each different part once.

    Args:
        running: what runs.
        known: the advisories that count.
        packages: only about these; all unless given.
    """
    wares = {ware.key: ware for ware in running.wares}
    asked_about = {ware.key: wares_of(ware) for ware in running.wares}
    inventory = Inventory()
    for key, one in asked_about.items():
        inventory.put(key, one)
    matched = rematch(inventory, packages, known)
    lines: dict[tuple[object, ...], Line] = {}
    for struck in matched.struck:
        _add(lines, struck.finding, [wares[key] for key in struck.holders])
    components = _distinct(asked_about.values())
    every = {part_of(one) for one in components}
    touched = {line.part for line in lines.values()}
    touched |= {part_of(one.component) for one, _ in matched.undecided}
    unasked = _unasked(known, every)
    unknown = _unknown((wares[key], one) for key, one in asked_about.items())
    return Looked(
        running,
        tuple(
            replace(one, places=running.where(one.wares))
            for one in sorted(lines.values(), key=_place)
        ),
        unknown,
        tuple(dict.fromkeys(one for one, _ in matched.undecided)),
        components,
        len(every - touched) - sum(unasked.values()),
        len(every) + len(unknown),
        unasked,
    )


def _distinct(every: Iterable[Wares]) -> tuple[Component, ...]:
    """Each component once; one that several things have is mostly one object."""
    found = {id(one): one for wares in every for one in wares.components}
    return tuple(dict.fromkeys(found.values()))


def _add(lines: dict[tuple[object, ...], Line], finding: Finding, wares: list[Ware]) -> None:
    """A flaw of a source package is one, whatever binary packages were made of it."""
    vex = finding.vex
    said = None if vex is None else (vex.status, vex.author, vex.at)
    key = (finding.id, part_of(finding.component), said)
    line = lines.get(key)
    known = () if line is None else line.wares
    lines[key] = Line(
        finding if line is None else line.finding, tuple(dict.fromkeys((*known, *wares)))
    )


def _place(line: Line) -> tuple[object, ...]:
    """What counts first, and of that the worst."""
    return (not line.finding.counts, *worst_first(line.finding))


def _unknown(asked: Iterable[tuple[Ware, Wares]]) -> tuple[Unknown, ...]:
    found: dict[Unmatchable, dict[Ware, None]] = {}
    for ware, wares in asked:
        for one in wares.unmatchable:
            found.setdefault(one, {})[ware] = None
    return tuple(
        Unknown(one.code, one.why, one.said, tuple(wares))
        for one, wares in sorted(found.items(), key=lambda pair: pair[0].said)
    )


def _unasked(known: Advisories, every: Iterable[_Part]) -> dict[str, int]:
    """Ecosystems of parts that no source that counts says anything of, with how many parts."""
    counts: dict[str, int] = {}
    for ecosystem, _, _ in every:
        counts[ecosystem] = counts.get(ecosystem, 0) + 1
    wanted = {wider for name in counts for wider in asked(name)}
    said = known.told_of(wanted)
    return {name: count for name, count in sorted(counts.items()) if said.isdisjoint(asked(name))}
