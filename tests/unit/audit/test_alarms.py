"""Each alarm is said once, also over restarts; conditions have patience, and end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from allod.audit.alarms import KEPT, TOLD, Event, Known, Sight, Source, standing, step

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
ALL: frozenset[Source] = frozenset({"server", "log", "devices"})
QUORUM = Sight(code="no-quorum", subject="log", says="1 of 2", source="log", lasting=True)
STALE = Sight(code="stale", subject="log", says="old", source="log", lasting=True)


def entry(index: int) -> Sight:
    return Sight(code="log-entry-ignored", subject="log", says="no", source="log", index=index)


class Monitor:
    """Looks, one after the other."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self.now = START

    def look(
        self, *seen: Sight, minutes: float = 5, looked: frozenset[Source] = ALL
    ) -> list[tuple[str, str]]:
        self.now += timedelta(minutes=minutes)
        self.known, events = step(self.known, seen, looked, fleet="f", now=self.now)
        self.events: tuple[Event, ...] = events
        return [(one.event, one.code) for one in events]


def test_what_happened_is_said_once_and_never_over() -> None:
    """An entry that does not count is found in one look; another one is another alarm."""
    monitor = Monitor()
    assert monitor.look(entry(7)) == [("raised", "log-entry-ignored")]
    assert monitor.look(entry(7)) == []
    assert monitor.look() == []
    assert monitor.look(entry(8)) == [("raised", "log-entry-ignored")]
    assert monitor.events[0].means
    assert standing(monitor.known) == ()


def test_a_condition_is_raised_again_after_it_was_over() -> None:
    """Raised, resolved, and raised anew: each of them once."""
    monitor = Monitor()
    assert monitor.look(STALE) == [("raised", "stale")]
    assert monitor.look(STALE) == []
    assert len(standing(monitor.known)) == 1
    assert monitor.look() == [("resolved", "stale")]
    assert monitor.look() == []
    assert monitor.look(STALE) == [("raised", "stale")]


def test_a_quorum_may_be_missing_for_a_while() -> None:
    """Fifteen minutes of it are an alarm; less is none, and one good look begins them anew."""
    monitor = Monitor()
    assert [monitor.look(QUORUM) for _ in range(3)] == [[], [], []]
    assert monitor.look() == []
    assert [monitor.look(QUORUM) for _ in range(3)] == [[], [], []]
    assert monitor.look(QUORUM) == [("raised", "no-quorum")]
    assert monitor.look() == [("resolved", "no-quorum")]


def test_what_could_not_be_looked_at_is_not_over() -> None:
    """An outage of the server resolves nothing but what was looked at."""
    monitor = Monitor()
    monitor.look(STALE)
    assert monitor.look(looked=frozenset({"devices"})) == []
    assert len(standing(monitor.known)) == 1
    assert monitor.look(looked=frozenset({"log"})) == [("resolved", "stale")]


def test_nobody_drowns_what_matters() -> None:
    """A thousand entries of the log's thief are twenty alarms and one that counts the rest."""
    monitor = Monitor()
    said = monitor.look(*map(entry, range(1000)), STALE)
    assert said.count(("raised", "log-entry-ignored")) == TOLD + 1
    assert ("raised", "stale") in said
    assert "980 more" in monitor.events[-1].says
    assert monitor.look(*map(entry, range(1000)), STALE) == []


def test_what_stands_is_never_forgotten() -> None:
    """Memory has a bound; what was said long ago goes first, what stands stays."""
    monitor = Monitor()
    monitor.look(STALE)
    monitor.look(*map(entry, range(KEPT + 50)), STALE)
    assert len(monitor.known) == KEPT
    assert len(standing(monitor.known)) == 1
    assert monitor.look(entry(KEPT + 49), STALE) == []


def test_a_proven_fork_needs_no_other_word() -> None:
    """The audit's suspicion of the same device is not raised beside the proof, nor after it."""
    guess = Sight(code="other-history", subject="d (binding 2)", says="?", source="log")
    other = Sight(code="other-history", subject="e", says="?", source="log")
    proof = Sight(code="log-fork", subject="d", says="!", source="devices")
    monitor = Monitor()
    assert monitor.look(guess, proof) == [("raised", "log-fork")]
    assert monitor.look(guess, other) == [("raised", "other-history")]
