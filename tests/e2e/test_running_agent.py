"""What an owner asks of a device, one command each, of an agent that runs: supervisor and worker."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import Device, Home

from allod.agent.supervisor import poke

pytestmark = pytest.mark.timeout(180)
PATIENCE = 60.0
SERVICE = """
[service]
name = "app"
command = ["/bin/sh", "-c", "cp {tree}/data.txt {data}/runs; exec sleep 600"]
[data]
"""


class Running:
    """A device whose supervisor runs; it can be cut off at any moment."""

    def __init__(self, home: Home, name: str) -> None:
        self.home = home
        self.group = name
        self.restarts = home.place / f"{name}.restarts"
        #: The machine goes down with the command: whoever gave it does not live to note it.
        command = ["/bin/sh", "-c", f"echo restart >>{self.restarts}; kill -9 $PPID"]
        self.device: Device = home.device(name, name, restart_command=command, wait_seconds=20)
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def state(self) -> Path:
        """Its state directory."""
        return self.device.state

    def words(self, verb: str, *more: str) -> list[str]:
        """A command line of its agent."""
        return [sys.executable, "-m", "allod.agent.main", verb, "--state", str(self.state), *more]

    def start(self) -> None:
        """Start the supervisor."""
        self.process = subprocess.Popen(self.words("run"), stderr=subprocess.DEVNULL)

    def cut(self) -> None:
        """Cut the power: the supervisor and its worker are gone at once."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in [self.process.pid, *map(int, children.read_text().split())]:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def poke(self) -> None:
        """Let it look now."""
        poke(str(self.state))

    def reboot(self) -> None:
        """The machine starts again."""
        self.cut()
        boot = self.state.parent / f"{self.state.name}.boot"
        boot.write_text(boot.read_text() + "+")
        self.start()

    def stop(self) -> None:
        """End it, and its services."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(20)
        for place in (self.state / "services").glob("*/process"):
            pid = int(place.read_text().split("\n")[2].split()[0])
            os.kill(pid, signal.SIGKILL)

    def said(self) -> dict[str, Any]:
        """Its newest signed report."""
        try:
            envelope = json.loads((self.state / "reports" / "newest.json").read_bytes())
        except FileNotFoundError:
            return {"packages": [], "restarts": [], "inhibitors": []}
        return dict(json.loads(base64.b64decode(envelope["payload"])))

    def row(self, package: str) -> dict[str, Any]:
        """What the owner's machine has verified about a package."""
        rows = self.home.status(self.device)["packages"]
        found = [row for row in rows if row["package"] == f"pkg:generic/me/{package}"]
        return dict(found[0]) if found else {}

    def levels(self, package: str) -> dict[str, str]:
        """Version -> level, as the device says."""
        return _levels(self.said()["packages"], package)

    def verified(self, package: str) -> dict[str, str]:
        """The same, as the owner's machine has verified it."""
        return _levels(self.home.do("device", "show", self.device.id)["packages"], package)

    def runs(self, package: str) -> str:
        """What the service itself says that it is."""
        place = self.state / "data" / f"generic~me~{package}" / "runs"
        return place.read_text() if place.exists() else ""

    def app(self, name: str, version: str) -> Path:
        """A release with a service."""
        return self.home.app(name, version, SERVICE)


def _levels(rows: list[dict[str, Any]], package: str) -> dict[str, str]:
    return {
        release["version"]: release["level"]
        for row in rows
        if row["package"] == f"pkg:generic/me/{package}"
        for release in row["releases"]
    }


def until(true: Callable[[], bool], why: Callable[[], object] = lambda: "") -> None:
    """Wait until it is true."""
    limit = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < limit, why()
        time.sleep(0.1)


@contextmanager
def running(home: Home, name: str) -> Iterator[Running]:
    """A device that runs for the length of a test."""
    made = Running(home, name)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def device(home: Home) -> Iterator[Running]:
    """One device for all tests here; each uses a package of its own."""
    with running(home, "larder") as made:
        yield made


