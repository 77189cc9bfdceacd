"""What is known of some components: flaws, each in one line under all its names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from allod.advisories.advisory import Severity
from allod.advisories.component import Component, Unmatchable
from allod.advisories.finding import (
    Advisories,
    Assessment,
    Candidate,
    Epss,
    Exploited,
    Finding,
    Hit,
    Level,
    Undecided,
    VexStatement,
    Wares,
)
from allod.advisories.matching import Judge, key_of, match
from allod.advisories.names import asked
from allod.advisories.naming import called, flaws_of, is_cve, names_in
from allod.advisories.orders import order_of
from allod.advisories.severity import Judged, judged, rank
from allod.advisories.vexing import newest

Package = tuple[str, str]  #: (ecosystem with release, normalised name)


@dataclass(frozen=True, slots=True)
class Besides:
    """What is known of flaws besides the records: by their names."""

    exploited: Mapping[str, Exploited]
    epss: Mapping[str, Epss]
    scores: Mapping[str, Sequence[Severity]]  #: by other records about the flaw as a whole
    statements: Sequence[VexStatement]  #: oldest first


NOTHING: Final = Besides({}, {}, {}, ())


def assess(
    wares: Wares, known: Advisories, *, authors: Collection[str] | None = None
) -> Assessment:
    """What is known of some components.

    Args:
        wares: the components, and what they are part of.
        known: the advisories that count.
        authors: whose VEX counts; nothing: everybody's in a source that counts.
    """
    components, unasked = _asked(dict.fromkeys(wares.components), known)
    about = candidates_for(components, known)
    hits: list[tuple[Component, Sequence[Hit]]] = []
    undecided: list[Undecided] = []
    clean = 0
    for component in components:
        found = match(component, about.get((component.ecosystem, component.name), ()))
        if found.hits:
            hits.append((component, found.hits))
        undecided += found.undecided
        clean += not found.hits and not found.undecided
    bare = lines(hits, known)
    besides = known_besides(bare, known)
    findings = [enriched(one, besides, wares.products, authors) for one in bare]
    findings.sort(key=worst_first)
    unmatchable = (*wares.unmatchable, *unasked)
    return Assessment(tuple(findings), unmatchable, tuple(undecided), clean)


def _asked(
    components: Iterable[Component], known: Advisories
) -> tuple[list[Component], list[Unmatchable]]:
    """The components that any source can know of, and the others: nothing is known of those."""
    components = list(components)
    scopes = {one.ecosystem: asked(one.ecosystem) for one in components}
    told = known.told_of({scope for several in scopes.values() for scope in several})
    silent = {name for name, several in scopes.items() if told.isdisjoint(several)}
    unasked = [
        Unmatchable(one.said, "unknown-ecosystem", f"no source here knows of {one.ecosystem}")
        for one in components
        if one.ecosystem in silent
    ]
    return [one for one in components if one.ecosystem not in silent], unasked


def candidates_for(
    components: Iterable[Component], known: Advisories
) -> Mapping[Package, Sequence[Candidate]]:
    """The records about the components' packages."""
    return known.about(sorted({(one.ecosystem, one.name) for one in components}))


def lines(found: Iterable[tuple[Component, Sequence[Hit]]], known: Advisories) -> list[Finding]:
    """One finding a flaw and component: what several records say of it comes together."""
    found = list(found)
    records = {id(hit.advisory): hit.advisory for _, hits in found for hit in hits}
    if not records:
        return []
    names = names_in(records.values(), known.aliases)
    sets = names.sets()
    every: list[Finding] = []
    for component, hits in found:
        grouped: dict[str, list[Hit]] = defaultdict(list)
        for hit in hits:
            for lead in flaws_of(hit.advisory, names):
                grouped[lead].append(hit)
        every += [_line(component, sets[lead], group) for lead, group in grouped.items()]
    return every


def _line(component: Component, names: Sequence[str], hits: Sequence[Hit]) -> Finding:
    """A flaw, from its names and the records that say that the component has it."""
    first, aliases = called(names)
    scores = judged(one for hit in hits for one in (hit.affected.severity or hit.advisory.severity))
    summary = next((hit.advisory.summary for hit in hits if hit.advisory.summary), "")
    return Finding(
        id=first,
        aliases=aliases,
        component=component,
        hits=tuple(hits),
        severity=scores.severity,
        score=scores.score,
        level=scores.level,
        fixed=mending(component, hits),
        summary=summary,
    )


def mending(component: Component, hits: Sequence[Hit]) -> tuple[str, ...]:
    """The versions above the component's that are free of it by all records, lowest first."""
    judges = [Judge(hit.affected) for hit in hits]
    named = sorted({version for hit in hits for version in hit.fixed})
    free = [one for one in named if not any(judge.judge(one).matched for judge in judges)]
    order = order_of(component.ecosystem)
    if order is None:
        return tuple(free)
    keys = [(key, one) for one in (component.version, *free) if (key := key_of(order, one))]
    mine = next((key for key, one in keys if one == component.version), None)
    return tuple(one for key, one in sorted(keys) if mine is None or key > mine)


def known_besides(findings: Iterable[Finding], known: Advisories) -> Besides:
    """What is known of the findings' flaws besides the records."""
    findings = tuple(findings)
    names = {name for one in findings for name in one.names}
    if not names:
        return NOTHING
    cves = sorted(name for name in names if is_cve(name))
    unscored = {name for one in findings if one.level is Level.UNKNOWN for name in one.names}
    return Besides(
        known.exploited(cves),
        known.epss(cves),
        known.scores(sorted(unscored)) if unscored else {},
        known.statements(sorted(names)),
    )


def enriched(
    finding: Finding,
    besides: Besides,
    products: Collection[str],
    authors: Collection[str] | None,
) -> Finding:
    """A finding with all that is known of its flaw."""
    names = finding.names
    exploited = [besides.exploited[name] for name in names if name in besides.exploited]
    likely = [besides.epss[name] for name in names if name in besides.epss]
    scores = judged(score for name in names for score in besides.scores.get(name, ()))
    if finding.level is not Level.UNKNOWN or scores.level is Level.UNKNOWN:
        scores = Judged(finding.severity, finding.score, finding.level)
    return replace(
        finding,
        severity=scores.severity,
        score=scores.score,
        level=scores.level,
        exploited=min(exploited, key=lambda one: (one.added, one.cve), default=None),
        epss=max(likely, key=lambda one: (one.score, one.cve), default=None),
        vex=newest(besides.statements, names, finding.component, products, authors),
    )


def worst_first(finding: Finding) -> tuple[int, bool, float, float, str, Component]:
    """Sorts findings: by level, exploited ones first in each, then by score and likelihood."""
    likely = finding.epss.score if finding.epss is not None else 0.0
    return (
        rank(finding.level),
        finding.exploited is None,
        -(finding.score or 0.0),
        -likely,
        finding.id,
        finding.component,
    )
