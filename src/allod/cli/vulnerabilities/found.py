"""What advisories say of what runs: each flaw of each part once, with all the places it is in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from allod.advisories.assessing import assess, worst_first
from allod.advisories.component import Component, Unmatchable
from allod.advisories.finding import (
    Advisories,
    Candidate,
    Epss,
    Exploited,
    Finding,
    Level,
    Undecided,
    VexStatement,
    Wares,
)
from allod.advisories.names import asked
from allod.advisories.purls import component_of
from allod.cli.vulnerabilities.ware import Place, Release, Running, Ware

_LEVELS: Final = tuple(Level)  #: worst first, but for those that nobody scored
_Part = tuple[str, str, str]


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
    name: str
    version: str
    purl: str
    wares: tuple[Ware, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known of what runs, and what is not."""

    running: Running
    lines: tuple[Line, ...] = ()  #: worst first
    unknown: tuple[Unknown, ...] = ()
    undecided: tuple[Undecided, ...] = ()
    clean: int = 0  #: different parts that were asked about and have none
    parts: int = 0  #: different parts, those that nothing is known of among them
    unasked: Mapping[str, int] = field(default_factory=dict)  #: ecosystem that no source knows

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


def look_at(running: Running, known: Advisories) -> Looked:
    """Ask what is known of everything that runs.

    Every different part is asked about once; whose word of VEX counts hangs on the ware, so that
    those with flaws are looked at one by one.
    """
    memory = Remembered(known)
    every_ware = {ware.key: (ware, wares_of(ware)) for ware in running.wares}
    every: dict[_Part, Component] = {}
    for _, wares in every_ware.values():
        for component in wares.components:
            every.setdefault(part_of(component), component)
    whole = assess(Wares(tuple(every.values())), memory)
    flawed = {part_of(one.component) for one in whole.findings}
    lines: dict[tuple[object, ...], Line] = {}
    for ware, wares in every_ware.values():
        chosen = {part_of(one): one for one in wares.components if part_of(one) in flawed}
        if not chosen:
            continue
        mine = assess(replace(wares, components=tuple(chosen.values()), unmatchable=()), memory)
        for finding in mine.findings:
            _add(lines, finding, ware)
    unknown = _unknown(every_ware.values())
    return Looked(
        running,
        tuple(
            replace(one, places=running.where(one.wares))
            for one in sorted(lines.values(), key=_place)
        ),
        unknown,
        whole.undecided,
        len(every) - len(flawed | {part_of(one.component) for one in whole.undecided}),
        len(every) + len(unknown),
        _unasked(known, every),
    )


def _add(lines: dict[tuple[object, ...], Line], finding: Finding, ware: Ware) -> None:
    vex = finding.vex
    said = None if vex is None else (vex.status, vex.author, vex.at)
    key = (finding.id, part_of(finding.component), said)
    line = lines.get(key)
    if line is None:
        lines[key] = Line(finding, (ware,))
    elif ware not in line.wares:
        lines[key] = replace(line, wares=(*line.wares, ware))


def _place(line: Line) -> tuple[object, ...]:
    """What counts first, and of that the worst."""
    return (not line.finding.counts, *worst_first(line.finding))


def _unknown(asked: Iterable[tuple[Ware, Wares]]) -> tuple[Unknown, ...]:
    found: dict[Unmatchable, dict[Ware, None]] = {}
    for ware, wares in asked:
        for one in wares.unmatchable:
            found.setdefault(one, {})[ware] = None
    return tuple(
        Unknown(one.code, one.why, one.said.name, one.said.version, one.said.purl, tuple(wares))
        for one, wares in sorted(found.items(), key=lambda pair: pair[0].said)
    )


def _unasked(known: Advisories, every: Mapping[_Part, Component]) -> dict[str, int]:
    """Ecosystems of parts that no source that counts says anything of, with how many parts."""
    counts: dict[str, int] = {}
    for ecosystem, _, _ in every:
        counts[ecosystem] = counts.get(ecosystem, 0) + 1
    told = getattr(known, "ecosystems", None)
    if told is None:
        return {}
    said = frozenset(told())
    return {name: count for name, count in sorted(counts.items()) if said.isdisjoint(asked(name))}


class Remembered:
    """What was asked once is not asked again, within one look; implements `Advisories`."""

    def __init__(self, known: Advisories) -> None:
        self._known = known
        self._about: dict[tuple[str, str], Sequence[Candidate]] = {}
        self._exploited: dict[str, Exploited | None] = {}
        self._epss: dict[str, Epss | None] = {}
        self._aliases: dict[str, frozenset[str] | None] = {}
        self._statements: dict[frozenset[str], Sequence[VexStatement]] = {}

    def about(
        self, packages: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Sequence[Candidate]]:
        """See the port."""
        wanted = tuple(packages)
        new = [one for one in wanted if one not in self._about]
        if new:
            told = self._known.about(new)
            self._about.update((one, told.get(one, ())) for one in new)
        return {one: self._about[one] for one in wanted if self._about[one]}

    def exploited(self, cves: Iterable[str]) -> Mapping[str, Exploited]:
        """See the port."""
        wanted = tuple(cves)
        new = [one for one in wanted if one not in self._exploited]
        if new:
            told = self._known.exploited(new)
            self._exploited.update((one, told.get(one)) for one in new)
        return {one: said for one in wanted if (said := self._exploited[one]) is not None}

    def epss(self, cves: Iterable[str]) -> Mapping[str, Epss]:
        """See the port."""
        wanted = tuple(cves)
        new = [one for one in wanted if one not in self._epss]
        if new:
            told = self._known.epss(new)
            self._epss.update((one, told.get(one)) for one in new)
        return {one: said for one in wanted if (said := self._epss[one]) is not None}

    def statements(self, flaws: Iterable[str]) -> Sequence[VexStatement]:
        """See the port."""
        wanted = frozenset(flaws)
        if wanted not in self._statements:
            self._statements[wanted] = self._known.statements(wanted)
        return self._statements[wanted]

    def aliases(self, names: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """See the port."""
        wanted = tuple(names)
        new = [one for one in wanted if one not in self._aliases]
        if new:
            told = self._known.aliases(new)
            self._aliases.update((one, told.get(one)) for one in new)
        return {one: said for one in wanted if (said := self._aliases[one]) is not None}
