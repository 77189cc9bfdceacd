"""A clock that stands until it is moved, and never makes a test wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class StoppedClock:
    """`Clock` whose sleeps are noted and counted as time gone by, and not waited for."""

    def __init__(
        self, now: datetime = datetime(2026, 6, 1, tzinfo=UTC), boot: str = "boot-1"
    ) -> None:
        self.wall = now
        self.boot = boot
        self.ticks = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        """The time that it was set to, and what was slept since."""
        return self.wall

    def seconds(self) -> float:
        """The same as `now`, as seconds since 1970."""
        return self.wall.timestamp()

    def monotonic(self) -> float:
        """Seconds slept so far."""
        return self.ticks

    def sleep(self, seconds: float) -> None:
        """Let time go by at once."""
        self.slept.append(seconds)
        self.ticks += seconds
        self.wall += timedelta(seconds=seconds)

    def boot_id(self) -> str:
        """As set."""
        return self.boot
