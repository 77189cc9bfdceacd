"""The plan of a rollout, as it stands in an entry (docs/spec/rollout.md)."""

from __future__ import annotations

from typing import Final

from allod.domain import ids, rollout
from allod.domain.rollout import Needs
from allod.errors import InvalidInput
from allod.wire.codec import Document, instant, parse_instant
from allod.wire.orders import (
    Configuration,
    Software,
    configuration_from_wire,
    configuration_to_wire,
    software_from_wire,
    software_to_wire,
)

_STAGES: Final = 64
_CANARIES: Final = 256
_WHOLE: Final = 100.0
_RETRIES: Final = 20
_LONGEST: Final = 366 * 86_400


class StageWire(Document, kw_only=True, frozen=True):
    """One stage."""

    at: str
    percent: float = 0.0
    canaries: list[str] = []
    needs: Needs = Needs.TIME
    bake_seconds: int = 0
    max_failed: float = 0.0
    max_silent: float = _WHOLE
    timeout_seconds: int = 86_400


class RolloutWire(Document, kw_only=True, frozen=True):
    """The plan, and what holds where it has not come yet."""

    id: str
    stages: list[StageWire]
    before: Software | None = None
    before_configuration: Configuration | None = None
    retries: int = 0


def rollout_from_wire(key: str, wire: RolloutWire) -> rollout.Rollout:
    """The plan for the package `key`.

    Raises:
        InvalidInput: `bad-rollout`, or what one of its parts is refused with.
    """
    if not 1 <= len(wire.stages) <= _STAGES or not 0 <= wire.retries <= _RETRIES:
        raise _bad(f"1 to {_STAGES} stages and at most {_RETRIES} retries")
    if wire.before is None and wire.before_configuration is None:
        raise _bad("it has to say what holds before")
    stages = tuple(_stage(one) for one in wire.stages)
    if stages[0].needs is not Needs.TIME:
        raise _bad("its first stage needs nothing but its time")
    percents = [one.percent for one in stages]
    if percents != sorted(percents):
        raise _bad("percentages never fall")
    times = [one.at for one in stages]
    if times != sorted(times):
        raise _bad("a stage is not before the one that it follows")
    return rollout.Rollout(
        id=ids.parse_name(wire.id, "a rollout's id"),
        stages=stages,
        before=None if wire.before is None else software_from_wire(key, wire.before),
        before_configuration=None
        if wire.before_configuration is None
        else configuration_from_wire(wire.before_configuration),
        retries=wire.retries,
    )


def _stage(wire: StageWire) -> rollout.Stage:
    shares = (wire.percent, wire.max_failed, wire.max_silent)
    if not all(0 <= share <= _WHOLE for share in shares) or len(wire.canaries) > _CANARIES:
        raise _bad(f"percentages are 0 to 100, and at most {_CANARIES} canaries are named")
    if not 0 <= wire.bake_seconds <= _LONGEST or not 0 < wire.timeout_seconds <= _LONGEST:
        raise _bad("times are whole seconds of at most a year")
    return rollout.Stage(
        at=parse_instant(wire.at),
        percent=wire.percent,
        canaries=frozenset(ids.parse_device(one) for one in wire.canaries),
        needs=wire.needs,
        bake_seconds=wire.bake_seconds,
        max_failed=wire.max_failed,
        max_silent=wire.max_silent,
        timeout_seconds=wire.timeout_seconds,
    )


def _bad(why: str) -> InvalidInput:
    return InvalidInput("bad-rollout", f"cannot read the rollout: {why}")


def rollout_to_wire(plan: rollout.Rollout) -> RolloutWire:
    """The inverse of `rollout_from_wire`."""
    return RolloutWire(
        id=plan.id,
        stages=[
            StageWire(
                at=instant(one.at),
                percent=one.percent,
                canaries=sorted(one.canaries),
                needs=one.needs,
                bake_seconds=one.bake_seconds,
                max_failed=one.max_failed,
                max_silent=one.max_silent,
                timeout_seconds=one.timeout_seconds,
            )
            for one in plan.stages
        ],
        before=None if plan.before is None else software_to_wire(plan.before),
        before_configuration=None
        if plan.before_configuration is None
        else configuration_to_wire(plan.before_configuration),
        retries=plan.retries,
    )
