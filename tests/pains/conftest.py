"""A device and its owner for the pains that users of other systems know."""

from __future__ import annotations

from pathlib import Path

import pytest

from allod.testing.device import FakeDevice, Owner


@pytest.fixture
def device(tmp_path: Path) -> FakeDevice:
    """A device on which version 1.0 runs."""
    made = FakeDevice(tmp_path / "state")
    first = Owner()
    first.deploy(made.publish("1.0"))
    made.run(first.view())
    assert made.version() == "1.0"
    return made


@pytest.fixture
def owner(device: FakeDevice) -> Owner:
    """Its owner, who ordered that version."""
    made = Owner()
    made.deploy(device.publish("1.0"))
    return made
