"""The agent updates itself for real: a release that is this very package, and one that is broken."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.test_worker_on_a_stick import Device

import allod
from allod.agent.bound import load_bound, save_bound
from allod.agent.engine import SELF
from allod.agent.supervisor_worker import TRIALS, Candidate, Choice, command
from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Software
from allod.domain.ids import Digest
from allod.domain.release import Release
from allod.testing.local_server import Request, local_server
from allod.testing.payloads import Item
from allod.testing.stick import ME
from allod.wire.trust import Location

HERE = Path(allod.__file__).parent


def agent(device: Device, version: str, *, broken: bool = False) -> tuple[Release, Digest]:
    """This package as a release; a broken one does not get past its first line."""
    items = []
    for path in sorted(HERE.rglob("*.py")):
        content = path.read_bytes()
        if path == HERE / "__init__.py":
            content = content.replace(b'"0.1.0"', f'"{version}"'.encode())
        if broken and path.name == "worker.py":
            content = b"raise SystemExit(1)\n"
        items.append(Item(str(path.relative_to(HERE.parent)), content))
    return device.fleet.release(SELF, version, tuple(items))


def deploy(device: Device, release: tuple[Release, Digest]) -> None:
    """The owner orders it."""
    order = ReleaseOrder(ME, release[0].version, release[1], Level.ACTIVE)
    device.fleet.sign(SELF, PackageEntry(software=Software(releases=(order,))))


def supervise(device: Device, choice: Choice) -> tuple[Candidate, int]:
    """What the supervisor does once: pick a worker, start it, note its failure."""
    candidate = choice.pick(0.0)
    words, environment = command(candidate, str(device.state.root), ())
    done = subprocess.run(
        [*words, "--from", str(device.fleet.directory)],
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode not in {0, 6, 10}:
        choice.failed(candidate)
    return candidate, done.returncode


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_agent_updates_itself_and_goes_back(tmp_path: Path) -> None:
    """A good agent takes over and says its version; a broken one is left after its trials."""
    device = Device(tmp_path)
    choice = Choice(str(device.state.root), 900.0)
    deploy(device, agent(device, "0.2.0"))
    candidate, status = supervise(device, choice)
    assert (candidate.name, status) == ("", 10)
    candidate, status = supervise(device, choice)
    assert (candidate.name, status) == ("activations/1", 0)
    assert device.report()["agent"] == "0.2.0"

    deploy(device, agent(device, "0.3.0", broken=True))
    assert supervise(device, choice)[1] == 10
    for _ in range(TRIALS):
        candidate, status = supervise(device, choice)
        assert (candidate.name, status) == ("activations/2", 1)
    candidate, status = supervise(device, choice)
    assert (candidate.name, status) == ("activations/1", 0)
    (package,) = device.report()["packages"]
    active = [one["version"] for one in package["releases"] if one["level"] == "active"]
    assert (active, device.report()["agent"]) == (["0.2.0"], "0.2.0")
    assert len(package["failed"]) == 1

    deploy(device, agent(device, "0.4.0"))
    assert supervise(device, choice)[1] == 10
    assert supervise(device, choice)[1] == 0
    assert device.report()["agent"] == "0.4.0"


@contextmanager
def supervised(device: Device) -> Iterator[None]:
    """The supervisor over the device, and a server that serves what the stick holds, with news."""
    root = device.fleet.directory

    def act(request: Request) -> None:
        if request.method == "POST":
            request.answer(200)
        elif "/news" in request.path:
            request.answer(200, b'{"news": %d}' % len(list(root.rglob("*"))))
        else:
            file = root / request.path.lstrip("/").replace(":", "-")
            request.answer(*((200, file.read_bytes()) if file.is_file() else (404,)))

    with local_server(act) as server:
        bound = load_bound(device.state)
        assert bound is not None
        save_bound(device.state, replace(bound, locations=(Location(url=server.url),)))
        words = [sys.executable, "-m", "allod.agent.main", "run", "--state", str(device.state.root)]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
            try:
                yield
            finally:
                process.terminate()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_supervisor_goes_over_to_the_new_agent_and_back(tmp_path: Path) -> None:
    """All of it real: supervisor, workers, network. The broken one is left, and it is said so."""
    device = Device(tmp_path)
    settings = json.loads(device.state.settings_file.read_bytes())
    quick = {"poll_seconds": 1, "verify_seconds": 5, "wait_seconds": 1}
    device.state.settings_file.write_text(json.dumps({**settings, **quick}))

    def said() -> tuple[str, list[str], int]:
        """Which agent speaks, what it says is active, and how many failed."""
        envelope = json.loads((device.state.reports / "newest.json").read_bytes())
        report = json.loads(base64.b64decode(envelope["payload"]))
        releases = [one for package in report["packages"] for one in package["releases"]]
        active = [one["version"] for one in releases if one["level"] == "active"]
        return report["agent"], active, sum(len(one["failed"]) for one in report["packages"])

    def until(wanted: tuple[str, list[str], int]) -> None:
        limit = time.monotonic() + 50
        newest = device.state.reports / "newest.json"
        while not newest.exists() or said() != wanted:
            assert time.monotonic() < limit, said()
            time.sleep(0.2)

    deploy(device, agent(device, "0.2.0"))
    with supervised(device):
        until(("0.2.0", ["0.2.0"], 0))
        deploy(device, agent(device, "0.3.0", broken=True))
        until(("0.2.0", ["0.2.0"], 1))
        assert (device.state.agent / "rejected").read_text() == "activations/2"
        deploy(device, agent(device, "0.4.0"))
        until(("0.4.0", ["0.4.0"], 1))  # the failure stays known
