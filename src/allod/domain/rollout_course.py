"""The course of a rollout: what devices said in it, and what follows for its next stage.

1. A device counts as succeeded only by its own word that what comes after runs and is healthy;
   silence is never success.
2. It counts as baked once its words, of its own clock and of the server's, span the bake time of
   the stage that comes next.
3. No stage opens before its signed time, nor before the one ahead of it.
4. More failures, or more silence past the timeout, than the stage to come allows: the rollout
   halts. A halt ends by somebody's word alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from allod.domain.ids import DeviceId
from allod.domain.rollout import Needs, Rollout

_HUNDRED: Final = 100


class Standing(StrEnum):
    """How a device stands in its stage."""

    UNDERWAY = "underway"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Word:
    """What one report says of the rollout."""

    standing: Standing
    at: datetime  #: by the device's clock
    received: datetime  #: by the server's
    activated: datetime | None = None  #: by the device's clock, where the report tells
    why: str = ""


@dataclass(frozen=True, slots=True)
class Track:
    """What a device's words come to."""

    standing: Standing = Standing.UNDERWAY
    since: datetime | None = None  #: it runs well, by the server's clock
    at: datetime | None = None  #: likewise, by the device's
    baked: bool = False
    why: str = ""


def heard(before: Track | None, word: Word, bake: timedelta) -> Track:
    """A device's track after a further word.

    Args:
        before: what its words came to so far.
        word: the newest.
        bake: how long it has to run well.
    """
    if word.standing is not Standing.SUCCEEDED:
        return Track(word.standing, why=word.why)
    since, at = word.received, word.activated or word.at
    if before is not None and before.standing is Standing.SUCCEEDED:
        since = min(since, before.since or since)
        at = before.at or at
        if word.activated is not None:  # anew: what ran before does not count for it
            since, at = word.received, word.activated
    baked = word.received - since >= bake and word.at - at >= bake
    return Track(Standing.SUCCEEDED, since, at, baked)


@dataclass(slots=True)
class StageCount:
    """How many of a stage's devices stand how."""

    opened: datetime | None = None
    devices: int = 0
    succeeded: int = 0
    baked: int = 0
    failed: int = 0

    def move(self, before: Track | None, after: Track | None) -> None:
        """Count a device as `after`, and no longer as `before`."""
        for track, step in ((before, -1), (after, 1)):
            if track is not None:
                self.succeeded += step * (track.standing is Standing.SUCCEEDED)
                self.failed += step * (track.standing is Standing.FAILED)
                self.baked += step * track.baked


@dataclass(frozen=True, slots=True)
class Open:
    """The stage is to open."""

    stage: int


@dataclass(frozen=True, slots=True)
class Halt:
    """Nothing more is to open."""

    code: str
    says: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing follows yet."""

    says: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """All stages are open, and every device has come through."""


Verdict = Open | Halt | Wait | Done


@dataclass(frozen=True, slots=True)
class Standpoint:
    """From where a course is judged.

    Args:
        now: by the server's clock.
        lacking: canaries whose word the next stage needs and does not have.
        resumed: when somebody let it go on after a halt; timeouts begin anew then.
        forgiven: failures that were known then.
    """

    now: datetime
    lacking: tuple[DeviceId, ...] = ()
    resumed: datetime | None = None
    forgiven: int = 0


def judge(plan: Rollout, counts: Sequence[StageCount], here: Standpoint) -> Verdict:
    """What follows for the next stage.

    Args:
        plan: as it was signed.
        counts: of every stage; those which are open come first.
        here: the rest.
    """
    number = sum(1 for one in counts if one.opened is not None)
    if number == 0:
        at = plan.stages[0].at
        return Open(0) if here.now >= at else Wait("its time has not come", at)
    past, stage = counts[:number], plan.stages[min(number, len(plan.stages) - 1)]
    failed = max(0, sum(one.failed for one in past) - here.forgiven)
    total, silent = sum(one.devices for one in past), _silent(plan, past, here)
    if failed * _HUNDRED > stage.max_failed * total:
        return Halt("failed", f"{failed} of {total} devices failed; {stage.max_failed:g} % may")
    if silent * _HUNDRED > stage.max_silent * total:
        return Halt("silent", f"{silent} of {total} devices are silent; {stage.max_silent:g} % may")
    if number == len(plan.stages):
        left = sum(one.devices - one.succeeded - one.failed for one in past)
        return Wait(f"{left} devices are underway") if left else Done()
    return _next(plan, number, past, here, total)


def _next(
    plan: Rollout, number: int, past: Sequence[StageCount], here: Standpoint, total: int
) -> Verdict:
    lacking = here.lacking if plan.stages[number].needs is Needs.SUCCESS else ()
    if lacking and _over(plan, past, here):
        return Halt("canary-silent", f"{len(lacking)} canaries do not say that it runs")
    return _unready(plan, number, past, here, total) or Open(number)


def _unready(
    plan: Rollout, number: int, past: Sequence[StageCount], here: Standpoint, total: int
) -> Wait | None:
    """What the stage waits for; the first that applies."""
    stage, success = plan.stages[number], plan.stages[number].needs is Needs.SUCCESS
    good = sum(one.succeeded for one in past[:-1]) + past[-1].baked
    unsure = total - good - sum(one.failed for one in past)
    baked = (past[-1].opened or here.now) + timedelta(seconds=stage.bake_seconds)
    lacks = len(here.lacking)
    checks = (
        (here.now < stage.at, Wait("its time has not come", stage.at)),
        (here.now < baked, Wait("what runs has to run for longer", baked)),
        (success and lacks > 0, Wait(f"{lacks} canaries have yet to say that it runs")),
        (success and good == 0, Wait("no device says yet that it runs")),
        (
            unsure * _HUNDRED > stage.max_silent * total,
            Wait(f"{unsure} of {total} devices have yet to say that it runs"),
        ),
    )
    return next((wait for applies, wait in checks if applies), None)


def _silent(plan: Rollout, past: Sequence[StageCount], here: Standpoint) -> int:
    """Devices that said nothing that counts, past the timeout of their stage."""
    return sum(
        one.devices - one.succeeded - one.failed
        for number, one in enumerate(past)
        if _late(plan, number, one, here)
    )


def _late(plan: Rollout, number: int, count: StageCount, here: Standpoint) -> bool:
    times = [one for one in (count.opened, here.resumed) if one is not None]
    return here.now >= max(times) + timedelta(seconds=plan.stages[number].timeout_seconds)


def _over(plan: Rollout, past: Sequence[StageCount], here: Standpoint) -> bool:
    """Whether every open stage is past its timeout, and past what it has to bake."""
    bake = timedelta(seconds=plan.stages[len(past)].bake_seconds)
    earlier = Standpoint(here.now - bake, resumed=here.resumed)
    return all(_late(plan, number, one, earlier) for number, one in enumerate(past))
