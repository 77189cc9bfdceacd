"""Records mean components as the OSV schema says, or nobody can tell."""

from __future__ import annotations

from itertools import permutations

import pytest

from allod.advisories.advisory import Range, RangeKind
from allod.advisories.finding import Candidate
from allod.advisories.matching import Judge, match
from allod.testing.advisories import about, events, part, record, versions

SEMVER = RangeKind.SEMVER
GIT = Range(RangeKind.GIT, events("introduced 0", "fixed abcdef"), "https://example.org/x")

#: ecosystem, events of one range, versions that are meant, versions that are not
RANGES = [
    ("PyPI", ["introduced 2.1.0", "fixed 2.1.2"], ["2.1.0", "2.1.1"], ["2.0.9", "2.1.2"]),
    ("PyPI", ["introduced 0", "fixed 1.0"], ["0.0.dev1", "1.0rc1"], ["1.0", "1.0.post1"]),
    ("PyPI", ["introduced 1.0"], ["1.0", "99!1"], ["1.0rc1"]),
    ("PyPI", ["introduced 1", "last_affected 2"], ["1.0", "2.0.0"], ["2.0.1", "2.0.post1"]),
    ("PyPI", ["introduced 1", "fixed 1"], [], ["0.9", "1", "2"]),
    ("PyPI", ["introduced 0", "fixed 0"], [], ["0", "0.1", "0.0.dev1"]),
    ("PyPI", ["introduced 2", "last_affected 2"], ["2"], ["1.9", "2.1"]),
    # PYSEC-2022-236 has contiguous spans, the second one written last
    (
        "PyPI",
        ["introduced 0", "fixed 3.1.1", "introduced 3.2", "fixed 3.2.2", "introduced 3.1.1"]
        + ["fixed 3.1.3"],
        ["3.1", "3.1.1", "3.1.2", "3.2.1"],
        ["3.1.3", "3.2.2"],
    ),
    # limits: only versions below one of them are meant
    ("PyPI", ["introduced 1", "limit 3", "limit 5"], ["1", "4.9"], ["5", "6"]),
    ("PyPI", ["introduced 1", "limit *"], ["1", "9"], ["0.9"]),
    # two branches
    (
        "PyPI",
        ["introduced 3.2", "fixed 3.2.19", "introduced 4.2", "fixed 4.2.1"],
        ["3.2.18", "4.2"],
        ["3.2.19", "4.1", "4.2.1"],
    ),
    # distributions
    ("Debian:12", ["introduced 0", "fixed 1:2.0-1+deb12u1"], ["1:2.0-1", "9"], ["1:2.0-1+deb12u2"]),
    ("Debian:12", ["introduced 0", "fixed 2.0"], ["2.0~rc1-1"], ["2.0-1"]),
    ("Debian:12", ["introduced 0", "fixed 0"], [], ["0~1", "0"]),
    ("Alpine:v3.20", ["introduced 0", "fixed 1.2.3-r4"], ["1.2.3-r3", "1.2.3_rc1"], ["1.2.3-r4"]),
    (
        "AlmaLinux:9",
        ["introduced 0", "fixed 3.0.7-18.el9_2"],
        ["3.0.7-6.el9_2"],
        ["1:1"],
    ),
    ("Go", ["introduced 1.0.0-rc.1", "fixed 1.2.0"], ["1.0.0", "v1.1.9"], ["1.0.0-rc.0", "1.2.0"]),
]


def says(component_ecosystem, version, *ranges, enumerated=()):
    """What one record says of one version: "hit", the code of the open question, or nothing."""
    affected = about(component_ecosystem, "thing", *ranges, enumerated=enumerated)
    component = part(component_ecosystem, "thing", version)
    found = match(component, [Candidate(record("X-1"), affected)])
    if found.hits:
        assert not found.undecided
        return "hit"
    return found.undecided[0].code if found.undecided else ""


@pytest.mark.parametrize(("ecosystem", "said", "meant", "free"), RANGES)
def test_versions_in_a_range_are_meant(ecosystem, said, meant, free) -> None:
    """Each version is inside or outside, and in whichever order the events are written."""
    orders = list(permutations(said))[:60]
    for order in orders:
        judge = Judge(about(ecosystem, "thing", versions(*order)))
        assert [one for one in meant if not judge.judge(one).matched] == []
        answers = [judge.judge(one) for one in free]
        assert [one for one in answers if one.matched or one.code] == []


