"""What is run: the targets, their seeds, and the judgement of one answer."""

from __future__ import annotations

import hashlib
import importlib
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from allod.errors import AllodError
from fuzz.mutation import mutated

HERE: Final = Path(__file__).resolve().parent
SLOWEST: Final = 5.0  #: seconds of processor time that one input may cost

Target = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Crash:
    """An input that was neither read nor refused."""

    data: bytes
    why: str  #: the traceback, or how long it took

    @property
    def name(self) -> str:
        """Under which it is kept."""
        return hashlib.sha256(self.data).hexdigest()[:16]


def names() -> list[str]:
    """All targets."""
    return sorted(path.stem for path in (HERE / "targets").glob("[!_]*.py"))


def target_of(name: str) -> Target:
    """The target's function."""
    found: Target = importlib.import_module(f"fuzz.targets.{name}").target
    return found


def seeds_of(name: str) -> list[bytes]:
    """Its good (and once bad) inputs, in the order of their names; and nothing at all."""
    directory = HERE / "corpus" / name
    return [path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()] + [b""]


def judge(target: Target, data: bytes) -> Crash | None:
    """Run one input: a value and a refusal that says `cannot …` are good answers, no other is."""
    start = time.thread_time()
    try:
        target(data)
    except AllodError as error:
        if not error.code or not error.message.startswith("cannot "):
            return Crash(data, f"a refusal that says nothing: {error.code!r} {error.message!r}")
        try:
            error.message.encode()
        except UnicodeEncodeError:
            return Crash(data, f"a refusal that cannot be printed: {error.message!r}")
    except Exception:  # noqa: BLE001 - whatever else it is, is what is looked for
        return Crash(data, traceback.format_exc(limit=-12))
    took = time.thread_time() - start
    return Crash(data, f"took {took:.1f} s of processor time") if took > SLOWEST else None


def inputs(seeds: list[bytes], seed: int) -> Iterator[bytes]:
    """The seeds as they are, and then mutations without end; the same ones for the same `seed`."""
    yield from seeds
    chance = Random(seed)
    while True:
        yield mutated(seeds, chance)
