"""Settings of a scope in documents of desired state (docs/spec/desired-state.md)."""

from __future__ import annotations

import re
from typing import Final, Literal

from allod.domain import desired
from allod.domain.desired import DriftPolicy
from allod.domain.release import HealthCheck
from allod.errors import InvalidInput
from allod.wire.codec import Document
from allod.wire.health import HealthWire, health_from_wire, health_to_wire

_START: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_WEEK_MINUTES: Final = 7 * 24 * 60
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Window(Document, kw_only=True, frozen=True):
    """Days as mon … sun, start as HH:MM in UTC, length in minutes."""

    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]]
    start: str
    minutes: int


class Settings(Document, kw_only=True, frozen=True):
    """What the scope sets."""

    windows: list[Window] | None = None
    drift: DriftPolicy | None = None
    retention_releases: int | None = None
    health: list[HealthWire] | None = None
    bandwidth: int | None = None
    override_inhibitors: list[str] | None = None


def window_from_wire(wire: Window) -> desired.Window:
    """A window as a domain value. Raises InvalidInput `bad-window`."""
    start = _START.fullmatch(wire.start)
    if start is None or not 0 < wire.minutes <= _WEEK_MINUTES:
        raise InvalidInput(
            "bad-window", f"cannot read the window {wire.start[:20]!r}+{wire.minutes}m"
        )
    return desired.Window(
        frozenset(_DAYS.index(day) for day in wire.days),
        int(start[1]) * 60 + int(start[2]),
        wire.minutes,
    )


def window_to_wire(window: desired.Window) -> Window:
    """The inverse of `window_from_wire`."""
    return Window(
        days=[_DAYS[day] for day in sorted(window.days)],
        start=f"{window.start // 60:02d}:{window.start % 60:02d}",
        minutes=window.minutes,
    )


def _optional_checks(wire: list[HealthWire] | None) -> tuple[HealthCheck, ...] | None:
    return None if wire is None else tuple(health_from_wire(check) for check in wire)


def settings_from_wire(wire: Settings) -> desired.Settings:
    """A scope's settings as a domain value. Raises InvalidInput `bad-window`, or a bad check."""
    return desired.Settings(
        windows=None
        if wire.windows is None
        else tuple(window_from_wire(window) for window in wire.windows),
        drift=wire.drift,
        retention_releases=wire.retention_releases,
        health=_optional_checks(wire.health),
        bandwidth=wire.bandwidth,
        override_inhibitors=None
        if wire.override_inhibitors is None
        else frozenset(wire.override_inhibitors),
    )


def settings_to_wire(settings: desired.Settings) -> Settings:
    """The inverse of `settings_from_wire`."""
    return Settings(
        windows=None
        if settings.windows is None
        else [window_to_wire(window) for window in settings.windows],
        drift=settings.drift,
        retention_releases=settings.retention_releases,
        health=None if settings.health is None else [health_to_wire(c) for c in settings.health],
        bandwidth=settings.bandwidth,
        override_inhibitors=None
        if settings.override_inhibitors is None
        else sorted(settings.override_inhibitors),
    )
