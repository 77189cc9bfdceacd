"""Windows and the journey."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from allod.domain import journey
from allod.domain.desired import Window
from allod.domain.ids import Purl
from allod.domain.window import is_open, next_opening

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
NIGHT = Window(frozenset({0, 4}), 22 * 60, 240)  # Monday and Friday, 22:00 for four hours


@pytest.mark.parametrize(
    ("hours", "expected"),
    [(21.99, False), (22, True), (24, True), (25.99, True), (26, False), (22 + 24, False)],
)
def test_a_window_lasts_past_midnight(hours: float, expected: bool) -> None:  # noqa: FBT001
    """It opens on its day and ends after its length, whatever day that is."""
    assert is_open([NIGHT], MONDAY + timedelta(hours=hours)) is expected


def test_a_week_long_window_is_always_open() -> None:
    """The longest window leaves no gap."""
    window = Window(frozenset({2}), 0, 7 * 24 * 60)
    for hour in range(0, 24 * 14, 5):
        assert is_open([window], MONDAY + timedelta(hours=hour))


def test_the_next_opening_is_the_earliest_to_come() -> None:
    """From within a window, the next one counts; no windows, no opening."""
    assert next_opening([NIGHT], MONDAY) == MONDAY + timedelta(hours=22)
    assert next_opening([NIGHT], MONDAY + timedelta(hours=22)) == MONDAY + timedelta(
        days=4, hours=22
    )
    assert next_opening([NIGHT], MONDAY + timedelta(days=5)) == MONDAY + timedelta(days=7, hours=22)
    assert next_opening([], MONDAY) is None


def test_the_journey_tells_a_visit_from_staying() -> None:
    """A→B→A is another journey than A, and than A→C→A."""
    package = Purl("pkg:generic/acme/toaster")

    def walk(*releases: str) -> str:
        at = journey.START
        for release in releases:
            at = journey.extend(at, "activated", package, release, "")
        return at

    assert len({walk("a"), walk("a", "b", "a"), walk("a", "c", "a"), walk("a", "a")}) == 4
