"""Runs the targets: `python -m fuzz.run [TARGET …] [--times N] [--seconds S] [--seed N]`.

A seeded mutating runner that needs nothing; `--atheris` has coverage lead the way instead, where
atheris is installed. What crashes is kept in `fuzz/crashes/<target>/`: mend the parser, and move
it into the target's corpus.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import subprocess
import sys
import time
from itertools import islice

from fuzz.frame import HERE, Crash, inputs, judge, names, seeds_of, target_of


def run(name: str, *, times: int, seconds: float, seed: int) -> list[Crash]:
    """Run one target until either runs out; one crash a place in the code is told."""
    target = target_of(name)
    end = time.monotonic() + seconds
    found: dict[str, Crash] = {}
    done = 0
    for data in islice(inputs(seeds_of(name), seed), times):
        if (crash := judge(target, data)) is not None:
            known = found.setdefault(_place(crash), crash)
            if len(crash.data) < len(known.data):
                found[_place(crash)] = crash
        done += 1
        if time.monotonic() > end:
            break
    print(f"{name:24} {done:8} inputs {len(found):4} crashes")
    return list(found.values())


def _place(crash: Crash) -> str:
    """Where it happened: the last line of code of the traceback."""
    lines = [line for line in crash.why.splitlines() if line.lstrip().startswith("File ")]
    return lines[-1] if lines else crash.why.split(":")[0]


def keep(name: str, crash: Crash) -> None:
    """Write it down, and say so."""
    directory = HERE / "crashes" / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / crash.name).write_bytes(crash.data)
    print(f"  kept as fuzz/crashes/{name}/{crash.name}\n{crash.why}")


def with_atheris(name: str, seconds: float) -> None:
    """Run one target under atheris; it ends the process."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["allod"]):
        target = target_of(name)

    def one(data: bytes) -> None:
        crash = judge(target, data)
        if crash is not None:
            keep(name, crash)
            raise RuntimeError(crash.why)

    corpus = HERE / "corpus" / name
    grown = HERE / "crashes" / f"{name}-grown"
    grown.mkdir(parents=True, exist_ok=True)
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}", str(grown), str(corpus)], one)
    atheris.Fuzz()


def main() -> int:
    """Run what was asked for; 1 if anything crashed."""
    parser = argparse.ArgumentParser(description="Give parsers bad input.")
    parser.add_argument("targets", nargs="*", help=f"of: {', '.join(names())}; none: all")
    parser.add_argument("--times", type=int, default=10_000_000, help="inputs a target")
    parser.add_argument("--seconds", type=float, default=30.0, help="time a target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--atheris", action="store_true", help="coverage-guided")
    given = parser.parse_args()
    if unknown := sorted(set(given.targets) - set(names())):
        parser.error(f"no such target: {', '.join(unknown)}")
    if given.atheris and importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed")
    chosen = given.targets or names()
    if given.atheris and len(chosen) == 1:
        with_atheris(chosen[0], given.seconds)
    crashed = 0
    for name in chosen:
        if given.atheris:
            command = [sys.executable, "-m", "fuzz.run", name, "--atheris"]
            command += ["--seconds", str(given.seconds)]
            crashed += subprocess.run(command, check=False).returncode != 0
            continue
        for crash in run(name, times=given.times, seconds=given.seconds, seed=given.seed):
            keep(name, crash)
            crashed += 1
    return 1 if crashed else 0


if __name__ == "__main__":
    sys.exit(main())
