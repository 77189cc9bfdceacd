"""The stage of the demonstration: directories, real processes, and small ways to ask them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
PASSPHRASE = "a demonstration is no secret"


class Failed(Exception):
    """Something that the demonstration shows did not hold."""


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until `condition` holds. Raises Failed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    raise Failed(f"{what}: not within {seconds:.0f} seconds")


@dataclass
class Device:
    """One device: a state directory, a supervisor, and a machine that can restart."""

    name: str
    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    boots: int = 0

    @property
    def state(self) -> Path:
        """The agent's state directory."""
        return self.directory / "state"

    def prepare(self) -> None:
        """Write the agent's settings: what whoever runs the machine would write."""
        self.state.mkdir(parents=True, mode=0o700)
        (self.directory / "boot-id").write_text(secrets.token_hex(8), encoding="ascii")
        settings = {
            "service_manager": "process",
            "restarter": "command",
            "restart_command": ["touch", str(self.directory / "restart-wanted")],
            "boot_id_file": str(self.directory / "boot-id"),
            "facts": {"device.name": self.name, "device.port": str(self.port)},
            "poll_seconds": 5,
            "measure_seconds": 2,
        }
        (self.state / "agent.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        """The command line of `allod-agent` on this device."""
        return [str(BIN / "allod-agent"), arguments[0], "--state", str(self.state), *arguments[1:]]

    def boot(self) -> None:
        """Switch the machine on: the supervisor is what starts first."""
        self.boots += 1
        log = (self.directory / "agent.log").open("ab")
        self.process = subprocess.Popen(
            self.command("run"), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        log.close()

    def cut_power(self) -> None:
        """Kill everything that runs on this machine, at once and unasked."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                if str(self.directory).encode() + b"/" in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process = None
        (self.directory / "boot-id").write_text(secrets.token_hex(8), encoding="ascii")

    def answer(self) -> dict[str, object] | None:
        """What the toaster of this device answers over HTTP; None: nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=2) as reply:
                return dict(json.load(reply))
        except (urllib.error.URLError, OSError, ValueError):
            return None

    def serves(self, **wanted: object) -> bool:
        """Whether the toaster answers, with these values among its answer."""
        answer = self.answer()
        return answer is not None and all(answer.get(key) == value for key, value in wanted.items())


@dataclass
class Stage:
    """Everything that takes part."""

    root: Path
    server_port: int = field(default_factory=free_port)
    devices: dict[str, Device] = field(default_factory=dict)
    server: subprocess.Popen[bytes] | None = None
    ending: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.owner_home = self.root / "owner"
        self.owner_home.mkdir(parents=True, mode=0o700)
        self.passphrase = self.root / "passphrase"
        self.passphrase.write_text(PASSPHRASE + "\n", encoding="ascii")
        self.passphrase.chmod(0o600)

    @property
    def url(self) -> str:
        """Where the server is."""
        return f"https://127.0.0.1:{self.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the owner's commands."""
        return {
            **os.environ,
            "ALLOD_HOME": str(self.owner_home),
            "ALLOD_PASSPHRASE_FILE": str(self.passphrase),
        }

    def owner(self, *arguments: str, fails: bool = False, quiet: bool = False) -> str:
        """Run `allod …` as the owner would, show it, and return what it printed.

        Raises:
            Failed: it failed (or, with `fails`, it did not).
        """
        if not quiet:
            print(f"  $ allod {' '.join(shown(part, self.root) for part in arguments)}", flush=True)
        done = subprocess.run(
            [str(BIN / "allod"), *arguments], env=self.environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=120, check=False,
        )  # fmt: skip
        if (done.returncode != 0) != fails:
            raise Failed(f"allod {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        if fails:
            print(indent(done.stderr.strip()), flush=True)
        return done.stdout + (done.stderr if fails else "")

    def agent(self, device: Device, *arguments: str, given: str = "", fails: bool = False) -> str:
        """Run `allod-agent …` on a device. Raises Failed as `owner` does."""
        text = " ".join(shown(part, self.root) for part in arguments)
        print(f"  {device.name}$ allod-agent {text}", flush=True)
        done = subprocess.run(
            device.command(*arguments), input=given, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        if (done.returncode != 0) != fails:
            raise Failed(f"allod-agent {text}:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def start_server(self) -> None:
        """Start the server and wait until it answers."""
        log = (self.root / "server.log").open("ab")
        self.server = subprocess.Popen(
            [str(BIN / "allod"), "serve"], env=self.environment, stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        log.close()
        wait_for("the server listens", self._listens, 30)

    def _listens(self) -> bool:
        if self.server is None or self.server.poll() is not None:
            raise Failed(f"the server ended; see {self.root / 'server.log'}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.server_port)) == 0

    def stop_server(self) -> None:
        """Kill the server, as a power cut would."""
        if self.server is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()
            self.server = None

    def add_device(self, name: str) -> Device:
        """Put another machine on the stage; it is off."""
        device = Device(name, self.root / "devices" / name, free_port())
        device.prepare()
        self.devices[name] = device
        return device

    def watch_restarts(self) -> None:
        """Play the machines' firmware: restart a machine when its agent asks for it."""

        def watch() -> None:
            while not self.ending.wait(0.1):
                for device in self.devices.values():
                    wanted = device.directory / "restart-wanted"
                    if wanted.exists():
                        device.cut_power()
                        wanted.unlink()
                        device.boot()

        threading.Thread(target=watch, daemon=True).start()

    def close(self) -> None:
        """End every process of the stage."""
        self.ending.set()
        time.sleep(0.2)
        for device in self.devices.values():
            device.cut_power()
        self.stop_server()


def indent(text: str) -> str:
    """Text as the output of a command, set in."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def shown(part: str, root: Path) -> str:
    """An argument as a person would type it."""
    text = part.replace(str(root) + "/", "")
    return f"'{text}'" if " " in text else text