def test_semver_ranges_are_read_as_semver_in_every_ecosystem() -> None:
    """A range says by which order it is meant; where that cannot read it the ecosystem's can."""
    said = versions("introduced 1.0.0-alpha", "fixed 1.0.0", kind=SEMVER)
    assert says("PyPI", "1.0.0-beta", said) == "hit"  # PEP 440 and semver agree
    assert says("npm", "1.0.0-beta.2", said) == "hit"
    loose = versions("introduced 1.0", "fixed 1.0.post2", kind=SEMVER)
    assert says("PyPI", "1.0.post1", loose) == "hit"
    assert says("PyPI", "1.0.post2", loose) == ""
    # semver reads the version, and not all of the range: the order that reads both decides
    assert [says("PyPI", one, loose) for one in ("1.0", "1.0.1")] == ["hit", ""]
    assert says("npm", "1.0", loose) == "bad-range"


def test_enumerated_versions_are_meant_however_they_are_written() -> None:
    """Equality is that of the ecosystem's order; a range and a list add up."""
    assert says("PyPI", "1.0", enumerated=["1.0.0"]) == "hit"
    assert says("PyPI", "1.0rc1", enumerated=["1.0.0c1"]) == "hit"
    assert says("PyPI", "v1.0-1", enumerated=["1.0.post1"]) == "hit"
    assert says("PyPI", "1.0.1", enumerated=["1.0.0"]) == ""
    assert says("PyPI", "5", versions("introduced 1", "fixed 2"), enumerated=["5.0"]) == "hit"
    assert says("PyPI", "1.0", enumerated=["not a version", "1.0"]) == "hit"
    assert says("PyPI", "1.1", enumerated=["1.01"]) == "hit"
    assert says("PyPI", "not a version", enumerated=["1.0"]) == ""


def test_several_ranges_add_up() -> None:
    """A version is meant if any range has it."""
    ranges = (versions("introduced 1", "fixed 2"), versions("introduced 3", "fixed 4"))
    assert [says("PyPI", one, *ranges) for one in ("1.5", "2.5", "3.5")] == ["hit", "", "hit"]


def test_commits_say_nothing_of_versions() -> None:
    """Only commits: nobody can tell; beside a range or a list they are left out."""
    assert says("PyPI", "1.0", GIT) == "only-commits"
    assert says("PyPI", "1.0", GIT, enumerated=["1.0"]) == "hit"
    assert says("PyPI", "1.1", GIT, enumerated=["1.0"]) == ""
    assert says("PyPI", "3", GIT, versions("introduced 1", "fixed 2")) == ""


def test_a_record_that_names_no_versions_leaves_the_question_open() -> None:
    """PYSEC-2022-15 names a package and nothing else: neither a flaw nor a clean bill."""
    assert says("PyPI", "1.0") == "no-range"
    assert says("PyPI", "1.0", Range(RangeKind.ECOSYSTEM, ())) == "bad-range"
    assert says("PyPI", "1.0", versions("fixed 2")) == "bad-range"
    assert says("PyPI", "1.0", Range(RangeKind.ECOSYSTEM, ()), enumerated=["2.0"]) == ""
    assert says("PyPI", "1.0", versions("fixed 2"), enumerated=["2.0"]) == "bad-range"
    assert says("PyPI", "1.0", Range(RangeKind.OTHER, events("introduced 0"))) == "bad-range"


@pytest.mark.parametrize(
    ("version", "said", "answer"),
    [
        # a fix that nobody can place: below all beginnings nothing is affected anyway
        ("0.9", ["introduced 1", "fixed ???"], ""),
        ("1.5", ["introduced 1", "fixed ???"], "bad-range"),
        # another, later fix bounds what could be
        ("1.5", ["introduced 1", "fixed ???", "fixed 2"], "bad-range"),
        ("2.5", ["introduced 1", "fixed ???", "fixed 2"], ""),
        # a beginning that nobody can place
        ("0.5", ["introduced ???", "fixed 2"], "bad-range"),
        ("2.5", ["introduced ???", "fixed 2"], "bad-range"),
        ("1.5", ["introduced ???", "introduced 1", "fixed 2"], "hit"),
        # limits that nobody can place
        ("1.5", ["introduced 1", "limit ???"], "bad-range"),
        ("1.5", ["introduced 1", "limit ???", "limit 2"], "hit"),
        ("0.5", ["introduced 1", "limit ???"], ""),
        ("2", ["introduced 1", "fixed ???", "limit 2"], ""),
        ("3", ["introduced 1", "fixed ???", "limit 2", "limit 4"], "bad-range"),
        ("3", ["introduced 1", "fixed ???", "limit 2", "limit ???"], "bad-range"),
        ("3", ["introduced 1", "fixed *"], "bad-range"),
        ("3", ["introduced 1", "last_affected 0"], "hit"),
    ],
)
def test_a_version_that_cannot_be_ordered_matters_only_where_it_does(version, said, answer) -> None:
    """Whatever an unread version means, the answer is right; where it depends on it, it is open."""
    assert says("PyPI", version, versions(*said)) == answer


