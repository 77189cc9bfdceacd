"""The rollouts that are open, by verified documents; their gates, verified; and what the server says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from allod.domain.desired import OWNER, PackageEntry, StateDocument
from allod.domain.edit_rollout import rollouts_in
from allod.domain.ids import Purl, Scope, package_name
from allod.domain.rollout import Rollout
from allod.errors import AllodError
from allod.trust.gates import ENVELOPE_CAP, open_gate
from allod.wire.gate import gate_path
from allod.wire.rollout_state import RolloutList, RolloutState

if TYPE_CHECKING:
    from allod.cli.documents import Base


@dataclass(frozen=True, slots=True)
class OpenRollout:
    """One rollout as it was signed.

    Args:
        author: the owner, or a delegation.
        entries: the scopes whose documents hold it, with the package and its entry there.
    """

    id: str
    author: str
    plan: Rollout
    entries: tuple[tuple[Scope, Purl, PackageEntry], ...]

    @property
    def package(self) -> Purl:
        """What it is about."""
        return self.entries[0][1]

    @property
    def what(self) -> str:
        """The package and, if its software is part of it, the version that is to run."""
        entry = self.entries[0][2]
        software = entry.software if self.plan.before is not None else None
        name = package_name(self.package)
        if software is None:
            return f"the configuration of {name}"
        return f"{name} {software.active.version}" if software.active is not None else name


def open_rollouts(base: Base) -> dict[str, OpenRollout]:
    """All of them by id; the owner's before delegates' of the same name."""
    found: dict[str, OpenRollout] = {}
    for author, document in _documents(base):
        for name, (package, entry) in rollouts_in(document).items():
            plan = entry.rollout
            if plan is None:
                continue
            known = found.get(name)
            if known is None:
                found[name] = OpenRollout(name, author, plan, ((document.scope, package, entry),))
            elif known.author == author:
                entries = (*known.entries, (document.scope, package, entry))
                found[name] = OpenRollout(name, author, known.plan, entries)
    return dict(sorted(found.items()))


def _documents(base: Base) -> Iterator[tuple[str, StateDocument]]:
    for _, document in sorted(base.states.items()):
        yield OWNER, document
    for (author, _), document in sorted(base.delegated.items()):
        yield author, document


def open_gates(base: Base) -> dict[str, frozenset[int]]:
    """Rollout -> the stages whose gate a device lets pass; fetched, and checked as there."""
    found: dict[str, frozenset[int]] = {}
    for name, one in open_rollouts(base).items():
        wanted = [(package, entry) for _, package, entry in one.entries]
        stages = set()
        for number in range(1, len(one.plan.stages)):
            raw = base.fleet.client.file(gate_path(name, number), cap=ENVELOPE_CAP)
            if raw is None:
                break
            try:
                open_gate(raw, base.fleet_document, name, number, wanted)
            except AllodError:
                break  # no device passes it either
            stages.add(number)
        found[name] = frozenset(stages)
    return found


def server_says(base: Base) -> Mapping[str, RolloutState]:
    """How the server sees the rollouts, by id. Its word: what devices have, reports prove."""
    listed = base.fleet.client.get("rollouts", RolloutList)
    return {one.id: one for one in listed.rollouts}


def line_of(one: OpenRollout, state: RolloutState | None) -> str:
    """A rollout in one line."""
    scopes = ", ".join(str(scope) for scope, _, _ in one.entries)
    head = f"rollout {one.id} of {one.what} in {scopes}"
    if state is None:
        return f"{head}: the server does not know it yet"
    opened = [stage for stage in state.stages if stage.opened is not None]
    has, failed, total = (
        sum(getattr(stage, name) for stage in opened) for name in ("succeeded", "failed", "devices")
    )
    said = f"{head}: {state.state}, {len(opened)} of {len(state.stages)} stages open"
    said += f"; {has} of {total} devices have it" + (f", {failed} failed" if failed else "")
    return said + (f" ({state.why})" if state.why else "")


def rollout_data(one: OpenRollout, state: RolloutState | None) -> dict[str, Any]:
    """A rollout for `--json`: what was signed, and what the server says."""
    return {
        "id": one.id,
        "author": one.author,
        "package": one.package,
        "what": one.what,
        "scopes": [str(scope) for scope, _, _ in one.entries],
        "server": state,
    }
