"""A home: an owner's machine, a server process, and devices that run the real agent."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.owner_machine import Machine, ServerProcess, begin

from allod import program
from allod.cli.client import ApiClient
from allod.cli.fleet import LocalFleet
from allod.cli.options import Options
from allod.cli.passphrase import Passphrase

DESCRIPTION = """
package = "pkg:generic/me/{name}"
version = "{version}"
access = ["path.write:/var/lib/{name}"]
[interrupts]
what = "breakfast"
seconds = 3
[configuration]
schema = {{ type = "object", additionalProperties = false, properties = {{ colour = {{ type = "string" }}, pin = {{ type = "string", writeOnly = true }} }} }}
default = {{ colour = "red" }}
"""


class LyingClient(ApiClient):
    """The way to a server that shows what a test wants: path -> what becomes of the answer."""

    lies: dict[str, Callable[[bytes], bytes]]
    sent: list[str]

    def request(self, method: str, path: str, **more: Any) -> bytes:
        """As the real one, but for the lies."""
        self.sent.append(f"{method} {path}")
        answer = super().request(method, path, **more)
        for part, lie in self.lies.items():
            if part in path:
                answer = lie(answer)
        return answer


@dataclass
class Home:
    """Everything of one fleet."""

    place: Path
    words: tuple[str, ...] = ()  #: further ones of `allod init`
    ready: Callable[[Path], None] = lambda _: None  #: told of the server's directory at first
    machine: Machine = field(init=False)
    server: ServerProcess = field(init=False)
    clients: list[ApiClient] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine, self.server = begin(self.place, *self.words, ready=self.ready)

    def fleet(self, **lies: Callable[[bytes], bytes]) -> LocalFleet:
        """The owner's fleet in this process, its server's answers twisted by `lies`."""
        secret = Passphrase(self.machine.home / "passphrase")
        fleet = LocalFleet.at(self.machine.home / "fleets" / "home", passphrase=secret)
        honest = fleet.client
        client = LyingClient(honest.location, honest.fleet, honest.key)
        client.lies, client.sent = dict(lies), []
        fleet._client = client
        self.clients.append(client)
        return fleet

    def close(self) -> None:
        """End everything; a kill is a normal stop of a server, and quicker."""
        for client in self.clients:
            client.close()
        self.server.stop(signal.SIGKILL)

    def do(self, *arguments: str | Path) -> Any:
        """As `machine.do`, in this process: the JSON answer of a command that must succeed."""
        status, said, error = self._call(*arguments)
        assert status == 0, (arguments, error)
        return json.loads(said)

    def refused(self, *arguments: str | Path) -> str:
        """As `machine.refused`, in this process: the code of the error."""
        status, said, error = self._call(*arguments)
        assert status not in {0, 1}, (arguments, said, error)
        return str(json.loads(error.strip().splitlines()[-1])["error"]["code"])

    def _call(self, *arguments: str | Path) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        kept = dict(os.environ)
        os.environ.update(self.machine.env)
        try:
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                Path(os.devnull).open() as nothing,
                pytest.MonkeyPatch.context() as patch,
                warnings.catch_warnings(),
            ):
                # A command leaves its connections to the end of its process; here that is now.
                warnings.simplefilter("ignore", ResourceWarning)
                patch.setattr(sys, "stdin", nothing)
                patch.setattr("allod.cli.pkcs8.SCRYPT_N", 16)
                patch.setattr("allod.cli.pkcs8.SCRYPT_P", 1)
                status = program.main([*map(str, arguments), "--json"])
                gc.collect()
        finally:
            os.environ.clear()
            os.environ.update(kept)
        return status, out.getvalue(), err.getvalue()

    def options(self, fleet: LocalFleet) -> Options:
        """Options of a verb that is to use this fleet."""

        class Given(Options):
            def open(self) -> LocalFleet:
                return fleet

        return Given(json=True)

    def app(self, name: str, version: str, more: str = "") -> Path:
        """A directory to deploy."""
        directory = self.place / "apps" / f"{name}-{version}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "allod.toml").write_text(DESCRIPTION.format(name=name, version=version) + more)
        (directory / "data.txt").write_text(version)
        return directory

    def device(self, name: str, group: str, **settings: Any) -> Device:
        """A device that is bound into a group, by a real invite and the real agent."""
        made = self.do(
            "device", "invite", "--group", group, "--out", self.place / f"{name}.json", "--yes"
        )
        device = Device(self.place / name, settings)
        device.run("bind", made["file"])
        return device

    def status(self, device: Device) -> dict[str, Any]:
        """What the owner sees of a device."""
        found = self.do("status", device.id)["devices"]
        assert len(found) == 1
        return dict(found[0])

    def row(self, device: Device, package: str) -> dict[str, Any]:
        """What the owner sees of a package on a device."""
        rows = self.status(device)["packages"]
        return next(row for row in rows if row["package"] == f"pkg:generic/me/{package}")


@dataclass
class Device:
    """A device that runs the real agent, once at a time."""

    state: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state.mkdir()
        boot = self.state.parent / f"{self.state.name}.boot"
        boot.write_text("boot-1")
        given = {
            "service_manager": "process",
            "restarter": "command",
            "restart_command": ["/bin/true"],
            "boot_id_file": str(boot),
            **self.settings,
        }
        (self.state / "agent.json").write_text(json.dumps(given))

    def run(self, verb: str, *arguments: str | Path, code: int | None = 0) -> str:
        """Run a verb of the agent."""
        done = subprocess.run(
            [sys.executable, "-m", "allod.agent.main", verb, "--state", str(self.state), *map(str, arguments)],
            capture_output=True, text=True, timeout=90, env={**os.environ},
        )  # fmt: skip
        assert code is None or done.returncode == code, (verb, done.stdout, done.stderr)
        return done.stdout

    def converge(self, *arguments: str | Path) -> None:
        """One convergence, whatever came of it."""
        self.run("run", "--once", *arguments, code=None)

    @property
    def id(self) -> str:
        """Its id."""
        return str(json.loads(self.run("status", "--json", code=None))["device"])
