"""Settings of scopes, put together: what the first scope sets, and what any may (a hold)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from allod.domain.desired import DriftPolicy, Settings, StateDocument

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where no scope sets it; the owner's `fleet.json` says."""

    drift: DriftPolicy = DriftPolicy.HEAL
    retention: int = 1  #: earlier releases kept after commit


def first_set(settings: Iterable[Settings], pick: Callable[[Settings], _T | None]) -> _T | None:
    """What the first scope that sets it says."""
    return next((value for one in settings if (value := pick(one)) is not None), None)


def retention_of(settings: Iterable[Settings], defaults: Defaults) -> int:
    """How many earlier releases are kept."""
    wanted = first_set(settings, lambda one: one.retention_releases)
    return max(0, defaults.retention if wanted is None else wanted)


def holds_of(ordered: Iterable[StateDocument]) -> tuple[str, ...]:
    """Why nothing may change; empty: it may."""
    holds = []
    for document in ordered:
        if document.hold is not None:
            holds.append(f"{document.scope} holds: {document.hold}")
        if document.device is not None and document.device.status == "retired":
            holds.append("this device is retired")
    return tuple(holds)
