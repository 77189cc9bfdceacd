"""What is known of components comes together: one line a flaw, worst first, nothing left out."""

from __future__ import annotations

from dataclasses import replace

from allod.advisories.advisory import Severity
from allod.advisories.assessing import assess
from allod.advisories.component import Unmatchable
from allod.advisories.finding import Epss, Exploited, Level, VexStatement, VexStatus, Wares
from allod.domain.sbom import SbomComponent
from allod.testing.advisories import MemoryAdvisories, about, part, record, versions

WAITRESS = part("PyPI", "waitress", "2.1.1", "pkg:pypi/waitress@2.1.1")
SOUND = part("PyPI", "sound", "1.0", "pkg:pypi/sound@1.0")
HIGH = Severity("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H")  # 7.5
LOW = Severity("CVSS_V3", "CVSS:3.1/AV:L/AC:H/PR:L/UI:R/S:U/C:L/I:N/A:N")
RANGE = versions("introduced 2.1.0", "fixed 2.1.2")
PYSEC = record(
    "PYSEC-2022-205",
    about("PyPI", "waitress", RANGE, enumerated=["2.1.0", "2.1.1"]),
    aliases=("CVE-2022-31015", "GHSA-f5x9-8jwc-25rw"),
    summary="may end early",
)


def found(*records, wares=None, authors=None, **besides):
    """The assessment by some records."""
    known = MemoryAdvisories(records, **besides)
    return assess(wares or Wares((WAITRESS, SOUND)), known, authors=authors)


def test_a_flaw_is_one_line_under_all_its_names() -> None:
    """Five names, three records, two sources: one line, called by its CVE."""
    ghsa = record(
        "GHSA-f5x9-8jwc-25rw",
        replace(about("PyPI", "waitress", RANGE), severity=(HIGH,)),
        aliases=("CVE-2022-31015",),
        severity=(LOW,),
        source="theirs",
    )
    bit = record("BIT-1", about("PyPI", "waitress", RANGE), aliases=("GHSA-f5x9-8jwc-25rw", "X-5"))
    assessment = found(PYSEC, ghsa, bit)
    (line,) = assessment.findings
    assert line.id == "CVE-2022-31015"
    assert line.aliases == ("BIT-1", "GHSA-f5x9-8jwc-25rw", "PYSEC-2022-205", "X-5")
    assert {hit.advisory.source for hit in line.hits} == {"ours", "theirs"}
    assert (line.level, line.score) == (Level.HIGH, 7.5), "the package's severity, not the record's"
    assert line.fixed == ("2.1.2",)
    assert line.summary == "may end early"
    assert assessment.clean == 1


def test_the_fixed_version_is_free_of_the_flaw_by_all_records() -> None:
    """One record says 2.1.2, another that 2.1.2 still has it: 2.2 mends it."""
    later = record(
        "GHSA-1",
        about("PyPI", "waitress", versions("introduced 0", "fixed 2.2")),
        aliases=("CVE-2022-31015",),
    )
    (line,) = found(PYSEC, later).findings
    assert line.fixed == ("2.2",)
    (line,) = found(
        replace(later, affected=(about("PyPI", "waitress", versions("introduced 0")),))
    ).findings
    assert line.fixed == ()


def test_what_is_known_besides_is_in_the_line() -> None:
    """KEV and EPSS by any of its names."""
    exploited = Exploited("CVE-2022-31015", "2025-01-01", "2025-02-01", ransomware=True)
    epss = Epss("CVE-2022-31015", 0.25, 0.9)
    (line,) = found(PYSEC, exploited=[exploited], epss=[epss]).findings
    assert (line.exploited, line.epss) == (exploited, epss)


def test_a_flaw_that_nobody_scored_in_the_package_has_the_score_of_its_other_records() -> None:
    """A distribution scored the CVE; PyPI's record did not. What was scored here stays."""
    theirs = record("BELL-1", upstream=("CVE-2022-31015",), severity=(HIGH,))
    several = record("DSA-1", upstream=("CVE-2022-31015", "CVE-2026-9"), severity=(LOW,))
    (line,) = found(PYSEC, theirs, several).findings
    assert (line.severity, line.score, line.level) == ((HIGH,), 7.5, Level.HIGH)
    (line,) = found(PYSEC, several).findings
    assert line.level is Level.UNKNOWN, "an update for several flaws scores none of them"
    (line,) = found(replace(PYSEC, severity=(LOW,)), theirs).findings
    assert line.severity == (LOW,)


