"""How a seed ends: everybody is honest, and what is lawful and wanted comes true everywhere.

A fleet that refuses everything breaks no law; this is what shows that ours does more than that.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from allod.testing.fleet_foes import behave
from allod.testing.fleet_oracle import Oracle
from allod.testing.fleet_wares import PACKAGES
from allod.testing.fleet_watch import Watcher

#: What a device reads more strictly than the oracle: it remembers less than was seen of it. So are
#: gates of rollouts: what canaries did counts there only as far as their reports tell.
_LATER: Final = frozenset({"soak", "rate"})
_TRIES: Final = 3  #: what failed for reasons of the machine is tried again


def conclude(watcher: Watcher) -> None:
    """Let everybody look until nothing changes, then ask the oracle what should have."""
    world = watcher.world
    behave(watcher)
    world.pass_time(timedelta(minutes=20))
    for name in world.members:
        for _ in range(_TRIES):
            world.members[name].device.hardware.clock.wall = world.now
            watcher.run(name)
            missing = _missing(watcher, name)
            if not missing:
                break
        for says in missing:
            watcher.blame(name, says)


def _missing(watcher: Watcher, name: str) -> list[str]:
    """What the oracle allows and somebody wants, and does not run; but for what is sick."""
    missing = []
    oracle = Oracle(watcher.world.book, watcher.world.members[name].memory)
    for package in PACKAGES:
        word = oracle.word(package)
        active = None if word is None else word.active
        if word is None or active is None or active.digest == oracle.running(package)[0]:
            continue
        ware = oracle.ware(active.digest)
        if ware is None or ware.sick or {rule.kind for rule in word.rules} & _LATER:
            continue
        if word.entry.plan is not None:
            continue
        wanted = [
            (target, when)
            for target, when in oracle.targets(package)
            if when == "now" and target[0] == active.digest
        ]
        steps = [oracle.may_have(package, active.digest, verb) for verb in ("transfer", "install")]
        if any(steps) or not wanted:
            continue
        if all(not oracle.objections(package, target, when) for target, when in wanted):
            missing.append(f"{package} {ware.version} is wanted and lawful, and does not run")
    return missing
