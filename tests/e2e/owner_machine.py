"""An owner's machine and its server as real processes, and a device that walks over real sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from allod.cli.client import ApiClient
from allod.errors import AllodError
from allod.trust.anchor import Anchor, anchor_at, first_floors
from allod.trust.effects import Keep, drive
from allod.trust.floors import Floors
from allod.trust.repository import Repository, descend
from allod.wire.trust import Location

COMMAND = Path(__file__).resolve().parent / "owner_command.py"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class ServerProcess:
    """`allod serve` on a directory."""

    directory: Path
    env: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        url = json.loads((self.directory / "settings.json").read_bytes())["url"]
        with (self.directory.parent / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "allod.program", "serve", str(self.directory)],
                env=self.env,
                stdout=log,
                stderr=log,
            )
        port = int(url.rpartition(":")[2])
        for _ in range(1200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            assert self.process.poll() is None, (self.directory.parent / "server.log").read_text()
            time.sleep(0.05)
        raise AssertionError("the server does not answer")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None


@dataclass
class Machine:
    """Somebody's machine: runs `allod` as processes."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        secret = self.home / "passphrase"
        secret.write_text("correct horse battery\n")
        self.env = {
            **os.environ,
            "ALLOD_HOME": str(self.home),
            "ALLOD_PASSPHRASE_FILE": str(secret),
        }
        self.env.pop("ALLOD_FLEET", None)

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command."""
        return subprocess.run(
            [sys.executable, str(COMMAND), *map(str, arguments)],
            env=self.env, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def do(self, *arguments: str | Path) -> Any:
        """The JSON answer of a command that must succeed."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, (arguments, done.stderr)
        return json.loads(done.stdout)

    def refused(self, *arguments: str | Path) -> str:
        """The code of the error of a command that must fail, without a traceback."""
        done = self.run(*arguments, "--json")
        assert done.returncode not in {0, 1}, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return str(json.loads(done.stderr.strip().splitlines()[-1])["error"]["code"])


@dataclass
class WalkingDevice:
    """What a device's trust does, over the network: pins, floors and cache of its own."""

    anchor: Anchor
    floors: Floors
    locations: list[Location]
    cache: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def bound_now(cls, machine: Machine, fleet: str = "home") -> WalkingDevice:
        """As a device that is bound at this moment, from root 1 and the fleet's pins."""
        settings = json.loads((machine.home / "fleets" / fleet / "fleet.json").read_bytes())
        location = Location(**settings["server"])
        client = ApiClient(location, settings["fleet"], sleep=lambda _: None)
        first = client.file("tuf/1.root.json", cap=1 << 20)
        client.close()
        assert first is not None
        anchor = anchor_at(first)
        return cls(anchor, first_floors(anchor, datetime(2026, 1, 1, tzinfo=UTC)), [location])

    def accept(self) -> Repository:
        """Accept what is served, whole; new anchors are asked from then on."""
        client = ApiClient(self.locations[0], self.anchor.fleet, sleep=lambda _: None)

        def get(path: str, cap: int) -> bytes | None:
            return client.file(path, cap=cap)

        def keep(effect: Keep) -> None:
            self.floors = effect.floors
            self.cache.update(effect.files)
            for name in effect.forget:
                self.cache.pop(name, None)

        try:
            steps = descend(self.anchor, self.floors, self.cache, datetime.now(UTC))
            repository = drive(steps, get, keep)
            drive(repository.load_all(), get, keep)
        finally:
            client.close()
        if repository.statement is not None:
            self.locations = list(repository.statement.anchors)
        return repository

    def refusal(self) -> str:
        """The code with which it refuses what is served."""
        try:
            self.accept()
        except AllodError as error:
            return error.code
        raise AssertionError("it accepted")


def begin(
    home: Path, *words: str, ready: Callable[[Path], None] = lambda _: None
) -> tuple[Machine, ServerProcess]:
    """A public fleet on its running server; the recovery key lies in `home/paper`.

    Args:
        home: where everything lies.
        words: further ones of `allod init`.
        ready: told of the server's directory before the server starts.
    """
    machine = Machine(home / "laptop")
    server = home / "server"
    machine.do(
        "init", "home", "--public", "--server", server, "--recovery-file", home / "paper",
        "--url", f"https://localhost:{free_port()}", *words,
    )  # fmt: skip
    ready(server)
    process = ServerProcess(server, machine.env)
    process.start()
    return machine, process
