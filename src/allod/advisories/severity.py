"""How bad a flaw is: CVSS of every version, and the words of those who do not score.

The newest kind of CVSS that somebody scored decides (4, then 3, then 2), the worst of several
scores of one kind; without any CVSS the worst word. Levels are those of CVSS v3.1 (5) and v4.0
(6); of v2 those of the NVD: low below 4.0, medium below 7.0, then high.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from allod.advisories.advisory import Severity
from allod.advisories.finding import Level

#: Kinds of CVSS, newest first.
CVSS: Final = ("CVSS_V4", "CVSS_V3", "CVSS_V2")
#: What people say instead of a score, in lower case.
WORDS: Final = {
    "critical": Level.CRITICAL,
    "high": Level.HIGH,
    "important": Level.HIGH,
    "serious": Level.HIGH,
    "medium": Level.MEDIUM,
    "moderate": Level.MEDIUM,
    "low": Level.LOW,
    "minor": Level.LOW,
    "negligible": Level.LOW,
    "none": Level.NONE,
    "unimportant": Level.NONE,
    "informational": Level.NONE,
}
#: From worst to least; what nobody scored stands before what somebody calls harmless.
WORST_FIRST: Final = (
    Level.CRITICAL,
    Level.HIGH,
    Level.MEDIUM,
    Level.LOW,
    Level.UNKNOWN,
    Level.NONE,
)
_STEPS: Final = (
    (9.0, Level.CRITICAL),
    (7.0, Level.HIGH),
    (4.0, Level.MEDIUM),
    (0.1, Level.LOW),
)
_STEPS_V2: Final = ((7.0, Level.HIGH), (4.0, Level.MEDIUM), (0.0, Level.LOW))
_RANK: Final = {level: at for at, level in enumerate(WORST_FIRST)}
_LONGEST: Final = 512  #: a vector of CVSS 4 with all its metrics has less


class Judged(NamedTuple):
    """What several people's scores come to."""

    severity: tuple[Severity, ...]  #: as given, newest kind of CVSS first
    score: float | None
    level: Level


def rank(level: Level) -> int:
    """0 is the worst."""
    return _RANK[level]


def judged(given: Iterable[Severity]) -> Judged:
    """What scores come to."""
    ordered = tuple(sorted(set(given), key=_preference))
    for kind in CVSS:
        scores = [
            score
            for one in ordered
            if one.kind == kind and (score := base_score(kind, one.score)) is not None
        ]
        if scores:
            return Judged(ordered, max(scores), level_of(kind, max(scores)))
    words = [level for one in ordered if (level := WORDS.get(one.score.strip().lower()))]
    return Judged(ordered, None, min(words, key=rank, default=Level.UNKNOWN))


def level_of(kind: str, score: float) -> Level:
    """The level of a base score."""
    steps = _STEPS_V2 if kind == "CVSS_V2" else _STEPS
    return next((level for least, level in steps if score >= least), Level.NONE)


@lru_cache(maxsize=16384)
def base_score(kind: str, vector: str) -> float | None:
    """The base score of a CVSS vector; nothing where it is none."""
    if len(vector) > _LONGEST:
        return None
    # costs 30 ms at the first time, and only flaws need it
    from cvss import CVSS2, CVSS3, CVSS4, CVSSError

    try:
        if kind == "CVSS_V4":
            return float(CVSS4(vector).base_score)
        if kind == "CVSS_V3":
            return float(CVSS3(vector).base_score)
        if kind == "CVSS_V2":
            return float(CVSS2(vector).base_score)
    except CVSSError:
        return None
    return None


def _preference(one: Severity) -> tuple[int, str, str]:
    at = CVSS.index(one.kind) if one.kind in CVSS else len(CVSS)
    return (at, one.kind, one.score)
