"""Scores of every kind come to one level."""

from __future__ import annotations

import pytest

from allod.advisories.advisory import Severity
from allod.advisories.finding import Level
from allod.advisories.severity import judged, level_of

V2 = Severity("CVSS_V2", "AV:N/AC:L/Au:N/C:P/I:P/A:P")  # 7.5
V3 = Severity("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")  # 9.8
V30 = Severity("CVSS_V3", "CVSS:3.0/AV:L/AC:H/PR:L/UI:R/S:U/C:L/I:N/A:N")  # 2.2
V4 = Severity("CVSS_V4", "CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:L/SI:L/SA:L")


@pytest.mark.parametrize(
    ("given", "score", "level"),
    [
        ([V2], 7.5, Level.HIGH),
        ([V3], 9.8, Level.CRITICAL),
        ([V30, V3], 9.8, Level.CRITICAL),
        ([V4, V3, V2], 7.3, Level.HIGH),
        ([V2, V30], 2.2, Level.LOW),
        ([Severity("Ubuntu", "medium")], None, Level.MEDIUM),
        ([Severity("word", "IMPORTANT"), Severity("Ubuntu", "negligible")], None, Level.HIGH),
        ([Severity("Ubuntu", "medium"), V3], 9.8, Level.CRITICAL),
        ([Severity("SSVC", "?")], None, Level.UNKNOWN),
        ([], None, Level.UNKNOWN),
        # what is no vector of its kind is no score, and stays as given
        ([Severity("CVSS_V3", "9.8")], None, Level.UNKNOWN),
        ([Severity("CVSS_V3", V4.score)], None, Level.UNKNOWN),
        ([Severity("CVSS_V4", "CVSS:4.0/" + "AV:N/" * 10_000)], None, Level.UNKNOWN),
        ([Severity("CVSS_V3", "CVSS:3.1/\x00")], None, Level.UNKNOWN),
    ],
)
def test_the_newest_kind_decides_and_the_worst_of_it(given, score, level) -> None:
    """CVSS 4 before 3 before 2; without CVSS the worst word; what nobody scored is unknown."""
    found = judged(given)
    assert (found.score, found.level) == (score, level)
    assert set(found.severity) == set(given)


def test_levels_change_where_the_standards_say() -> None:
    """CVSS v3.1 (5) and v4.0 (6); of v2 the NVD's three."""
    v3 = [level_of("CVSS_V3", one) for one in (0.0, 0.1, 3.9, 4.0, 6.9, 7.0, 8.9, 9.0)]
    assert v3 == [
        Level.NONE,
        *2 * [Level.LOW],
        *2 * [Level.MEDIUM],
        *2 * [Level.HIGH],
        Level.CRITICAL,
    ]
    v2 = [level_of("CVSS_V2", one) for one in (0.0, 3.9, 4.0, 6.9, 7.0, 10.0)]
    assert v2 == [*2 * [Level.LOW], *2 * [Level.MEDIUM], *2 * [Level.HIGH]]
