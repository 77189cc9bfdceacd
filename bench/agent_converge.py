"""What the agent costs its device, against what it may: one table.

    python bench/agent_converge.py [--runs 10] [--large 1000]

The worker runs as the supervisor starts it: it reads the fleet's metadata (from a stick, or over
TLS from a server on this machine), verifies it, reads what the device has, measures store and
configuration, looks at services and inventory, plans nothing, and ends. The figures are those of
the kernel for the whole process: processor time, and the peak of resident memory. Beside it: a
run over a payload of 1 MB and of --large MB that is transferred, installed and activated; the
supervisor's memory and polls (agent_idle.py); the rate of transfers (agent_transfer.py).
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import agent_idle
import agent_transfer

import allod
from allod.agent.state_dir import StateDir
from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Software
from allod.domain.ids import Purl
from allod.testing.local_server import Request, local_server, make_authority, server_context
from allod.testing.payloads import Item
from allod.testing.stick import ME, StickFleet
from allod.wire.trust import Location

#: Started in between, since a process's peak counts from its parent's size at the fork.
LAUNCHER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, status, used = os.wait4(process.pid, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, os.waitstatus_to_exitcode(status))
"""


def measured(state: StateDir, *arguments: str) -> tuple[float, float, float]:
    """Processor seconds, wall seconds and peak memory in MB (10^6 bytes) of one run."""
    worker = [sys.executable, "-m", "allod.agent.worker", "--state", str(state.root), *arguments]
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, *worker], capture_output=True, text=True, check=True
    )
    wall = time.monotonic() - begin
    cpu, peak, status = done.stdout.split()
    if status != "0":
        sys.exit(f"the worker ended with {status}: {done.stderr}")
    return float(cpu), wall, int(peak) * 1024 / 1e6


def prepare(state: StateDir, place: Path) -> None:
    """Settings of a device without systemd."""
    boot = place / "boot"
    boot.write_text("1")
    settings = {"service_manager": "process", "boot_id_file": str(boot)}
    state.settings_file.write_text(json.dumps(settings))


def deploy(fleet: StickFleet, name: str, size: int) -> None:
    """A package of one file of `size` bytes that does not compress, active."""
    package = Purl(f"pkg:generic/acme/{name}")
    release, digest = fleet.release(package, "1.0", (Item("data", os.urandom(size)),))
    order = ReleaseOrder(ME, release.version, digest, Level.ACTIVE)
    fleet.sign(package, PackageEntry(software=Software(releases=(order,))))


Run = tuple[float, float, float]


def row(what: str, found: str, most: str, *, kept: bool) -> None:
    """One line of the table."""
    print(f"| {what} | {found} | {most} | {'yes' if kept else 'NO'} |", flush=True)


def quiet(packages: int, runs: int) -> dict[str, list[Run]]:
    """Runs with nothing to do, from a stick and over TLS."""
    authority = make_authority()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)

        def act(request: Request) -> None:
            if request.method == "POST":
                request.answer(200)
                return
            file = place / "stick" / request.path.lstrip("/").replace(":", "-")
            if file.is_file():
                request.answer(200, file.read_bytes())
            else:
                request.answer(404)

        with local_server(act, server_context(authority, place)) as server:
            fleet = StickFleet(place / "stick", datetime.now(UTC))
            state = fleet.bind(
                place / "state", locations=(Location(url=server.url, pins=[authority.pem]),)
            )
            prepare(state, place)
            for number in range(packages):
                deploy(fleet, f"part{number}", 100_000)
            stick = ("--from", str(fleet.directory))
            for _ in range(2):
                measured(state, *stick)
                measured(state)
            return {
                "a stick": [measured(state, *stick) for _ in range(runs)],
                "TLS": [measured(state) for _ in range(runs)],
            }


def payload(megabytes: int) -> Run:
    """One run that transfers, installs and activates."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        fleet = StickFleet(place / "stick", datetime.now(UTC))
        state = fleet.bind(place / "state")
        prepare(state, place)
        deploy(fleet, "large", megabytes * 1_000_000)
        return measured(state, "--from", str(fleet.directory))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--large", type=int, default=1000, metavar="MB")
    given = parser.parse_args()
    compileall.compile_dir(Path(allod.__file__).parent, quiet=2)  # as an installed package is
    print("| what | measured | at most | kept |\n|---|---|---|---|")
    memory, poll = agent_idle.supervisor(200, "process", handshakes=False)
    says = f"{memory[0]:.1f} MB RSS ({memory[1]:.1f} private, {memory[2]:.1f} proportional)"
    row("idle supervisor, TLS", says, "20 MB", kept=memory[0] <= 20)
    row("poll without news", f"{poll * 1000:.2f} ms CPU", "150 ms", kept=poll <= 0.15)
    for packages in (1, 10):
        for source, runs in quiet(packages, given.runs).items():
            cpu, wall = (sorted(run[n] for run in runs)[len(runs) // 2] for n in (0, 1))
            peak = max(run[2] for run in runs)
            what = f"convergence with nothing to do, {packages} installed, {source}"
            says = f"{cpu:.3f} s CPU ({wall:.2f} s), peak {peak:.1f} MB"
            row(what, says, "0.5 s, 64 MB", kept=cpu <= 0.5 and peak <= 64)
    small, large = payload(1), payload(given.large)
    row("transfer, install, activate 1 MB", f"peak {small[2]:.1f} MB", "64 MB", kept=small[2] <= 64)
    kept = large[2] <= min(64.0, small[2] * 1.05)
    says = f"peak {large[2]:.1f} MB ({large[0]:.1f} s CPU, {large[1]:.1f} s)"
    row(f"the same, {given.large} MB", says, "the same peak", kept=kept)
    bare, agent = agent_transfer.rates(given.large)
    says = f"{agent / 1e6:.0f} MB/s, {agent / bare:.0%} of SHA-256 ({bare / 1e6:.0f} MB/s)"
    row("transfer from disk, durable", says, "70 % or more", kept=agent / bare >= 0.7)


if __name__ == "__main__":
    main()
