"""Windows: the spans of the week in which an activation that waits for one may happen (UTC)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from allod.domain.desired import Window

_DAY = 24 * 60  #: minutes
_DAYS_AHEAD = 8  #: a week and the day on which it ends


def is_open(windows: Iterable[Window], now: datetime) -> bool:
    """Whether any of the windows is open at `now`; a window may last past midnight."""
    today, minute = now.weekday(), now.hour * 60 + now.minute
    for window in windows:
        day, since = today, minute - window.start
        if since < 0:
            day, since = day - 1, since + _DAY
        while since < window.minutes:
            if day % 7 in window.days:
                return True
            day, since = day - 1, since + _DAY
    return False


def next_opening(windows: Iterable[Window], now: datetime) -> datetime | None:
    """When the next window opens after `now`; None if there is none."""
    openings = [
        start
        for window in windows
        for start in _starts(window, now, range(_DAYS_AHEAD))
        if start > now
    ]
    return min(openings, default=None)


def _starts(window: Window, now: datetime, days: range) -> Iterable[datetime]:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for offset in days:
        day = midnight + timedelta(days=offset)
        if day.weekday() in window.days:
            yield day + timedelta(minutes=window.start)
