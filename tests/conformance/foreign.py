"""Programs by others in an environment of their own: `aics-tlog` and `aics-witness` (Apache-2.0).

`make test-slow` makes the environment from requirements/foreign.txt and names its interpreter in
ALLOD_FOREIGN_PYTHON. Nothing of Allod is imported there, and nothing of it here.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.owner_machine import free_port

from allod.tlog.note import VerifierKey, parse_key

READER = Path(__file__).with_name("foreign_reader.py")
_BESIDE = Path(__file__).parents[2] / ".venv-foreign" / "bin" / "python"


def interpreter() -> Path:
    """Of the other environment; without one the test is skipped, unless it was promised."""
    promised = os.environ.get("ALLOD_FOREIGN_PYTHON")
    place = Path(promised) if promised else _BESIDE
    if not place.is_file():
        assert not promised, f"{place} is missing"
        pytest.skip("the other implementation is not installed; 'make test-slow' does it")
    return place


def run_reader(question: dict[str, Any], authority: Path | None = None) -> Any:
    """What the other implementation says of a log that is served.

    Args:
        question: see `foreign_reader`.
        authority: the certificate of the server's, if it serves by TLS.
    """
    trusted = {} if authority is None else {"SSL_CERT_FILE": str(authority)}
    done = subprocess.run(
        [str(interpreter()), "-I", str(READER)],
        input=json.dumps(question), capture_output=True, text=True, timeout=60,
        env={**os.environ, **trusted},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@dataclass
class ForeignWitness:
    """`aics-witness serve`, with a directory and a port of its own."""

    directory: Path
    name: str = "witness.example.org/w1"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def make(self) -> VerifierKey:
        """Its key, which it makes and keeps itself."""
        where = ("--name", self.name, "--listen", f"127.0.0.1:{self.port}")
        return parse_key(self._run("init", *where).strip())

    def know(self, logs: Iterable[VerifierKey]) -> None:
        """Let it cosign these logs."""
        for log in logs:
            self._run("add-log", "--origin", log.name, "--vkey", str(log))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.directory / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(self._command("serve"), stdout=log, stderr=log)
        for _ in range(400):
            with contextlib.suppress(OSError):
                if self.ask("GET", "/healthz")[0] == 200:
                    return
            assert self.process.poll() is None, (self.directory / "serve.log").read_text()
            time.sleep(0.05)
        raise AssertionError("the other witness does not answer")

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of one exchange."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def evidence(self) -> list[Any]:
        """What it keeps of requests that contradict what it saw."""
        return list(json.loads(self._run("evidence")))

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(30)
            self.process = None

    def _command(self, verb: str, *words: str) -> list[str]:
        self.directory.mkdir(exist_ok=True)
        config = str(self.directory / "witness.json")
        return [str(interpreter()), "-I", "-m", "aics_witness", verb, "--config", config, *words]

    def _run(self, verb: str, *words: str) -> str:
        done = subprocess.run(
            self._command(verb, *words), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