def test_a_statement_of_somebody_who_counts_takes_a_flaw_out_of_the_count() -> None:
    """It stays in the list with its author; others' words change nothing."""
    said = VexStatement(
        ("GHSA-f5x9-8jwc-25rw",), ("pkg:pypi/waitress",), VexStatus.NOT_AFFECTED, "us", "2026"
    )
    assessment = found(PYSEC, statements=[said])
    assert assessment.findings[0].vex == said
    assert not assessment.findings[0].counts
    assert assessment.by_level[Level.UNKNOWN] == 0
    assert found(PYSEC, statements=[said], authors={"them"}).by_level[Level.UNKNOWN] == 1


def test_a_statement_about_the_product_counts_for_its_parts() -> None:
    """The release's digest stands in the statement."""
    digest = "sha256:" + "b" * 64
    said = VexStatement(("CVE-2022-31015",), (digest,), VexStatus.FIXED, "us", "2026")
    wares = Wares((WAITRESS,), products=frozenset({digest}))
    assert found(PYSEC, statements=[said], wares=wares).findings[0].vex == said
    assert found(PYSEC, statements=[said], wares=Wares((WAITRESS,))).findings[0].vex is None


def test_worst_comes_first_and_unknown_before_harmless() -> None:
    """By level, exploited first within it, then by score."""
    names = {
        "CVE-2026-0001": (LOW,),
        "CVE-2026-0002": (),
        "CVE-2026-0003": (HIGH,),
        "CVE-2026-0004": (HIGH,),
        "CVE-2026-0005": (Severity("word", "none"),),
    }
    records = [
        record(name, about("PyPI", "waitress", RANGE), severity=severity)
        for name, severity in names.items()
    ]
    assessment = found(*records, exploited=[Exploited("CVE-2026-0004", "2026")])
    order = [line.id[-1] for line in assessment.findings]
    assert order == ["4", "3", "1", "2", "5"]
    counted = {level: n for level, n in assessment.by_level.items() if n}
    assert counted == {Level.HIGH: 2, Level.LOW: 1, Level.NONE: 1, Level.UNKNOWN: 1}


def test_what_nobody_can_tell_is_never_clean() -> None:
    """Unmatchable components are handed on; an undecided record makes a component not clean."""
    unknown = Unmatchable(SbomComponent("thing"), "no-version", "no version is said")
    nothing_said = record("PYSEC-2022-15", about("PyPI", "sound"))
    assessment = found(nothing_said, wares=Wares((WAITRESS, SOUND), (unknown,)))
    assert assessment.unmatchable == (unknown,)
    assert [one.code for one in assessment.undecided] == ["no-range"]
    assert assessment.clean == 1
    assert not assessment.findings


def test_what_no_source_knows_of_is_unknown_and_not_clean() -> None:
    """Without any record about an ecosystem nothing is known of its packages."""
    debian = part("Debian:12", "openssl", "3.0.11-1")
    other = record("DSA-1", about("Debian:11", "openssl", versions("introduced 0")))
    assessment = found(PYSEC, other, wares=Wares((WAITRESS, debian)))
    assert [one.said for one in assessment.unmatchable] == [debian.said]
    assert assessment.unmatchable[0].code == "unknown-ecosystem"
    assert assessment.clean == 0
    assert [one.component for one in assessment.findings] == [WAITRESS]
    assert found(wares=Wares((SOUND,))).clean == 0, "without any records nothing is clean"


def test_an_update_for_two_flaws_makes_two_lines() -> None:
    """A distribution's advisory stands in the line of each flaw that it mends."""
    debian = part("Debian:12", "openssl", "3.0.11-1~deb12u1")
    said = record(
        "DSA-1",
        about("Debian:12", "openssl", versions("introduced 0", "fixed 3.0.11-1~deb12u2")),
        upstream=("CVE-2026-0001", "CVE-2026-0002"),
    )
    lines = found(said, wares=Wares((debian,))).findings
    assert [line.id for line in lines] == ["CVE-2026-0001", "CVE-2026-0002"]
    assert {line.aliases for line in lines} == {()}, "an update is no other name of a flaw"
    assert {line.hits[0].advisory.id for line in lines} == {"DSA-1"}
    assert lines[0].fixed == ("3.0.11-1~deb12u2",)


def test_releases_of_distributions_stay_apart() -> None:
    """A record about Debian 11 says nothing of Debian 12; one about Debian speaks of both."""
    eleven = record("DSA-1", about("Debian:11", "openssl", versions("introduced 0")))
    every = record("DSA-2", about("Debian", "openssl", versions("introduced 0")))
    wares = Wares((part("Debian:12", "openssl", "3.0.11-1"),))
    assert [line.id for line in found(eleven, every, wares=wares).findings] == ["DSA-2"]


def test_a_component_that_is_listed_twice_is_one() -> None:
    """The same part at two places of an SBOM is one line."""
    assert len(found(PYSEC, wares=Wares((WAITRESS, WAITRESS))).findings) == 1
