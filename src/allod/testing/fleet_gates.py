"""The stages of rollouts: which of those that a device was shown were lawfully open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from allod.testing.fleet_reading import Memory
from allod.testing.fleet_words import Page, Plan
from allod.testing.fleet_world import FleetWorld


def plans(world: FleetWorld) -> Iterator[tuple[str, str, Plan]]:
    """Package, what its release is after the rollout, and the plan: of all that was ever signed."""
    for files in world.book.files.values():
        for said in files.values():
            for page in said.values():
                for package, entry in page.entries.items() if isinstance(page, Page) else ():
                    active = next((one for one in entry.wishes if one.level == "active"), None)
                    if entry.plan is not None and active is not None:
                        yield package, active.digest, entry.plan


def lawful_gates(world: FleetWorld, memory: Memory) -> Mapping[str, frozenset[int]]:
    """Rollout -> stages that were shown to the device, and may be open.

    The key of gates is the server's, so a gate that only waits for its time may come at any time;
    one that needs success is open only if the canaries really ran well for so long.
    """
    found: dict[str, set[int]] = {}
    wanted = {rollout for rollout, _ in memory.gates}
    if not wanted:
        return {}
    by_id = {plan.id: (package, after, plan) for package, after, plan in plans(world)}
    for rollout, number in memory.gates:
        if rollout in by_id and _may_be_open(world, *by_id[rollout], number):
            found.setdefault(rollout, set()).add(number)
    return {rollout: frozenset(stages) for rollout, stages in found.items()}


def _may_be_open(world: FleetWorld, package: str, after: str, plan: Plan, number: int) -> bool:
    if not number < len(plan.stages):
        return False
    stage = plan.stages[number]
    if not stage.success:
        return True
    canaries = {device for one in plan.stages[:number] for device in one.canaries}
    return bool(canaries) and all(
        _ran(world, device, package, after, stage.bake) for device in canaries
    )


def _ran(world: FleetWorld, device: str, package: str, after: str, bake: int) -> bool:
    """Whether a device has run the release well for so long, ever: its reports say so for good."""
    member = next((one for one in world.members.values() if one.memory.device == device), None)
    best = None if member is None else member.memory.longest.get((package, after))
    return best is not None and best >= bake
