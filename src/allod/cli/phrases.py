"""What users type for times, spans, sizes, windows and health checks.

Pure: the present moment is handed in. Every refusal shows what would have been understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from allod.domain.desired import Window
from allod.domain.release import HealthCheck, ProbeKind
from allod.errors import InvalidInput
from allod.wire.health import HealthWire, health_from_wire

_SPAN: Final = re.compile(r"(?:\d+[smhdw])+", re.ASCII)
_PIECE: Final = re.compile(r"(\d+)([smhdw])", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SIZE: Final = re.compile(r"(\d{1,15})\s*([kmg]?)(?:i?b)?(?:/s)?", re.ASCII | re.IGNORECASE)
_POWERS: Final = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_WINDOW: Final = re.compile(
    r"(?:(?P<days>[a-z,-]+)(?:\s+|:))?(?P<start>\d\d:\d\d)"
    r"\s*(?:-\s*(?P<end>\d\d:\d\d)|[\s+](?P<span>\S+))",
    re.ASCII,
)
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = 24 * 60
_LONGEST: Final = timedelta(days=100 * 366)


def parse_span(text: str) -> timedelta:
    """A span like `90s`, `1h30m`, `7d`. Raises InvalidInput `bad-span`."""
    if _SPAN.fullmatch(text) is None or len(text) > 40:  # noqa: PLR2004
        raise InvalidInput(
            "bad-span", f"cannot read {text[:40]!r} as a span of time: it is like 90s, 1h30m or 7d"
        )
    seconds = sum(int(number) * _UNITS[unit] for number, unit in _PIECE.findall(text))
    if seconds > _LONGEST.total_seconds():
        raise InvalidInput("bad-span", f"cannot use {text}: that is longer than a century")
    return timedelta(seconds=seconds)


def parse_moment(text: str, now: datetime) -> datetime:
    """A moment: `now`, `+2h`, `02:00` (the next, local), `2026-05-01 02:00` (local), RFC 3339.

    Raises:
        InvalidInput: `bad-time`.
    """
    if text == "now":
        return now
    if text.startswith("+"):
        return now + parse_span(text[1:])
    if _CLOCK.fullmatch(text):
        hour, minute = (int(part) for part in text.split(":"))
        local = now.astimezone()
        found = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
        if found <= local:
            found += timedelta(days=1)
        return found.astimezone(UTC)
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            "bad-time",
            f"cannot read {text[:40]!r} as a time: it is like now, +2h, 02:00, "
            "'2026-05-01 02:00' or 2026-05-01T02:00:00Z",
        ) from error
    return given.astimezone(UTC).replace(microsecond=0)


def parse_size(text: str) -> int:
    """Bytes, like `500k`, `2M`, `1G`; `0`: none. Raises InvalidInput `bad-size`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(
            "bad-size", f"cannot read {text[:40]!r} as a size: it is like 500k, 2M or 1000000"
        )
    return int(match[1]) * _POWERS[match[2].lower()]


def parse_window(text: str) -> Window:
    """A window in UTC, like `02:00-04:00`, `sat,sun 22:00-06:00`, `mon-fri 02:00 90m`, `sun:02:00+2h`.

    Raises:
        InvalidInput: `bad-window`.
    """
    match = _WINDOW.fullmatch(text.strip().lower())
    clocks = [] if match is None else [match["start"], match["end"] or match["start"]]
    if match is None or not all(_CLOCK.fullmatch(clock) for clock in clocks):
        raise InvalidInput(
            "bad-window",
            f"cannot read {text[:60]!r} as a window (UTC): it is like '02:00-04:00', "
            "'sat,sun 22:00-06:00' or 'mon-fri 02:00 90m'",
        )
    start, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in clocks)
    if match["span"] is not None:
        minutes = int(parse_span(match["span"]).total_seconds()) // 60
    else:
        minutes = (end - start) % _DAY or _DAY
    if not 0 < minutes <= 7 * _DAY:
        raise InvalidInput("bad-window", f"cannot use the window {text!r}: a minute to seven days")
    return Window(_days(match["days"], text), start, minutes)


def _days(text: str | None, whole: str) -> frozenset[int]:
    if text is None or text == "daily":
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            raise InvalidInput(
                "bad-window", f"cannot read {whole[:60]!r}: days are {', '.join(_DAYS)}"
            )
        start = _DAYS.index(first)
        count = (_DAYS.index(last) - start) % 7 if dash else 0
        found.update((start + step) % 7 for step in range(count + 1))
    return frozenset(found)


def parse_check(text: str, *, within: float, hold: float) -> HealthCheck:
    """A health check: `running`, `http://…[ STATUS]`, `tcp:HOST:PORT`, `command:PROGRAM ARGS…`.

    Raises:
        InvalidInput: `bad-health`.
    """
    kind, _, rest = text.partition(":")
    if text == "running":
        wire = HealthWire(kind=ProbeKind.RUNNING, within=within, hold=hold)
    elif kind in {"http", "https"} and rest.startswith("//"):
        url, _, status = text.partition(" ")
        if status and not (status.isascii() and status.isdecimal()):
            raise InvalidInput("bad-health", f"cannot read {status[:20]!r} as an HTTP status")
        wire = HealthWire(
            kind=ProbeKind.HTTP, url=url, status=int(status or 200), within=within, hold=hold
        )
    elif kind == "tcp" and ":" in rest:
        wire = HealthWire(kind=ProbeKind.TCP, address=rest, within=within, hold=hold)
    elif kind == "command" and rest.strip():
        wire = HealthWire(kind=ProbeKind.COMMAND, command=rest.split(), within=within, hold=hold)
    else:
        raise InvalidInput(
            "bad-health",
            f"cannot read {text[:60]!r} as a health check: it is running, http://127.0.0.1:8080/, "
            "tcp:127.0.0.1:8080 or 'command:/usr/bin/check --all'",
        )
    return health_from_wire(wire)


def choices(names: Sequence[str], *, most: int = 12) -> str:
    """Names for a message, cut where there are too many."""
    shown = ", ".join(names[:most]) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def mending(releases: Iterable[str]) -> str:
    """Releases that mend something: `a mends it`, `a, b mend it`."""
    names = list(releases)
    return f"{', '.join(names)} {'mends' if len(names) == 1 else 'mend'} it"
