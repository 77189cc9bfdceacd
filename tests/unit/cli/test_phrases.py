"""What users type is understood as it is written, and nothing else is guessed at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from allod.cli.phrases import (
    choices,
    parse_check,
    parse_moment,
    parse_size,
    parse_span,
    parse_window,
)
from allod.domain.desired import Window
from allod.domain.release import ProbeKind
from allod.errors import InvalidInput

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ALL = frozenset(range(7))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("7d", 604_800), ("2w", 1_209_600)]
)
def test_spans(text: str, seconds: int) -> None:
    """Spans add up."""
    assert parse_span(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "90", "-1h", "1h 30m", "1y", "9" * 50 + "s", "99999w", "١s"])
def test_bad_spans(text: str) -> None:
    """What is no span is refused, as is a century."""
    with pytest.raises(InvalidInput):
        parse_span(text)


def test_moments() -> None:
    """Relative, absolute and clock times; a clock time that is over means tomorrow."""
    assert parse_moment("now", NOW) == NOW
    assert parse_moment("+2h", NOW) == NOW + timedelta(hours=2)
    assert parse_moment("2026-05-02T02:00:00Z", NOW) == datetime(2026, 5, 2, 2, tzinfo=UTC)
    local = NOW.astimezone()
    over = f"{local.hour:02d}:{local.minute:02d}"
    assert parse_moment(over, NOW) == NOW + timedelta(days=1)
    with pytest.raises(InvalidInput, match="like now"):
        parse_moment("tomorrow", NOW)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("500k", 500_000), ("2M", 2_000_000), ("1 GB", 10**9), ("3MB/s", 3 * 10**6)],
)
def test_sizes(text: str, size: int) -> None:
    """Sizes in powers of a thousand."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1.5M", "many", "1T", "1" * 16])
def test_bad_sizes(text: str) -> None:
    """What is no size is refused."""
    with pytest.raises(InvalidInput):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("02:00-04:00", Window(ALL, 120, 120)),
        ("daily 02:00 90m", Window(ALL, 120, 90)),
        ("sat,sun 22:00-06:00", Window(frozenset({5, 6}), 1320, 480)),
        ("Mon-Fri 00:00-00:00", Window(frozenset(range(5)), 0, 1440)),
        ("sun-mon 02:00 1d", Window(frozenset({6, 0}), 120, 1440)),
    ],
)
def test_windows(text: str, window: Window) -> None:
    """Windows may last past midnight and past Sunday."""
    assert parse_window(text) == window


@pytest.mark.parametrize(
    "text", ["", "always", "25:00-26:00", "fun 02:00-03:00", "02:00 8d", "02:00 30s"]
)
def test_bad_windows(text: str) -> None:
    """What is no window is refused with an example."""
    with pytest.raises(InvalidInput):
        parse_window(text)


def test_checks() -> None:
    """Each kind of check in its short form."""
    assert parse_check("running", within=5, hold=1).kind is ProbeKind.RUNNING
    http = parse_check("http://127.0.0.1:8080/health 204", within=5, hold=0)
    assert (http.url, http.status, http.within) == ("http://127.0.0.1:8080/health", 204, 5)
    assert parse_check("tcp:127.0.0.1:22", within=5, hold=0).address == "127.0.0.1:22"
    assert parse_check("command:/bin/check --all", within=5, hold=0).command == (
        "/bin/check",
        "--all",
    )
    for text in ("", "ping", "http:", "tcp:", "command: ", "http://x y"):
        with pytest.raises(InvalidInput):
            parse_check(text, within=5, hold=0)


def test_choices_are_cut() -> None:
    """A message stays readable in a large fleet."""
    assert choices([]) == "none"
    assert choices(["a", "b"]) == "a, b"
    assert choices([str(n) for n in range(20)], most=2) == "0, 1 and 18 more"