def test_report_what_is_installed(home: Home, device: Running) -> None:
    """Signed by the device, verified by the owner's command: Allod's, dpkg's and pip's packages."""
    home.do("deploy", "larder", device.app("cellar", "1"), "-y")
    until(lambda: device.levels("cellar") == {"1": "active"}, device.said)
    shown = home.do("device", "show", device.device.id, "--inventory")
    assert shown["chain"]["faults"] == []
    inventory = shown["inventory"]
    assert device.verified("cellar") == {"1": "active"}
    assert len(inventory["dpkg"]) > 10
    assert all(one["name"] and one["version"] for one in inventory["dpkg"] + inventory["pip"])


@pytest.mark.slow
def test_each_level_is_one_command(home: Home, device: Running) -> None:
    """Transfer only; install only; run now; delete. Each changes nothing but what it says."""
    home.do("deploy", "larder", device.app("grill", "1"), "--transfer-only", "-y")
    until(lambda: device.levels("grill") == {"1": "transferred"})
    assert not list((device.state / "store").glob("generic~me~grill/*"))
    home.do("deploy", "larder", "grill@1", "--install-only", "-y")
    until(lambda: device.levels("grill") == {"1": "installed"})
    assert device.runs("grill") == ""
    home.do("deploy", "larder", "grill@1", "--now", "-y")
    until(lambda: device.levels("grill") == {"1": "active"})
    assert device.runs("grill") == "1"
    home.do("delete", "larder", "grill", "-y")
    until(lambda: device.levels("grill") == {})
    assert not list((device.state / "store").glob("generic~me~grill/*"))


@pytest.mark.slow
def test_at_next_restart(home: Home, device: Running) -> None:
    """Nothing changes until the machine restarts; then it does, by itself."""
    home.do("deploy", "larder", device.app("chiller", "1"), "-y")
    until(lambda: device.runs("chiller") == "1")
    home.do("deploy", "larder", device.app("chiller", "2"), "--at-restart", "-y")
    both = {"1": "active", "2": "installed"}
    until(lambda: device.levels("chiller") == both, device.said)
    until(lambda: device.row("chiller")["state"] == "waiting", lambda: device.row("chiller"))
    device.cut()  # the agent alone is no restart of the machine
    device.start()
    time.sleep(1)
    assert device.runs("chiller") == "1"
    device.reboot()
    until(lambda: device.levels("chiller").get("2") == "active", device.said)
    assert device.runs("chiller") == "2"


@pytest.mark.slow
def test_a_scheduled_restart_is_never_repeated(home: Home, device: Running) -> None:
    """Once, by the owner's command; the power is cut in the middle of it; it is told as done."""
    home.do("restart", "larder", "--at", "now", "--latest", "1h", "-y")
    until(device.restarts.exists)
    device.poke()
    time.sleep(2)  # the supervisor starts the worker again on the same boot
    assert device.restarts.read_text() == "restart\n"
    device.reboot()
    until(lambda: [one["state"] for one in device.said()["restarts"]] == ["done"], device.said)
    device.reboot()
    until(lambda: [one["state"] for one in device.said()["restarts"]] == ["done"], device.said)
    assert device.restarts.read_text() == "restart\n"


@pytest.mark.slow
def test_who_must_not_be_disturbed_is_not(home: Home, device: Running) -> None:
    """What waits says for whom; it goes on when the command ends, or is killed with its holder."""
    home.do("deploy", "larder", device.app("hob", "1"), "-y")
    until(lambda: device.runs("hob") == "1")
    film = ("--why", "a film", "--", "/bin/sleep", "600")
    with subprocess.Popen(device.words("inhibit", *film)) as command:
        until(lambda: any((device.state / "inhibitors").iterdir()))
        assert "sleep: a film" in device.device.run("inhibitors")
        home.do("deploy", "larder", device.app("hob", "2"), "-y")
        until(lambda: "busy: sleep: a film" in json.dumps(device.said()), device.said)
        assert "waits for busy: sleep: a film" in device.device.run("status")
        assert "not to be disturbed: sleep, a film" in device.device.run("status")
        assert [one["name"] for one in device.said()["inhibitors"]] == ["sleep"]
        waits = home.status(device.device)
        assert "a film" in json.dumps(waits)
        assert device.runs("hob") == "1"
        command.kill()  # however it ends
    until(lambda: device.runs("hob") == "2", device.said)
    until(lambda: device.said()["inhibitors"] == [], device.said)
    ended = subprocess.run(
        device.words("inhibit", "--why", "short", "--", "/bin/sh", "-c", "exit 3")
    )
    assert ended.returncode == 3
