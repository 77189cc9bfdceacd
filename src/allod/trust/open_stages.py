"""Which stages of the rollouts that concern a device are open (docs/spec/rollout.md).

A device asks only for the gate of its own stage, once the plan says that it may be open, and keeps
it: what was opened stays open, whoever withholds it later and whatever becomes of the key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from allod.domain.delegation import Delegate
from allod.domain.desired import PackageEntry, StateDocument
from allod.domain.ids import DeviceId, Scope
from allod.domain.rollout import stage_of
from allod.errors import AllodError
from allod.trust.accepted import Repository
from allod.trust.effects import Need, Steps
from allod.trust.gates import ENVELOPE_CAP, open_gate
from allod.wire.gate import gate_path
from allod.wire.report import Refusal
from allod.wire.trust import FleetDocument

_PREFIX: Final = "gate-"
MAX_DELEGATED: Final = 64  #: rollouts of each delegate that are asked for: more are a flood

#: Package and entry of everything that one rollout is about.
_Parts = dict[str, list[tuple[str, PackageEntry]]]


def read_gates(
    repository: Repository,
    fleet: FleetDocument,
    documents: Mapping[Scope, StateDocument],
    delegates: Mapping[str, Delegate],
    device: DeviceId,
    refusals: list[Refusal],
) -> Steps[Mapping[str, frozenset[int]]]:
    """Rollout -> the stages whose gate holds, of those that this device is in.

    Args:
        repository: where gates are cached; what is new is kept with its next step.
        fleet: the owner's document that names the gate key.
        documents: the owner's, of the device's scopes.
        delegates: whose documents may hold rollouts too.
        device: who asks.
        refusals: takes the gates that are served and do not hold.
    """
    found: dict[str, frozenset[int]] = {}
    used: set[str] = set()
    for rollout, parts in sorted(_rollouts(documents, delegates).items()):
        stages = {stage_of(one.rollout, device) for _, one in parts if one.rollout is not None}
        held = set()
        for stage in sorted(number for number in stages if number):
            name = f"{_PREFIX}{rollout}+{stage}"
            used.add(name)
            if _is_due(parts, stage, repository.decided):
                is_open = yield from _is_open(repository, fleet, rollout, stage, parts, refusals)
                if is_open:
                    held.add(stage)
        if held:
            found[rollout] = frozenset(held)
    _forget(repository, used)
    return found


def _rollouts(
    documents: Mapping[Scope, StateDocument], delegates: Mapping[str, Delegate]
) -> _Parts:
    """Every rollout of these documents. One that the owner names is the owner's alone.

    Of each delegate's, the first few by name: each costs a question to the source at every look.
    """
    owners: _Parts = {}
    others: _Parts = {}
    for rollout, key, entry in _entries(documents):
        owners.setdefault(rollout, []).append((key, entry))
    for delegate in delegates.values():
        theirs = sorted(_entries(delegate.documents), key=lambda one: one[:2])
        heeded = list(dict.fromkeys(rollout for rollout, _, _ in theirs))[:MAX_DELEGATED]
        for rollout, key, entry in theirs:
            if rollout not in heeded:
                break  # they are in order: so are all that follow
            others.setdefault(rollout, []).append((key, entry))
    return {**others, **owners}


def _entries(documents: Mapping[Scope, StateDocument]) -> Iterator[tuple[str, str, PackageEntry]]:
    for document in documents.values():
        for key, entry in document.packages.items():
            if entry.rollout is not None:
                yield entry.rollout.id, key, entry


def _is_due(parts: list[tuple[str, PackageEntry]], stage: int, now: datetime) -> bool:
    """Whether the plan lets the stage be open at all by now."""
    plans = [entry.rollout for _, entry in parts if entry.rollout is not None]
    return any(stage < len(plan.stages) and plan.stages[stage].at <= now for plan in plans)


def _is_open(
    repository: Repository,
    fleet: FleetDocument,
    rollout: str,
    stage: int,
    parts: list[tuple[str, PackageEntry]],
    refusals: list[Refusal],
) -> Steps[bool]:
    name = f"{_PREFIX}{rollout}+{stage}"
    kept = repository.cached.get(name)
    if kept is not None:
        try:
            open_gate(kept, fleet, rollout, stage, parts, signed=True)
        except AllodError:
            pass  # it was for another plan
        else:
            return True
    path = gate_path(rollout, stage)
    raw = yield Need(path, ENVELOPE_CAP)
    if raw is None:
        return False
    try:
        open_gate(raw, fleet, rollout, stage, parts)
    except AllodError as error:
        refusals.append(Refusal(code=error.code, reasons=[error.message], subject=path))
        return False
    repository.pending[name] = raw
    return True


def _forget(repository: Repository, used: set[str]) -> None:
    """Gates of rollouts that are over are not kept."""
    old = [name for name in repository.cached if name.startswith(_PREFIX) and name not in used]
    if old:
        repository.forget = (*repository.forget, *old)
