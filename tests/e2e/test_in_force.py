"""A change is in force when the owner's machine has proved it in the log; devices say if they know it."""

from __future__ import annotations

import pytest
from tests.e2e.home import Home

pytestmark = pytest.mark.timeout(180)


def test_a_change_is_published_in_force_and_seen(home: Home) -> None:
    """The verb's answer, `status`, `history` and `show` agree; the device's receipts hold."""
    device = home.device("inforce", "force")
    before = home.do("status")["log"]["size"]
    made = home.do("deploy", "force", home.app("smoker", "1"), "-y", "-m", "for the summer")
    force = made["force"]
    assert (force["state"], force["why"]) == ("in-force", "")
    assert before <= force["index"] < force["size"]

    found = home.do("status")
    newest = found["changes"][-1]
    assert (newest["number"], newest["message"]) == (made["number"], "for the summer")
    assert newest["force"] == force
    assert newest["seen"]["by"] == 0
    assert newest["seen"]["of"] >= 1
    assert found["log"]["size"] == force["size"]
    assert found["log"]["remarks"] == []

    device.converge()
    (newest,) = [one for one in home.do("history")["changes"] if one["number"] == made["number"]]
    assert newest["force"] == force
    assert (newest["seen"]["by"], newest["seen"]["of"]) == (1, 1)
    assert home.do("show", str(made["number"]))["seen"]["by"] == 1
    shown = home.do("device", "show", device.id)
    assert shown["chain"]["faults"] == []
    assert shown["chain"]["receipts"] >= 3
    assert shown["unknown"] == []


def test_the_same_for_people(home: Home) -> None:
    """The words: in force with its entry, seen by so many devices, and how the log is."""
    made = home.do("group", "add", "words", "-y")
    said = home.machine.run("status").stdout
    line = next(one for one in said.splitlines() if f"change {made['number']} " in one)
    assert f"in force (entry {made['force']['index']}, log of {made['force']['size']})" in line
    assert f"log: {made['force']['size']} entries, no witnesses named" in said
    done = home.machine.run("group", "add", "words2", "-y")
    assert "is in force" in done.stdout
