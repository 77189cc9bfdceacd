"""Probation: whether what was activated proves its health within its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from allod.agent.ports import Clock, Probe, RunState, ServiceUnit
from allod.domain.release import HealthCheck, ProbeKind, Release

#: What every service must do, if neither its release nor the owner says more.
RUNNING = HealthCheck(ProbeKind.RUNNING, within=20.0, hold=1.0, every=0.25)


@dataclass(frozen=True, slots=True)
class Watched:
    """One package under probation."""

    unit: ServiceUnit | None
    checks: tuple[HealthCheck, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it ended."""

    healthy: bool
    detail: str = ""


@dataclass(slots=True)
class _Progress:
    watched: Watched
    check: HealthCheck
    since: float | None = None  #: when it came true
    next_at: float = 0.0
    done: bool = False
    detail: str = "not tried"


def checks_of(release: Release, owner: Sequence[HealthCheck]) -> tuple[HealthCheck, ...]:
    """All checks of one package: its release's, the owner's, and that its service runs."""
    checks = (*release.health, *owner)
    if release.service is not None and not any(c.kind is ProbeKind.RUNNING for c in checks):
        checks = (RUNNING, *checks)
    return tuple(dict.fromkeys(checks))


def watch(
    watched: Sequence[Watched],
    clock: Clock,
    probe: Probe,
    run_state: Callable[[ServiceUnit], RunState],
) -> Verdict:
    """Probe until every check held as long as it must, or one can't any more."""
    begin = clock.monotonic()
    open_checks = [_Progress(one, check) for one in watched for check in one.checks]
    while True:
        now = clock.monotonic()
        for entry in open_checks:
            if now >= entry.next_at:
                failure = _attempt(entry, begin, clock, probe, run_state)
                if failure:
                    return Verdict(healthy=False, detail=failure)
        open_checks = [entry for entry in open_checks if not entry.done]
        if not open_checks:
            return Verdict(healthy=True)
        now = clock.monotonic()
        clock.sleep(max(0.01, min(entry.next_at for entry in open_checks) - now))


def _attempt(
    entry: _Progress,
    begin: float,
    clock: Clock,
    probe: Probe,
    run_state: Callable[[ServiceUnit], RunState],
) -> str:
    """Try once; why it can't become healthy any more, else empty."""
    unit, check = entry.watched.unit, entry.check
    run = RunState(running=False) if unit is None else run_state(unit)
    result = probe.attempt(check, unit, run)
    now = clock.monotonic()
    entry.detail = result.detail
    entry.next_at = now + check.every
    if not result.healthy:
        held_before = entry.since is not None
        entry.since = None
        if held_before and now - begin >= check.within:
            return f"{check.kind} did not last: {result.detail}"
        return f"{check.kind}: {result.detail}" if now - begin >= check.within else ""
    if entry.since is None:
        entry.since = now
        if now - begin > check.within + check.timeout:
            return f"{check.kind}: healthy only after {now - begin:.0f} s"
    entry.done = now - entry.since >= check.hold
    return ""