def test_ecosystems_without_an_order_are_matched_by_their_lists() -> None:
    """Nobody orders the versions of an unheard-of ecosystem: a list decides, a range leaves the question open."""
    said = versions("introduced 1", "fixed 2")
    assert says("Nobodys", "1.5", said) == "no-order"
    assert says("Nobodys", "1.5", said, enumerated=["1.5"]) == "hit"
    assert says("Nobodys", "1.5", enumerated=["1.4"]) == ""


def test_a_hit_says_what_matched_and_what_mends_it() -> None:
    """The span in words, and the fixes, those above the version first."""
    said = versions("introduced 3.2", "fixed 3.2.19", "introduced 4.2", "fixed 4.2.1")
    affected = about("PyPI", "thing", said)
    found = match(part("PyPI", "thing", "4.2"), [Candidate(record("X-1"), affected)])
    assert found.hits[0].matched == "introduced 4.2, fixed 4.2.1"
    assert found.hits[0].fixed == ("4.2.1", "3.2.19")
    judge = Judge(about("PyPI", "thing", versions("introduced 1"), enumerated=["0.5.0"]))
    assert judge.judge("2").matched == "introduced 1, no fix named"
    assert judge.judge("0.5").matched == "version 0.5, enumerated"
    nothing = Judge(about("PyPI", "thing", versions("introduced 0", "fixed 0"), enumerated=["1"]))
    assert nothing.judge("1").matched, "a list counts beside a range that means nothing"
    assert nothing.fixed("1") == ()
    last = Judge(about("PyPI", "thing", versions("introduced 0", "last_affected 3")))
    assert last.judge("2").matched == "introduced 0, last affected 3"
    assert last.fixed("2") == ()


def test_withdrawn_records_mean_nothing() -> None:
    """Neither a flaw nor an open question."""
    affected = about("PyPI", "thing", versions("introduced 0"))
    withdrawn = record("X-1", withdrawn="2026-01-01T00:00:00Z")
    assert match(part("PyPI", "thing", "1"), [Candidate(withdrawn, affected)]) == ((), ())


def test_an_open_question_says_why() -> None:
    """People read it: what cannot be ordered, by whom, and what is missing."""

    def why(ecosystem, *ranges):
        return Judge(about(ecosystem, "thing", *ranges)).judge("1.0").why

    unread = versions("introduced 0", "fixed a!", "fixed b!", "fixed c!", "fixed d!")
    assert why("PyPI", unread) == "pep440 cannot order 'a!', 'b!', 'c!'"
    assert why("Nobodys", unread) == "nobody knows how Nobodys orders 1.0"
    assert why("", unread) == "nobody knows how no ecosystem orders 1.0"
    assert why("PyPI", GIT) == "the record knows commits, and no versions"
    assert why("PyPI") == "the record names the package, and no versions of it"
    assert why("PyPI", versions("fixed 1")) == "a range does not say where it begins"
    other = Range(RangeKind.OTHER, ())
    assert why("PyPI", other, unread) == "a range is of a kind that nobody here knows"


def test_a_long_list_of_events_is_walked_quickly() -> None:
    """A hostile record with 20,000 spans costs milliseconds, and one answer."""
    said = [f"{'introduced' if n % 2 else 'fixed'} {n}" for n in range(1, 40_001)]
    judge = Judge(about("npm", "thing", versions(*said)))
    assert judge.judge("20001.5").matched == "introduced 20001, fixed 20002"
    assert not judge.judge("20002.5").matched
