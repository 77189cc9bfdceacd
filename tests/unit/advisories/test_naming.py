"""Records come together by the flaw that they are about, and only by that."""

from __future__ import annotations

import time

from allod.advisories.naming import called, flaws_of, names_in
from allod.testing.advisories import record


def lines(*records, aliases=None):
    """The sets of names, as they would stand in lines."""
    names = names_in(records, aliases)
    sets = names.sets()
    return sorted({tuple(sorted(sets[lead])) for one in records for lead in flaws_of(one, names)})


def test_aliases_join_transitively() -> None:
    """One flaw under five names is one line, though no record has them all."""
    found = lines(
        record("PYSEC-1", aliases=("CVE-2026-0001",)),
        record("GHSA-1", aliases=("CVE-2026-0001", "GO-1")),
        record("GO-1", aliases=("BIT-1",)),
    )
    assert found == [("BIT-1", "CVE-2026-0001", "GHSA-1", "GO-1", "PYSEC-1")]


def test_aliases_that_only_other_records_know_join_too() -> None:
    """Neither record names the other; a third one, of another package, names both."""
    third = {"PYSEC-1": frozenset({"CVE-2026-0001", "PYSEC-1"}), "CVE-2026-0001": frozenset()}

    def aliases(names):
        return {name: third[name] for name in names if name in third}

    two = record("PYSEC-1"), record("GHSA-1", aliases=("CVE-2026-0001",))
    assert len(lines(*two)) == 2
    assert lines(*two, aliases=aliases) == [("CVE-2026-0001", "GHSA-1", "PYSEC-1")]


def test_related_never_joins() -> None:
    """AlmaLinux relates its advisory to the CVEs that it mends: another name of none of them."""
    found = lines(
        record("ALSA-1", related=("CVE-2026-0001", "CVE-2026-0002")),
        record("GHSA-1", aliases=("CVE-2026-0001",)),
    )
    assert found == [("ALSA-1",), ("CVE-2026-0001", "GHSA-1")]


def test_an_upstream_flaw_joins_its_distribution_record() -> None:
    """A distribution's record of one CVE stands in that CVE's line."""
    found = lines(
        record("BELL-CVE-2026-0001", upstream=("CVE-2026-0001",)),
        record("GHSA-1", aliases=("CVE-2026-0001",)),
    )
    assert found == [("BELL-CVE-2026-0001", "CVE-2026-0001", "GHSA-1")]


def test_a_copy_of_a_cve_is_that_cve() -> None:
    """DLA-3012-1 names CVE-2022-29824 and DEBIAN-CVE-2022-29824 upstream: one flaw."""
    one = record("DLA-1", upstream=("CVE-2022-29824", "DEBIAN-CVE-2022-29824"))
    assert lines(one) == [("CVE-2022-29824", "DEBIAN-CVE-2022-29824", "DLA-1")]
    assert len(lines(record("X-CVE-20225"), record("CVE-2022-29824"))) == 2


def test_a_cve_and_one_other_name_upstream_are_one_flaw() -> None:
    """CGA-xcpc-gm23-prj9 names a CVE and its GHSA upstream."""
    one = record("CGA-1", upstream=("CVE-2025-68121", "GHSA-q"))
    assert lines(one) == [("CGA-1", "CVE-2025-68121", "GHSA-q")]


def test_an_advisory_for_several_flaws_stands_in_the_line_of_each() -> None:
    """Two CVEs do not become one flaw because one update mends both."""
    one = record("DSA-1", upstream=("CVE-2026-0001", "CVE-2026-0002"))
    assert lines(one) == [("CVE-2026-0001",), ("CVE-2026-0002",)]
    both = one, record("UBUNTU-CVE-2026-0002", upstream=("CVE-2026-0002",))
    assert lines(*both) == [("CVE-2026-0001",), ("CVE-2026-0002", "UBUNTU-CVE-2026-0002")]


def test_what_comes_together_late_is_seen_by_what_came_early() -> None:
    """Two names upstream are found to be one flaw by a record that is read afterwards."""
    found = lines(
        record("USN-1", upstream=("GHSA-1", "PYSEC-1")),
        record("PYSEC-1", aliases=("GHSA-1",)),
    )
    assert found == [("GHSA-1", "PYSEC-1", "USN-1")]


def test_a_flaw_is_called_by_its_lowest_cve() -> None:
    """Numbers are compared as numbers; without a CVE a GHSA leads, then any other name."""
    assert called(["PYSEC-1", "CVE-2024-10000", "CVE-2024-9999", "GHSA-1"])[0] == "CVE-2024-9999"
    assert called(["PYSEC-1", "GHSA-1"]) == ("GHSA-1", ("PYSEC-1",))
    assert called(["GHSA-1", "ALSA-1"])[0] == "GHSA-1"
    assert called(["GHSA-1", "CVE-2026-0001", "CVE-2025-0002"])[0] == "CVE-2025-0002"
    assert called(["PYSEC-1", "OSV-1", "PYSEC-1"]) == ("OSV-1", ("PYSEC-1",))


def test_a_chain_of_aliases_is_followed_to_its_end() -> None:
    """Ten thousand records that each name the next one are one flaw, found without recursion."""
    chain = [record(f"X-{n}", aliases=(f"X-{n + 1}",)) for n in range(10_000)]
    names = names_in(reversed(chain))
    assert len({lead for one in chain for lead in flaws_of(one, names)}) == 1


def test_many_records_of_distributions_come_together_in_few_passes() -> None:
    """Ten thousand copies, each of another CVE, are heard in a moment and not one by one."""
    copies = [record(f"BELL-{n}", upstream=(f"CVE-2026-{n:05}",)) for n in range(10_000)]
    begin = time.process_time()
    names = names_in(copies)
    assert len({lead for one in copies for lead in flaws_of(one, names)}) == 10_000
    assert time.process_time() - begin < 5
