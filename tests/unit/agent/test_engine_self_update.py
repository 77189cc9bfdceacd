"""The agent's own package: activated like every other, proved by a run of the new one."""

from __future__ import annotations

from pathlib import Path

import pytest

from allod.agent.engine import SELF
from allod.domain.ids import Digest
from allod.domain.release import Release
from allod.testing.device import TOASTER, FakeDevice, Owner


@pytest.fixture
def device(tmp_path: Path) -> FakeDevice:
    """A device whose agent is the installed one."""
    return FakeDevice(tmp_path / "state")


def agent(device: FakeDevice, version: str) -> tuple[Release, Digest]:
    """A release of the agent: it has no service of its own."""
    return device.publish(version, SELF, service=None)


def state_of(device: FakeDevice) -> str:
    """What the newest report says of the agent's package."""
    (entry,) = [one for one in device.said()[-1]["packages"] if one["package"] == SELF]
    return str(entry["state"])


def test_a_new_agent_commits_itself(device: FakeDevice) -> None:
    """The old one hands over; only a whole run of the new one makes it active."""
    owner = Owner()
    owner.deploy(agent(device, "2.0"))
    outcome = device.run(owner.view())
    assert outcome.handed_over
    assert state_of(device) == "probation"
    device.own = 1
    outcome = device.run(owner.view())
    assert not outcome.handed_over
    assert state_of(device) == "active"


def test_an_agent_without_a_verified_run_goes_back(device: FakeDevice) -> None:
    """The supervisor starts the one before: it takes the change back, and tries it no more."""
    owner = Owner()
    owner.deploy(agent(device, "2.0"))
    device.run(owner.view())
    device.own = 1
    device.run(owner.view())
    owner.deploy(agent(device, "3.0"))
    assert device.run(owner.view()).handed_over
    device.rejected = "activations/2"
    for _ in range(2):
        assert not device.run(owner.view()).handed_over
    link = device.state.package(SELF) / "current"
    assert str(link.readlink()) == "activations/1"
    assert state_of(device) == "active"
    changes = [change["what"] for told in device.said() for change in told.get("changes", [])]
    assert changes.count("reverted") == 1
    device.rejected = ""
    owner.deploy(agent(device, "4.0"))
    assert device.run(owner.view()).handed_over, "the next good one is tried"


def test_until_it_is_rejected_the_new_one_is_waited_for(device: FakeDevice) -> None:
    """An old worker that is started by hand meanwhile takes nothing back and changes nothing."""
    owner = Owner()
    owner.deploy(agent(device, "2.0"))
    device.run(owner.view())
    owner.deploy(device.publish("1.0"))
    assert device.run(owner.view()).handed_over
    assert device.version() is None
    device.own = 1
    device.run(owner.view())
    assert device.version(TOASTER) == "1.0"


def test_the_agent_comes_last(device: FakeDevice) -> None:
    """What else is ordered with it is done first, by the one that has proved itself."""
    owner = Owner()
    owner.deploy(agent(device, "2.0"))
    owner.deploy(device.publish("1.0"))
    assert device.run(owner.view()).handed_over
    assert device.version(TOASTER) == "1.0"
