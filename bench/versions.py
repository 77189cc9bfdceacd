"""Comparisons of versions per second, and how many are right, beside univers: one table.

    python bench/versions.py [--seconds 0.4]

The pairs are those of tests/vectors/versions, made by the native tools, without versions that
either side refuses. `text` reads both versions each time; `read` has them read already (a key here,
an object there), as when one component is held against many ranges. `wrong` counts pairs of which
at least one of `<`, `<=`, `==`, `>=`, `>` is answered otherwise than the native tool does.
"""

from __future__ import annotations

import argparse
import operator
import time
from collections.abc import Callable
from pathlib import Path

from univers.versions import (
    AlpineLinuxVersion,
    DebianVersion,
    MavenVersion,
    PypiVersion,
    RpmVersion,
    SemverVersion,
)

from allod.advisories.orders import apk, dpkg, maven, pep440, rpm, semver

VECTORS = Path(__file__).resolve().parents[1] / "tests" / "vectors" / "versions"
ORDERS = {
    "dpkg": (dpkg.key, DebianVersion, "debian-versions.txt"),
    "rpm": (rpm.key, RpmVersion, "redhat-versions.txt"),
    "apk": (apk.key, AlpineLinuxVersion, "alpine-versions.txt"),
    "semver": (semver.key, SemverVersion, "semver-versions.txt"),
    "maven": (maven.key, MavenVersion, "maven-versions.txt"),
    "pep440": (pep440.key, PypiVersion, "pypi-versions.txt"),
}
OPERATORS = (operator.lt, operator.le, operator.eq, operator.ge, operator.gt)
SIGNS = {"<": (-1, 0), "=": (0, 0), ">": (1, 0)}


def pairs(file: str, *readers: Callable) -> list[tuple[str, str, str]]:
    """First, sign, second, of what all readers take."""
    found = []
    for line in (VECTORS / file).read_text().splitlines():
        parts = line.split()
        if len(parts) != 3 or parts[1] not in SIGNS:
            continue
        try:
            for read in readers:
                read(parts[0]), read(parts[2])
        except Exception:
            continue
        found.append((parts[0], parts[1], parts[2]))
    return found


def wrong(read: Callable, vectors: list[tuple[str, str, str]]) -> int:
    """How many pairs an operator is wrong about."""
    count = 0
    for first, sign, second in vectors:
        one, other = read(first), read(second)
        count += any(op(one, other) != op(*SIGNS[sign]) for op in OPERATORS)
    return count


def rate(work: Callable[[], None], times: int, seconds: float) -> float:
    """How often a second, by the best of several rounds."""
    work()
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        work()
        best = max(best, times / (time.perf_counter() - start))
    return best


def rates(read: Callable, vectors: list[tuple[str, str, str]], seconds: float) -> list[float]:
    """From text, and from what was read."""
    ready = [(read(first), read(second)) for first, _, second in vectors]

    def text() -> None:
        for first, _, second in vectors:
            read(first) < read(second)  # noqa: B015

    def compare() -> None:
        for one, other in ready:
            one < other  # noqa: B015

    return [rate(work, len(vectors), seconds) for work in (text, compare)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.4, help="for each figure")
    seconds = parser.parse_args().seconds
    print("comparisons per second")
    print(f"{'':8}{'':>7}{'allod':>32}{'univers':>32}")
    head = f"{'text':>12}{'read':>13}{'wrong':>7}"
    print(f"{'order':8}{'pairs':>7}{head}{head}")
    for name, (key, other, file) in ORDERS.items():
        mine = key.__wrapped__  # without the cache
        vectors = pairs(file, mine, other)
        line = f"{name:8}{len(vectors):>7}"
        for read in (mine, other):
            text, ready = rates(read, vectors, seconds)
            line += f"{text:>12,.0f}{ready:>13,.0f}{wrong(read, vectors):>7}"
        print(line)


if __name__ == "__main__":
    main()
