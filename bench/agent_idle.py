"""How small the agent is while nothing happens: memory of the supervisor, time of a poll.

    python bench/agent_idle.py [--polls 200]

The supervisor runs as `allod-agent run` does, over TLS to a server on this machine that always
says 'nothing is new'. Beside it: bare Python, and what a bare TLS client needs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from allod.testing.local_server import Request, local_server, make_authority, server_context

FLEET = "f" * 64
BARE = "import time; print('up', flush=True); time.sleep(60)"
TLS = "import ssl, socket, json; c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); " + BARE


def memory(pid: int) -> tuple[float, float, float]:
    """Resident, private and proportional memory of a process, in MB (10^6 bytes)."""
    found = {"Rss": 0, "Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")[0], line.split()[1]
        if name in found:
            found[name] += int(value) * 1024
    private = found["Private_Clean"] + found["Private_Dirty"]
    return found["Rss"] / 1e6, private / 1e6, found["Pss"] / 1e6


def seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bare(code: str) -> tuple[float, float, float]:
    """Memory of an interpreter that runs `code`."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        found = memory(process.pid)
        process.kill()
    return found


def supervisor(polls: int, manager: str, *, handshakes: bool) -> tuple[tuple[float, ...], float]:
    """Memory, and processor seconds of one poll that brings nothing."""
    count = [0]

    def act(request: Request) -> None:
        if "/news" not in request.path:
            request.answer(404)
            return
        count[0] += 1
        if count[0] > polls + 5:
            time.sleep(8)
        request.handler.send_response(204)
        if handshakes:
            request.handler.send_header("Connection", "close")
        request.handler.end_headers()

    authority = make_authority()
    with tempfile.TemporaryDirectory() as place:
        state = Path(place) / "state"
        (state / "agent").mkdir(parents=True)
        boot = Path(place) / "boot"
        boot.write_text("1")
        settings = {"service_manager": manager, "boot_id_file": str(boot), "wait_seconds": 0}
        (state / "agent.json").write_text(json.dumps(settings))
        (state / "token").write_text(json.dumps({"token": "t" * 60, "expires": "x"}))
        with local_server(act, server_context(authority, Path(place))) as server:
            location = {"url": server.url, "pins": [authority.pem]}
            poll = {"fleet": FLEET, "locations": [location]}
            (state / "agent" / "poll").write_text(json.dumps(poll))
            process = subprocess.Popen(
                [sys.executable, "-m", "allod.agent.main", "run", "--state", str(state)],
                stderr=subprocess.DEVNULL,
                env={**os.environ, "ALLOD_TRACE": "1"},
            )
            try:
                while count[0] < 5:
                    time.sleep(0.01)
                before, start = count[0], seconds(process.pid)
                while count[0] < polls:
                    time.sleep(0.01)
                each = (seconds(process.pid) - start) / (count[0] - before)
                time.sleep(1.0)
                return memory(process.pid), each
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait()


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--polls", type=int, default=200)
    polls = options.parse_args().polls
    print(f"{'process':44} {'RSS MB':>8} {'private':>8} {'PSS':>8} {'CPU a poll':>12}")

    def row(name: str, found: tuple[float, ...], each: float | None = None) -> None:
        time_ = "" if each is None else f"{each * 1000:9.2f} ms"
        print(f"{name:44} {found[0]:8.1f} {found[1]:8.1f} {found[2]:8.1f} {time_:>12}")

    row("bare Python", bare(BARE))
    row("Python with ssl, socket, json", bare(TLS))
    for manager in ("systemd", "process"):
        found, each = supervisor(polls, manager, handshakes=False)
        row(f"supervisor, TLS, {manager}", found, each)
    found, each = supervisor(polls, "systemd", handshakes=True)
    row("the same, a TLS handshake for each poll", found, each)


if __name__ == "__main__":
    main()
