"""Rollouts: a plan that is signed once, and in which every device finds its own place.

Stages open in turn. The first needs no gate; each later one has a gate, signed by the fleet's gate
key (docs/spec/rollout.md). A device is in the first stage that names it as a canary or whose
percentage covers its place, which follows from a hash of its id and the rollout's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from allod.domain.desired import OWNER, ConfigurationOrder, Software
from allod.domain.ids import DeviceId

_PLACES: Final = 1 << 32


class Needs(StrEnum):
    """What opens a stage besides its time."""

    TIME = "time"
    SUCCESS = "success"  #: of the canaries, by their own signed reports


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a rollout."""

    at: datetime  #: not open before
    percent: float = 0.0  #: of all devices that it covers, with those of the stages before; 0 … 100
    canaries: frozenset[DeviceId] = frozenset()  #: in it whatever the percentage says
    needs: Needs = Needs.TIME
    bake_seconds: int = 0  #: for which the stage before must have run well
    max_failed: float = 0.0  #: percent of the stages before that may have failed
    max_silent: float = 100.0  #: percent of the stages before that may not have reported
    timeout_seconds: int = 86_400  #: after which a device that said nothing counts as silent


@dataclass(frozen=True, slots=True)
class Rollout:
    """The plan, and what holds where it has not come yet."""

    id: str
    stages: tuple[Stage, ...]
    before: Software | None = None  #: None: the software is not part of it
    before_configuration: ConfigurationOrder | None = None  #: None: nor the configuration
    retries: int = 0  #: how often a device tries again what failed there


def place_of(rollout: str, device: DeviceId) -> float:
    """A device's place in a rollout: 0 ≤ place < 100, the same for ever, another in each rollout."""
    digest = hashlib.sha256(f"{rollout}:{device}".encode()).digest()
    return int.from_bytes(digest[:4], "big") * 100 / _PLACES


def stage_of(rollout: Rollout, device: DeviceId) -> int | None:
    """The number of the device's stage; None: the plan never comes to it."""
    place = place_of(rollout.id, device)
    for number, stage in enumerate(rollout.stages):
        if device in stage.canaries or place < stage.percent:
            return number
    return None


def mark_of(rollout: Rollout, change: str, manager: str = OWNER) -> str:
    """By what a device remembers that a rollout has come to it, as it was signed with a change.

    A delegate's are apart from the owner's, whatever their ids: nobody makes another's come.
    """
    mark = f"{rollout.id}|{change}"
    return mark if manager == OWNER else f"by/{manager}|{mark}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rollout has come where a device decides."""

    gates: Mapping[str, frozenset[int]]  #: rollout -> stages whose gate holds
    device: DeviceId
    now: datetime
    came: frozenset[str] = frozenset()  #: marks of rollouts that have come to the device before

    def reached(self, rollout: Rollout, change: str = "", manager: str = OWNER) -> bool:
        """Whether the device is to have what comes after; once it is, it is for good.

        Args:
            rollout: the plan.
            change: id of the change that last touched the entry in which it stands.
            manager: whose entry that is.
        """
        if mark_of(rollout, change, manager) in self.came:
            return True
        number = stage_of(rollout, self.device)
        if number is None or self.now < rollout.stages[number].at:
            return False
        return number == 0 or number in self.gates.get(rollout.id, frozenset())
