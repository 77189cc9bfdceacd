"""What it costs to take in advisories and to look them up, against what it may: one table.

    python bench/advisories_import.py [--data DIRECTORY] [--runs 3]

The directory holds `osv.tar.zst`, `kev/`, `vex/` and `sbom.cdx.json` (or set ALLOD_DATA). Each import
is a process of its own, as an owner starts it; figures are those of the kernel for all of it. The
lookup is that of the packages of the SBOM, in this process, warm.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from allod.advisories.component import Component
from allod.advisories.purls import component_of
from allod.advisories.store import AdvisoryStore
from allod.domain.sbom import SbomComponent

#: Started in between, since a process's peak counts from its parent's size at the fork.
LAUNCHER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, os.waitstatus_to_exitcode(status))
"""


def imported(home: Path, path: Path, source: str) -> tuple[float, float, float]:
    """Wall and processor seconds, and the peak of memory in MB (10^6 bytes), of one import."""
    words = ["-m", "allod.program", "advisories", "import", str(path), "--source", source]
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, sys.executable, *words],
        capture_output=True, text=True, check=True, env={**os.environ, "ALLOD_HOME": str(home)},
    )  # fmt: skip
    wall = time.monotonic() - begin
    cpu, peak, status = done.stdout.split()
    if status != "0":
        sys.exit(f"the import ended with {status}: {done.stderr}")
    return wall, float(cpu), int(peak) * 1024 / 1e6


def lookup(store: AdvisoryStore, sbom: Path, runs: int) -> tuple[float, int, int]:
    """The best time of a lookup in seconds; how many packages were asked for, how many rows came."""
    said = json.loads(sbom.read_bytes())["components"]
    parts = [
        component_of(SbomComponent(one["name"], one.get("version", ""), one.get("purl", "")))
        for one in said
    ]
    packages = [(one.ecosystem, one.name) for one in parts if isinstance(one, Component)]
    best, rows = float("inf"), 0
    for _ in range(runs):
        begin = time.perf_counter()
        found = store.about(packages)
        best = min(best, time.perf_counter() - begin)
        rows = sum(map(len, found.values()))
    return best, len(packages), rows


def row(what: str, found: str, most: str, *, kept: bool) -> None:
    """One line of the table."""
    print(f"| {what} | {found} | {most} | {'yes' if kept else 'NO'} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("ALLOD_DATA"))
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    if given.data is None:
        parser.error("--data is needed, or ALLOD_DATA")
    print("| what | measured | at most | kept |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        whole = given.data / "osv.tar.zst"
        fresh = [imported(place / str(run), whole, "osv") for run in range(given.runs)]
        again = [imported(place / "0", whole, "osv") for _ in range(given.runs)]
        for what, runs in (("the whole set", fresh), ("the same again", again)):
            wall, cpu, peak = (sorted(run[at] for run in runs)[len(runs) // 2] for at in range(3))
            says = f"{wall:.1f} s ({cpu:.1f} s CPU), peak {peak:.0f} MB"
            row(f"import of {what}", says, "20 s, 300 MB", kept=wall <= 20 and peak <= 300)
        for kind in ("kev", "vex"):
            wall, _, peak = imported(place / "0", given.data / kind, kind)
            row(f"import of {kind}", f"{wall:.1f} s, peak {peak:.0f} MB", "20 s", kept=wall <= 20)
        file = place / "0" / "advisories" / "advisories.sqlite3"
        row("the store", f"{file.stat().st_size / 1e6:.0f} MB", "", kept=True)
        with AdvisoryStore(file) as store:
            best, packages, rows = lookup(store, given.data / "sbom.cdx.json", 10)
        says = f"{best * 1000:.1f} ms, {rows} rows"
        row(f"lookup of {packages} packages, warm", says, "50 ms", kept=best <= 0.05)


if __name__ == "__main__":
    main()
