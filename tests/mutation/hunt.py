"""Hunting: each mutant of a module runs against its tests, in a process of its own.

    python -m tests.mutation.hunt [--sample N] [--seed S] [--jobs 2] [MODULE …]

A mutant lives if its tests pass, which means that nothing would notice such a mistake.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.util
import io
import os
import random
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Final

import pytest
from tests.mutation.mutants import Mutant, mutants

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 60  #: after which a mutant that never ends counts as killed
GOAL: Final = 0.9

_TERMS: Final = ("tests/unit/domain/test_terms.py", "tests/unit/domain/test_decision.py")
_PLANS: Final = ("tests/unit/domain/test_plan_terms.py",)
#: Module -> the tests that are to notice what is wrong with it.
TARGETS: Final = {
    "allod.domain.condition": (*_TERMS, *_PLANS),
    "allod.domain.terms": (*_TERMS, *_PLANS),
    "allod.domain.decision": (*_TERMS, *_PLANS),
    "allod.domain.permission": _PLANS,
    "allod.domain.standing": _PLANS,
}


@dataclass(frozen=True, slots=True)
class Quarry:
    """A mutant, and where it is from."""

    module: str
    mutant: Mutant

    def __str__(self) -> str:
        return f"{self.module}:{self.mutant.line}: {self.mutant.what}"


def quarries(modules: Sequence[str]) -> list[Quarry]:
    """All mutants of these modules."""
    found = []
    for module in modules:
        path = ROOT / "src" / (module.replace(".", "/") + ".py")
        found += [Quarry(module, one) for one in mutants(path.read_text(encoding="utf-8"))]
    return found


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Loads one module from other source than its own."""

    def __init__(self, module: str, source: str) -> None:
        self._module, self._source = module, source

    def find_spec(self, name: str, path: object, target: object = None) -> object:
        if name != self._module:
            return None
        return importlib.util.spec_from_loader(name, self)

    def get_source(self, fullname: str) -> str:
        return self._source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, f"<mutant of {fullname}>", "exec")


def hunt(found: Sequence[Quarry], jobs: int = 2) -> list[Quarry]:
    """Those that live: whose tests pass all the same."""
    _quietly([str(ROOT / "tests/unit/domain/test_window.py")])  # so that children need not load it
    waiting, running, alive = list(reversed(found)), dict[int, Quarry](), list[Quarry]()
    while waiting or running:
        while waiting and len(running) < jobs:
            quarry = waiting.pop()
            running[_begin(quarry)] = quarry
        child, status = os.wait()
        quarry = running.pop(child)
        if os.waitstatus_to_exitcode(status) == 0:
            alive.append(quarry)
    return alive


def _begin(quarry: Quarry) -> int:
    child = os.fork()
    if child == 0:  # in a process that knows nothing of the module yet
        code = 1
        try:
            code = _run(quarry)
        finally:
            os._exit(code)
    return child


def _run(quarry: Quarry) -> int:
    signal.alarm(SECONDS)
    for name in [one for one in sys.modules if one.startswith(("allod", "tests.unit", "test_"))]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Mutated(quarry.module, quarry.mutant.source))  # type: ignore[arg-type]
    return _quietly([str(ROOT / path) for path in TARGETS[quarry.module]])


def _quietly(tests: Sequence[str]) -> int:
    """Run tests in this process, and say nothing."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist"]
    nowhere = io.StringIO()
    with redirect_stdout(nowhere), redirect_stderr(nowhere):
        return int(pytest.main([*options, "--rootdir", str(ROOT), *tests]))


def main() -> int:
    """Hunt; 1 if too many live."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=list(TARGETS))
    parser.add_argument("--sample", type=int, help="so many of all mutants")
    parser.add_argument("--seed", type=int, default=0, help="which sample")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    found = quarries(options.modules)
    if options.sample is not None:
        found = random.Random(options.seed).sample(found, min(options.sample, len(found)))
    alive = hunt(found, options.jobs)
    for one in alive:
        print(f"lives: {one}")
    killed = len(found) - len(alive)
    share = killed / len(found)
    print(f"{killed} of {len(found)} mutants killed ({share:.1%}); goal: {GOAL:.0%}")
    return 0 if share >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
