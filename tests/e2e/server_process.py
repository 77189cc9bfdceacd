"""`allod serve` as a real process on a directory that a simulated owner made."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.owner_machine import free_port

from allod.server.settings import LogsIn, save_settings
from allod.testing.server import ServerRig


@dataclass
class Served:
    """A rig's directory, served by a process of its own; plain HTTP, to keep tests quick."""

    rig: ServerRig
    port: int
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.rig.directory.parent / "serve.log"

    @classmethod
    def make(cls, directory: Path, *, logs: LogsIn = "directory") -> Served:
        """A server with one fleet; the rig itself has let go of it."""
        port = free_port()
        rig = ServerRig.make(directory / "server", url=f"http://127.0.0.1:{port}", logs=logs)
        save_settings(rig.settings)
        rig.server.close()
        return cls(rig, port)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "allod.program", "serve", str(self.rig.directory)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONWARNINGS": "error::DeprecationWarning:allod"},
            )
        for _ in range(400):
            with contextlib.suppress(OSError):
                if self.ask("GET", "/health")[0] == 200:
                    return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise AssertionError("the server does not answer")

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(
                method, path, body, {"Content-Type": "application/json", **(headers or {})}
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def signal(self, how: signal.Signals) -> tuple[int, float]:
        """Send a signal; the exit status, and how long it took."""
        assert self.process is not None
        begin = time.monotonic()
        self.process.send_signal(how)
        status = self.process.wait(30)
        self.process = None
        return status, time.monotonic() - begin

    def close(self) -> None:
        """End it, however it stands."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run an `allod` command."""
        return subprocess.run(
            [sys.executable, "-m", "allod.program", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
        )


@contextlib.contextmanager
def served(directory: Path) -> Iterator[Served]:
    """A running server, ended afterwards."""
    made = Served.make(directory)
    try:
        made.start()
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def listening(port: int) -> Iterator[None]:
    """Somebody else's program on a port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        yield
