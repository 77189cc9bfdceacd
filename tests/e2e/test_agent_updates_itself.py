"""The agent updates itself for real: a release that is this very package, and one that is broken."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.e2e.test_worker_on_a_stick import Device

import allod
from allod.agent.engine import SELF
from allod.agent.supervisor_worker import TRIALS, Candidate, Choice, command
from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Software
from allod.domain.ids import Digest
from allod.domain.release import Release
from allod.testing.payloads import Item
from allod.testing.stick import ME

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
