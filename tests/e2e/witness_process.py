"""`allod witness serve` as a real process."""

from __future__ import annotations

import contextlib
import http.client
import io
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.owner_machine import free_port

from allod import program
from allod.tlog.note import VerifierKey, parse_key


def run(*words: str) -> str:
    """One verb in this process; its answer."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert program.main(list(words)) == 0
    return out.getvalue().strip()


@dataclass
class WitnessProcess:
    """A witness of its own directory and port."""

    directory: Path
    name: str = "witness.example/1"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def know(self, logs: Iterable[VerifierKey]) -> None:
        """Let it cosign these logs."""
        for log in logs:
            run("witness", "add-log", str(self.directory), str(log))

    def make(self) -> VerifierKey:
        """`allod witness init`; the key that it prints."""
        where = ("--name", self.name, "--port", str(self.port))
        return parse_key(run("witness", "init", str(self.directory), *where))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.directory / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "allod.program", "witness", "serve", str(self.directory)],
                stdout=log,
                stderr=log,
            )
        for _ in range(400):
            with contextlib.suppress(OSError):
                if self.ask("GET", "/health")[0] == 200:
                    return
            assert self.process.poll() is None, (self.directory / "serve.log").read_text()
            time.sleep(0.02)
        raise AssertionError("the witness does not answer")

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes, str]:
        """Status, body and media type of one exchange."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers.get("content-type", "")
        finally:
            connection.close()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit status."""
        if self.process is None:
            return 0
        self.process.send_signal(how)
        status = self.process.wait(30)
        self.process = None
        return status
