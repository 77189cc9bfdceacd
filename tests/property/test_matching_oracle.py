"""Matching and grouping against oracles that do the same the slow and obvious way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from allod.advisories.advisory import Bound, Event, Range, RangeKind
from allod.advisories.assessing import assess
from allod.advisories.finding import Wares
from allod.advisories.matching import Judge
from allod.advisories.rematch import Inventory, rematch
from allod.testing.advisories import MemoryAdvisories, about, part, record, versions

#: How the n-th half is written in each ecosystem: 7 is "3.5".
WRITTEN = {
    "PyPI": lambda n: f"{n // 2}.{n % 2 * 5}",
    "npm": lambda n: f"{n // 2}.{n % 2 * 5}.0",
    "Debian:12": lambda n: f"{n // 2}.{n % 2 * 5}-1",
    "Alpine:v3.20": lambda n: f"{n // 2}.{n % 2 * 5}-r0",
    "AlmaLinux:9": lambda n: f"{n // 2}.{n % 2 * 5}-1.el9",
}
UNREAD = "no version!"
ecosystems = st.sampled_from(sorted(WRITTEN))
MOST = 12


def wrote(ecosystem, said):
    """A range of (bound, number); the number -1 cannot be read, 0 is the beginning."""
    texts = {-1: UNREAD, 0: "0"}
    return Range(
        RangeKind.SEMVER if ecosystem == "npm" else RangeKind.ECOSYSTEM,
        tuple(Event(bound, texts.get(n) or WRITTEN[ecosystem](n)) for bound, n in said),
    )


def as_the_schema_says(version, said):
    """The pseudocode of the OSV schema, word by word, for events of different versions."""
    limits = [n for bound, n in said if bound is Bound.LIMIT]
    if limits and not any(version < one for one in limits):
        return False
    vulnerable = False
    for bound, n in sorted(said, key=lambda one: one[1]):
        if bound is Bound.INTRODUCED and version >= n:
            vulnerable = True
        fixed = bound is Bound.FIXED and version >= n
        if fixed or (bound is Bound.LAST_AFFECTED and version > n):
            vulnerable = False
    return vulnerable


events = st.lists(
    st.tuples(st.sampled_from(list(Bound)), st.integers(1, MOST)),
    unique_by=lambda one: one[1],
    max_size=7,
).map(lambda said: [(Bound.INTRODUCED, 0), *said])


@given(ecosystems, events, st.data())
def test_a_range_means_what_the_schema_says(ecosystem, said, data) -> None:
    """For events in any order, of every kind, in five grammars: the same versions are meant."""
    judge = Judge(about(ecosystem, "x", wrote(ecosystem, data.draw(st.permutations(said)))))
    for n in range(1, MOST + 2):
        answer = judge.judge(WRITTEN[ecosystem](n))
        assert bool(answer.matched) == as_the_schema_says(n, said)
        assert not answer.code


@st.composite
def spans(draw):
    """Spans that do not overlap, but may touch, be empty, or have no end: (first, end, with it)."""
    found, at = [], draw(st.integers(0, 3))
    while at <= MOST and draw(st.booleans()):
        if draw(st.integers(0, 9)) == 0:
            return [*found, (at, None, False)]
        end = at + draw(st.integers(0, 3))
        closed = draw(st.booleans())
        found.append((at, end, closed))
        at = end + draw(st.integers(0, 2)) + closed
    return found


@given(ecosystems, spans().filter(bool), st.data())
def test_contiguous_spans_stay_whole(ecosystem, drawn, data) -> None:
    """However its events are shuffled, a range means the union of the spans that it came from."""
    said = []
    for first, end, closed in drawn:
        said.append((Bound.INTRODUCED, first))
        if end is not None:
            said.append((Bound.LAST_AFFECTED if closed else Bound.FIXED, end))
    if (Bound.LAST_AFFECTED, 0) in said:
        return  # "0" is a version there, and the beginning elsewhere
    judge = Judge(about(ecosystem, "x", wrote(ecosystem, data.draw(st.permutations(said)))))
    for n in range(1, MOST + 5):
        inside = any(
            first <= n and (end is None or n < end or (closed and n == end))
            for first, end, closed in drawn
        )
        assert bool(judge.judge(WRITTEN[ecosystem](n)).matched) == inside


@given(ecosystems, events, st.data())
def test_whatever_an_unread_version_means_the_answer_holds(ecosystem, said, data) -> None:
    """Hit or clean: then wherever the unread version lies; else the question is open."""
    at = data.draw(st.integers(0, len(said) - 1))
    bound = said[at][0]
    judge = Judge(
        about(ecosystem, "x", wrote(ecosystem, [*said[:at], (bound, -1), *said[at + 1 :]]))
    )
    rest = said[:at] + said[at + 1 :]
    taken = {n for _, n in rest}
    places = [n + 0.5 for n in range(-1, MOST + 2)] + [
        n for n in range(1, MOST + 2) if n not in taken
    ]
    for n in range(1, MOST + 2):
        truths = {as_the_schema_says(n, [*rest, (bound, place)]) for place in places}
        answer = judge.judge(WRITTEN[ecosystem](n))
        if answer.matched:
            assert truths == {True}
        elif not answer.code:
            assert truths == {False}


NAMES = [f"CVE-2026-000{n}" for n in range(1, 5)] + ["GHSA-1", "GHSA-2", "PYSEC-1", "OSV-1"]
PACKAGES = ["a", "b"]


@st.composite
def worlds(draw):
    """Some records about two packages, and some components."""
    records = []
    for _ in range(draw(st.integers(0, 6))):
        first, *others = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
        fixed = draw(st.integers(1, 5))
        said = versions("introduced 0", f"fixed {fixed}")
        package = draw(st.sampled_from(PACKAGES))
        related = tuple(draw(st.lists(st.sampled_from(NAMES), max_size=2)))
        records.append(
            record(first, about("PyPI", package, said), aliases=tuple(others), related=related)
        )
    parts = [part("PyPI", name, str(n)) for name in PACKAGES for n in range(5)]
    return records, draw(st.lists(st.sampled_from(parts), max_size=5, unique=True))


def merged(records):
    """Sets of names that share one, merged until none does."""
    sets = [{one.id, *one.aliases} for one in records]
    again = True
    while again:
        again = False
        for at, one in enumerate(sets):
            for other in sets[at + 1 :]:
                if one & other:
                    one.update(other)
                    sets.remove(other)
                    again = True
                    break
    return sets


@given(worlds())
def test_findings_are_those_of_every_record_asked_about_every_part(world) -> None:
    """No flaw is lost, none is made up, and flaws of one name are one line."""
    records, components = world
    expected = set()
    for one in components:
        for said in records:
            (affected,) = said.affected
            fixed = int(affected.ranges[0].events[1].version)
            if affected.name == one.name and int(one.version) < fixed:
                names = next(names for names in merged(records) if said.id in names)
                expected.add((one, frozenset(names)))
    found = assess(Wares(tuple(components)), MemoryAdvisories(records))
    assert {(one.component, one.names) for one in found.findings} == expected
    assert len(found.findings) == len(expected)
    clean = len(components) - len({one for one, _ in expected})
    assert found.clean == (clean if records else 0)
    assert len(found.unmatchable) == (0 if records else len(components))


@given(worlds(), st.data())
def test_matching_again_finds_what_assessing_finds(world, data) -> None:
    """Whoever has what, after any changes of who has what."""
    records, components = world
    known = MemoryAdvisories(records)
    inventory, now = Inventory(), {}
    moves = st.tuples(st.sampled_from("xyz"), st.lists(st.sampled_from(components or [None])))
    for holder, has in data.draw(st.lists(moves, max_size=6)):
        wares = Wares(tuple(one for one in dict.fromkeys(has) if one is not None))
        now[holder] = wares
        inventory.put(holder, wares)
    struck = rematch(inventory, None, known).struck
    for holder, wares in now.items():
        mine = [one.finding for one in struck if holder in one.holders]
        assert mine == list(assess(wares, known).findings)
