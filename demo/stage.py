"""The stage of the demonstration: directories, real processes, and small ways to ask them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.builder import Builder

BIN = Path(sys.executable).parent
POWER = Path(__file__).resolve().parent / "power.py"
PASSPHRASE = "a demonstration is no secret"
ROOT = "ALLOD_DEMO"  #: names the directory of the demonstration to every process of it
TOASTER_PORT = 28_080  #: on an address of its own for each device
TIMEOUT = 120.0  #: seconds that a command may take


class Failed(Exception):
    """Something that the demonstration shows did not hold."""


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_address() -> str:
    """An address of the loopback network on which nobody has the toaster's port."""
    while True:
        address = ".".join(["127", *(str(1 + secrets.randbelow(250)) for _ in range(3))])
        with socket.socket() as probe:
            probe.bind((address, 0))
            if probe.connect_ex((address, TOASTER_PORT)) != 0:
                return address


def wait_for(what: str, condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until `condition` holds. Raises Failed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.3)
    raise Failed(f"{what}: not within {seconds:.0f} seconds")


@dataclass
class Device:
    """One device: a state directory, a supervisor, and a machine that can restart."""

    name: str
    directory: Path
    address: str

    @property
    def boots(self) -> int:
        """How often the machine was switched on."""
        return len((self.directory / "boots").read_text(encoding="ascii"))

    @property
    def state(self) -> Path:
        """The agent's state directory."""
        return self.directory / "state"

    @property
    def url(self) -> str:
        """Where its toaster answers."""
        return f"http://{self.address}:{TOASTER_PORT}/"

    def prepare(self) -> None:
        """Write the agent's settings: what whoever runs the machine would write."""
        self.state.mkdir(parents=True, mode=0o700)
        (self.directory / "boot-id").write_text(secrets.token_hex(8), encoding="ascii")
        settings = {
            "service_manager": "process",
            "restarter": "command",
            "restart_command": [sys.executable, str(POWER), str(self.directory), self.address],
            "boot_id_file": str(self.directory / "boot-id"),
            "facts": {"device.name": self.name, "device.address": self.address},
            "poll_seconds": 5,
            "heartbeat_seconds": 30,
            "measure_seconds": 5,
        }
        (self.state / "agent.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        """The command line of `allod-agent` on this device."""
        return [str(BIN / "allod-agent"), *arguments, "--state", str(self.state)]

    def boot(self) -> None:
        """Switch the machine on: the supervisor is what starts first."""
        with (self.directory / "boots").open("a", encoding="ascii") as boots:
            boots.write("#")
        with (self.directory / "agent.log").open("ab") as log:
            subprocess.Popen(
                self.command("run"), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip

    def cut_power(self) -> None:
        """Kill everything that runs on this machine, at once and unasked."""
        while kill_below(self.directory):
            time.sleep(0.02)
        (self.directory / "boot-id").write_text(secrets.token_hex(8), encoding="ascii")

    def answer(self) -> dict[str, object] | None:
        """What the toaster of this device answers over HTTP; None: nothing answers."""
        try:
            with urllib.request.urlopen(self.url, timeout=2) as reply:
                return dict(json.load(reply))
        except (urllib.error.URLError, OSError, ValueError):
            return None

    def poke(self) -> None:
        """Have the agent look now, as it does when its server says that there is news."""
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.state / "agent" / "pid").read_text("ascii")), signal.SIGHUP)

    def says(self) -> dict[str, Any]:
        """What the agent itself says: `allod-agent status --json`."""
        done = subprocess.run(
            self.command("status", "--json"), capture_output=True, text=True, timeout=TIMEOUT,
            check=True,
        )  # fmt: skip
        return dict(json.loads(done.stdout))

    def run(self, *arguments: str, given: str = "") -> str:
        """Run `allod-agent …` on this device, show it. Raises Failed if it fails."""
        text = " ".join(arguments)
        print(f"   {self.name}$ allod-agent {shown(text)}", flush=True)
        done = subprocess.run(
            self.command(*arguments), input=given, capture_output=True, text=True,
            timeout=TIMEOUT, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"allod-agent {text}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def serves(self, **wanted: object) -> bool:
        """Whether the toaster answers, with these values among its answer."""
        answer = self.answer()
        return answer is not None and all(answer.get(key) == value for key, value in wanted.items())


@dataclass
class Person:
    """Somebody with a machine of their own that has `allod`."""

    name: str
    home: Path

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, mode=0o700)
        self.passphrase = self.home / "passphrase"
        self.passphrase.write_text(PASSPHRASE + "\n", encoding="ascii")
        self.passphrase.chmod(0o600)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of their commands."""
        own = {"ALLOD_HOME": str(self.home), "ALLOD_PASSPHRASE_FILE": str(self.passphrase)}
        return {**os.environ, **own, "COLUMNS": "110"}

    def run(self, *arguments: str | Path, tell: bool = False, code: str = "") -> str:
        """Run `allod …`, show it, and return what it printed.

        Args:
            arguments: of the command.
            tell: show what it printed, too.
            code: it must fail with this error; what it says is shown.

        Raises:
            Failed: it failed, or did not fail as it should.
        """
        words = [str(part) for part in arguments]
        print(f"   {self.name}$ allod {shown(shlex.join(words))}", flush=True)
        done = subprocess.run(
            [str(BIN / "allod"), *words], env=self.environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        if bool(done.returncode) != bool(code) or (code and f"[{code}]" not in done.stderr):
            raise Failed(f"allod {shlex.join(words)}:\n{done.stdout}{done.stderr}")
        if tell or code:
            print(indent((done.stderr + done.stdout).strip()), flush=True)
        return done.stdout

    def finds(self, *arguments: str | Path) -> str:
        """What `allod …` prints when it ends with 7: it found something; empty: it did not."""
        done = subprocess.run(
            [str(BIN / "allod"), *map(str, arguments)], env=self.environment, capture_output=True,
            text=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        if done.returncode not in {0, 7}:
            raise Failed(f"allod {arguments}:\n{done.stdout}{done.stderr}")
        return done.stdout if done.returncode else ""

    def ask(self, *arguments: str | Path) -> Any:
        """What `allod … --json` answers; not shown."""
        done = subprocess.run(
            [str(BIN / "allod"), *map(str, arguments), "--json"], env=self.environment,
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"allod {arguments}:\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)


@dataclass
class Stage:
    """Everything that takes part."""

    root: Path
    port: int = field(default_factory=free_port)
    devices: dict[str, Device] = field(default_factory=dict)
    server: subprocess.Popen[bytes] | None = None
    bin: Path = BIN
    forged: dict[str, bytes] = field(default_factory=dict)  #: what thieves have shown, by role
    thefts: int = 0  #: how often the server was stolen
    witness: subprocess.Popen[bytes] | None = None
    registry: subprocess.Popen[bytes] | None = None  #: the provider's
    registry_url: str = ""
    builder: Builder = field(default_factory=lambda: Builder.new(""))
    witness_key: str = ""
    witness_url: str = ""
    changes: dict[str, str] = field(default_factory=dict)  #: numbers of changes, by what they were

    def __post_init__(self) -> None:
        os.environ[ROOT] = str(self.root)
        # Processes that start often should not compile the same modules each time.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(self.root / "pycache")
        self.owner = Person("owner", self.root / "owner")
        self.provider = Person("acme", self.root / "acme")
        self.stranger = Person("stranger", self.root / "stranger")

    @property
    def server_directory(self) -> Path:
        """Where the server keeps its files."""
        return self.root / "server"

    @property
    def url(self) -> str:
        """Where the server is."""
        return f"https://127.0.0.1:{self.port}"

    def start_server(self, *command: str | Path, quiet: bool = False) -> None:
        """Start the server, or what `command` puts in its place, and wait until it answers."""
        words = command or (BIN / "allod", "serve", self.server_directory)
        if not quiet:
            print(f"   server$ {shown(shlex.join(map(str, words)))}", flush=True)
        with (self.root / "server.log").open("ab") as log:
            self.server = subprocess.Popen(
                [str(word) for word in words], env=self.owner.environment, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        wait_for("the server listens", self._listens, 30)

    def _listens(self) -> bool:
        if self.server is None or self.server.poll() is not None:
            raise Failed("the server ended")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop_server(self) -> None:
        """Kill the server, as a power cut would."""
        if self.server is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()
            self.server = None

    def add_device(self, name: str) -> Device:
        """Put another machine on the stage; it is off."""
        device = Device(name, self.root / "devices" / name, free_address())
        device.prepare()
        self.devices[name] = device
        return device

    def all_serve(self, *names: str, seconds: float = 60.0, **wanted: object) -> None:
        """Wait until the toasters of these devices (of all) answer with these values."""
        for device in [self.devices[name] for name in names] or self.devices.values():
            text = ", ".join(f"{key} {value}" for key, value in wanted.items())
            wait_for(
                f"the toaster of {device.name} answers {text}; it answers {device.answer()}",
                lambda here=device: here.serves(**wanted), seconds,
            )  # fmt: skip
        names = names or tuple(self.devices)
        print(f"   holds: {', '.join(names)} answer over HTTP: {text}", flush=True)

    def keep(self) -> None:
        """Leave the processes running, and note how to end them."""
        pids = [
            str(process.pid) for process in (self.server, self.witness, self.registry) if process
        ]
        (self.root / "pids").write_text("\n".join(pids))

    @classmethod
    def end_kept(cls, root: Path) -> None:
        """End what `keep` left, and remove it."""
        note = root / "pids"
        if note.exists():
            for pid in note.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(int(pid), signal.SIGKILL)
            for directory in (root / "devices").iterdir():
                while kill_below(directory):
                    time.sleep(0.02)
        shutil.rmtree(root, ignore_errors=True)

    def close(self) -> None:
        """End every process of the stage."""
        for device in self.devices.values():
            device.cut_power()
        self.stop_server()
        for process in (self.witness, self.registry):
            if process is not None:
                process.kill()
                process.wait()


def kill_below(directory: Path) -> int:
    """Kill every process that has this directory in its command line; returns how many lived."""
    found = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if f"{directory}/".encode() in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
                found += 1
    return found


def indent(text: str) -> str:
    """Text as the output of a command, set in."""
    return "\n".join(f"     {line}" for line in text.splitlines())


def show(title: str, text: str) -> None:
    """Print a piece of text under a title."""
    print(f"--- {title}\n{indent(text)}", file=sys.stderr)


def shown(text: str) -> str:
    """A command line as a person would type it: without the demonstration's directory."""
    return text.replace(os.environ[ROOT] + "/", "").replace(f"{BIN}/", "")
