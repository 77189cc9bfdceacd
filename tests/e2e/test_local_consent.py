"""Somebody at a real device is asked, by the owner's own terms, and what they answer is on record."""

from __future__ import annotations

import json
import shutil

import pytest
from tests.e2e.home import Home

pytestmark = pytest.mark.timeout(240)


@pytest.mark.slow
def test_a_device_waits_for_somebody_who_agrees(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The owner asks for it for the group; the device shows what would come, keeps to the answer,
    and the audit tells who agreed to what.
    """
    home = Home(tmp_path_factory.mktemp("consent"))
    try:
        device = home.device("one", "kitchen")
        home.do("deploy", "kitchen", home.app("toaster", "1"), "-y")
        device.converge()
        home.do("group", "terms", "kitchen", "--consent", "--yes")
        home.do("deploy", "kitchen", home.app("toaster", "2"), "-y")
        device.converge()
        (question,) = json.loads(device.run("pending", "--json"))
        waiting = home.row(device, "toaster")
        device.run("approve", "toaster@1", code=2)
        device.run("decline", "toaster")
        device.converge()
        declined = home.row(device, "toaster")
        device.run("approve", "toaster@2")
        device.converge()
        done = home.row(device, "toaster")
        said = home.do("audit", "explain", device.id[:12], "toaster")
        home.do("deploy", "kitchen", home.app("toaster", "3"), "-m", "fire", "--override", "consent", "-y")  # fmt: skip
        device.converge()
        forced = home.row(device, "toaster")
        nothing = json.loads(device.run("pending", "--json"))
    finally:
        home.close()
        shutil.rmtree(home.place, ignore_errors=True)
    assert (question["version"], question["runs"], question["manager"]) == ("2", "1", "owner")
    assert waiting["state"] == "waiting"
    assert declined["state"] == "refused"
    assert any("consent-declined" in why for why in declined["why"])
    assert done["state"] == "as wanted"
    assert any("somebody at the device agreed" in one for one in said["allowed"]["reasons"])
    assert forced["state"] == "as wanted"
    assert nothing == []
