"""Polls with no news, token checked: requests a second of one server process, beside nginx.

    python bench/server_polls.py [seconds]

64 connections of `wrk` ask a real `allod serve` whether there is news; there is none. In the same
run nginx (one worker) answers the same bytes from its configuration. Both share the machine's
cores with `wrk`. Goal: 20,000 a second on two cores, p99 below 10 ms.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import structlog

from allod.server.settings import save_settings
from allod.testing.server import ServerRig

CONNECTIONS = 64
GOAL_RPS, GOAL_P99_MS = 20_000, 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url: str, headers: dict[str, str]) -> int:
    for _ in range(100):
        with contextlib.suppress(OSError):
            request = urllib.request.Request(url, headers=headers)
            with urllib.request.urlopen(request, timeout=1) as answer:
                return answer.status
        time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([0-9.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def measure(url: str, token: str, seconds: int) -> tuple[float, float, float, int]:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"]
    command += ["-H", f"Authorization: Bearer {token}", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([0-9.]+)", said).group(1))
    p50, p99 = (milliseconds(re.search(rf"{p}%\s+(\S+)", said).group(1)) for p in (50, 99))
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return rate, p50, p99, int(failed.group(1)) if failed else 0


def nginx(directory: Path, port: int, path: str) -> subprocess.Popen:
    (directory / "nginx.conf").write_text(f"""
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; server_tokens off;
  client_body_temp_path {directory}/b; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{
    listen 127.0.0.1:{port};
    location = {path} {{ add_header cache-control no-store; return 204; }}
  }}
}}
""")
    return subprocess.Popen(["nginx", "-p", str(directory), "-c", str(directory / "nginx.conf")])


def main() -> int:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    missing = [tool for tool in ("wrk", "nginx") if shutil.which(tool) is None]
    if missing:
        print(f"skipped: {' and '.join(missing)} not installed (apt-get install wrk nginx-light)")
        return 0
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        port, other = free_port(), free_port()
        rig = ServerRig.make(directory / "server", url=f"http://127.0.0.1:{port}")
        save_settings(rig.settings)
        token = rig.token(rig.bound())
        news = rig.server.fleets.need(rig.fleet).news
        rig.server.close()
        path = f"/f/{rig.fleet}/news"
        query = f"{path}?after={news}"
        server = subprocess.Popen(
            [sys.executable, "-m", "allod.program", "serve", str(directory / "server")],
            stderr=subprocess.DEVNULL,
        )
        (directory / "nginx").mkdir()
        peer = nginx(directory / "nginx", other, path)
        rows = []
        try:
            headers = {"Authorization": f"Bearer {token}"}
            for what, at in (("allod serve", port), ("nginx", other)):
                url = f"http://127.0.0.1:{at}{query}"
                if wait_for(url, headers) != 204:
                    raise SystemExit(f"{what} has news")
                measure(url, token, 2)
                rows.append((what, *measure(url, token, seconds)))
        finally:
            for process in (server, peer):
                process.terminate()
                process.wait(20)
    print(f"{CONNECTIONS} connections, {os.cpu_count()} cores shared with wrk, {seconds} s each\n")
    print("| server | polls/s | p50 ms | p99 ms | failed |\n|---|---|---|---|---|")
    for what, rate, p50, p99, failed in rows:
        print(f"| {what} | {rate:,.0f} | {p50:.2f} | {p99:.2f} | {failed} |")
    _, rate, _, p99, failed = rows[0]
    print(f"\nnginx : allod = {rows[1][1] / rate:.2f} : 1")
    good = rate >= GOAL_RPS and p99 < GOAL_P99_MS and failed == 0
    print("goal (20,000/s, p99 < 10 ms):", "met" if good else "MISSED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
