"""A seeded simulator of a whole fleet: `python -m allod.testing.fleet --seed N` (docs/explanation/simulation.md).

A seed says who is in the fleet, what everybody does and in which order, and who lies. Devices are
the agent's own acceptance and engine on machines of memory; an oracle that shares no code with
them knows what everybody ever signed, and judges every change at the moment at which it is made.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from allod.testing.fleet_delegates import OTHERS
from allod.testing.fleet_foes import behave, lie
from allod.testing.fleet_moves import DEVICES, OWNERS, Move
from allod.testing.fleet_quiet import conclude
from allod.testing.fleet_scenes import SCENES, begin
from allod.testing.fleet_watch import Watcher
from allod.testing.fleet_world import FleetWorld

_MEMORY: Final = Path("/dev/shm")
ROUNDS: Final = 5  #: of a seed
LIARS: Final[tuple[tuple[int, Move], ...]] = ((6, lie), (2, behave))  #: if the server is hostile


@dataclass(frozen=True, slots=True)
class Played:
    """How a seed went."""

    seed: int
    digest: str  #: of the trace
    trace: tuple[str, ...]
    violations: tuple[str, ...]
    made: dict[str, int]  #: lawful changes by kind


def play(seed: int, directory: Path, rounds: int = ROUNDS) -> Played:
    """Play one seed on disks below `directory`, which is empty."""
    world = FleetWorld(seed, directory)
    watcher = Watcher(world)
    watcher.note(f"seed {seed}, {len(world.members)} devices, log: {world.log}")
    begin(watcher)
    for _ in range(rounds):
        _round(watcher)
    conclude(watcher)
    return Played(
        seed,
        watcher.digest,
        tuple(watcher.trace),
        tuple(watcher.violations),
        dict(watcher.made),
    )


def _round(watcher: Watcher) -> None:
    """Somebody says something, something happens, and a scene shows what follows."""
    rng = watcher.world.rng
    liars = LIARS if watcher.world.hostile else ()
    for move in (
        *_some(rng, [*OWNERS, *OTHERS], rng.choice((0, 1, 1, 2))),
        *_some(rng, DEVICES, rng.choice((0, 0, 1))),
        *_some(rng, [*SCENES, *liars], 1),
        *_some(rng, liars, rng.choice((0, 0, 1))),
    ):
        move(watcher)


def _some(rng: random.Random, moves: Sequence[tuple[int, Move]], count: int) -> list[Move]:
    if not moves:
        return []
    return rng.choices([move for _, move in moves], [weight for weight, _ in moves], k=count)


def play_alone(seed: int, rounds: int = ROUNDS) -> Played:
    """Play one seed in a directory of its own, in memory where there is one."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as place:
        return play(seed, Path(place), rounds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play seeds and print what happened; the exit status says whether all was lawful."""
    parser = argparse.ArgumentParser(prog="allod.testing.fleet", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many, from there on")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each")
    parser.add_argument("--quiet", action="store_true", help="print no trace")
    given = parser.parse_args(arguments)
    bad, made = 0, dict[str, int]()
    begin = time.process_time()
    for seed in range(given.seed, given.seed + given.count):
        played = play_alone(seed, given.rounds)
        bad += bool(played.violations)
        made = {
            kind: made.get(kind, 0) + played.made.get(kind, 0) for kind in {*made, *played.made}
        }
        lines = played.violations if given.quiet else played.trace
        sys.stdout.write("".join(f"{seed}: {line}\n" for line in lines))
        if not given.quiet:
            sys.stdout.write(f"{seed}: digest {played.digest}\n")
    spent = (time.process_time() - begin) / given.count
    sys.stdout.write(f"{given.count} seeds, {bad} bad; {spent:.2f} s each; lawful: {made}\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
