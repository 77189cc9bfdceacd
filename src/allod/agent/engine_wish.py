"""When to look again although nothing is heard: what waits for the mere passing of time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from allod.agent.engine_context import Outcome
from allod.domain.ids import DeviceId
from allod.domain.resolution import Resolved, Unresolved
from allod.domain.rollout import stage_of
from allod.domain.window import next_opening

_LAST: Final = datetime.max.replace(tzinfo=UTC) - timedelta(seconds=1)  #: that can be gone beyond


def next_wish(outcome: Outcome, now: datetime) -> datetime | None:
    """When something that waits could go on by the mere passing of time; None: never."""
    resolved = outcome.resolved
    moments: list[datetime | None] = []
    for _, restart in resolved.restarts:
        missed = min(restart.latest, _LAST) + timedelta(seconds=1)
        moments += [restart.at, missed]
    waits = [*outcome.plan.waiting, *outcome.findings.waiting]
    moments += [one.until for one in waits]
    if any(one.waits_for.startswith("window") for one in waits):
        moments.append(next_opening(resolved.windows, now))
    for observed in outcome.observed.values():
        moments += [failure.retry_at for failure in observed.failed]
    moments += _stages(resolved, outcome.device)
    return min((moment for moment in moments if moment is not None and moment > now), default=None)


def _stages(resolved: Resolved, device: DeviceId) -> Iterator[datetime]:
    """The times of this device's stages; a gate that is opened then makes news of its own."""
    for wanted in resolved.packages.values():
        for half in (wanted.software, wanted.configuration):
            rollout = None if isinstance(half, Unresolved) else half.rollout
            number = None if rollout is None else stage_of(rollout, device)
            if rollout is not None and number is not None:
                yield rollout.stages[number].at
