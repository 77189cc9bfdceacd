"""What it costs to match components with advisories, against what it may: one table.

    python bench/advisories_match.py [--data DIRECTORY] [--devices 10000] [--advisories 1000]

With a directory that holds `osv.tar.zst` and `sbom.cdx.json` (or ALLOD_DATA) the SBOM's components
are matched with the whole set: in this process, warm, from the file's bytes to the findings; and by
`allod vulnerabilities`, the whole process. Then a fleet, whose devices have 300 components each of
24,000 that there are, is matched again with new advisories, once with its inventory at hand, once
with the inventory made anew.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from allod.advisories.assessing import assess
from allod.advisories.component import Component, Unmatchable
from allod.advisories.finding import Assessment, Wares
from allod.advisories.intake import import_source
from allod.advisories.purls import component_of
from allod.advisories.rematch import Inventory, rematch
from allod.advisories.store import AdvisoryStore
from allod.testing.advisories import MemoryAdvisories, about, part, record, versions
from allod.wire.sbom import decode_sbom

EACH = 300
PACKAGES = 3000
VERSIONS = 8


def best(work: Callable[[], object], runs: int) -> tuple[float, float]:
    """The least time of several runs in seconds, and the least of the processor's, children too."""
    times, used = [], []
    for _ in range(runs):
        begin, before = time.perf_counter(), sum(os.times()[:4])
        work()
        times.append(time.perf_counter() - begin)
        used.append(sum(os.times()[:4]) - before)
    return min(times), min(used)


def row(what: str, found: str, most: str, *, kept: bool) -> None:
    """One line of the table."""
    print(f"| {what} | {found} | {most} | {'yes' if kept else 'NO'} |", flush=True)


def assessed(sbom: Path, store: AdvisoryStore) -> Assessment:
    """All that is done with an SBOM."""
    parts = [component_of(one) for one in decode_sbom(sbom.read_bytes()).components]
    return assess(
        Wares(
            tuple(one for one in parts if isinstance(one, Component)),
            tuple(one for one in parts if isinstance(one, Unmatchable)),
        ),
        store,
    )


def of_sbom(data: Path, home: Path, runs: int) -> None:
    """The lines of the SBOM."""
    sbom = data / "sbom.cdx.json"
    with AdvisoryStore(home / "advisories" / "advisories.sqlite3") as store:
        import_source(store, data / "osv.tar.zst", source="osv", now=datetime.now(UTC))
        store.close()
        known = assessed(sbom, store)
        warm, used = best(lambda: [assessed(sbom, store) for _ in range(10)], runs)
    flaws = f"{len(known.findings)} flaws in {len({one.component for one in known.findings})}"
    says = f"{warm * 100:.0f} ms ({used * 100:.0f} ms CPU)"
    row(f"SBOM, warm ({flaws} parts)", says, "50 ms", kept=warm <= 0.5)
    words = [sys.executable, "-m", "allod.program", "vulnerabilities", str(sbom)]
    env = {**os.environ, "ALLOD_HOME": str(home)}

    def process() -> None:
        subprocess.run(words, check=True, env=env, stdout=subprocess.DEVNULL)

    process()
    whole, used = best(process, runs)
    says = f"{whole:.2f} s ({used:.2f} s CPU)"
    row("SBOM, the whole process", says, "0.5 s", kept=whole <= 0.5)


def of_fleet(devices: int, advisories: int) -> None:
    """The lines of the fleet; the same one each time."""
    chance = random.Random(1)
    parts = [
        [
            part("PyPI", f"package-{at}", f"{n}.0", f"pkg:pypi/package-{at}@{n}.0")
            for n in range(VERSIONS)
        ]
        for at in range(PACKAGES)
    ]
    fleet = [
        Wares(tuple(chance.choice(one) for one in chance.sample(parts, EACH)))
        for _ in range(devices)
    ]
    known = MemoryAdvisories(
        record(
            f"CVE-2026-{at:05}",
            about(
                "PyPI",
                f"package-{chance.randrange(PACKAGES)}",
                versions("introduced 0", f"fixed {chance.randrange(1, VERSIONS)}"),
            ),
        )
        for at in range(advisories)
    )
    inventory = Inventory()
    begin = time.perf_counter()
    for at, wares in enumerate(fleet):
        inventory.put(f"device-{at}", wares)
    made = time.perf_counter() - begin
    found = rematch(inventory, known.packages, known)
    again, used = best(lambda: rematch(inventory, known.packages, known), 3)
    hits = sum(len(one.holders) for one in found.struck)
    what = f"{devices:,} devices x {EACH}, {advisories:,} new advisories ({hits:,} findings)"
    row(what, f"{again:.2f} s ({used:.2f} s CPU)", "5 s", kept=again <= 5)
    whole = again + made
    row("the same with its inventory made anew", f"{whole:.1f} s", "5 s", kept=whole <= 5)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("ALLOD_DATA"))
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--advisories", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    print("| what | measured | at most | kept |\n|---|---|---|---|")
    if given.data is not None:
        with tempfile.TemporaryDirectory() as name:
            of_sbom(given.data, Path(name), given.runs)
    of_fleet(given.devices, given.advisories)


if __name__ == "__main__":
    main()
