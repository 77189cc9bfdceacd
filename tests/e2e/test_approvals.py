"""Several people decide over real sockets, and real devices hold everybody to it."""

from __future__ import annotations

import shutil

import pytest
from tests.e2e.home import Home
from tests.e2e.owner_machine import Machine

pytestmark = pytest.mark.timeout(240)


def joined(home: Home, name: str, kind: str) -> Machine:
    """Somebody at a machine of their own, who approves as this kind."""
    machine = Machine(home.place / f"{name}-machine")
    card, file = home.place / f"{name}.card", home.place / f"{name}.join"
    machine.do("people", "key", card)
    home.do("people", "add", name, card, "--kind", kind, "--yes")
    home.do("delegate", "join-file", name, "--out", file)
    machine.do("join", file)
    return machine


@pytest.mark.slow
def test_devices_wait_for_qa_and_operations(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One of QA and one of operations: without them a device refuses what the owner signed, whoever
    served it; with them it runs, and the audit names both with their tickets.
    """
    home = Home(tmp_path_factory.mktemp("approvals"))
    try:
        device = home.device("one", "kitchen")
        ann, bob = joined(home, "ann", "qa"), joined(home, "bob", "operations")
        home.do(
            "group", "terms", "kitchen", "--approvals", "qa=1,operations=1", "--yes",
        )  # fmt: skip
        app = home.app("toaster", "1")
        assert home.refused("deploy", "kitchen", app, "-y") == "approvals-missing"
        change = home.do("deploy", "kitchen", app, "--propose", "-m", "breakfast", "-y")["proposal"]
        ann.do("change", "approve", change, "--ticket", "QA-7", "-y")
        assert home.refused("change", "publish", change, "-y") == "approvals-missing"
        bob.do("change", "approve", change, "--ticket", "OPS-9", "-y")
        home.do("change", "publish", change, "-y")
        device.converge()
        assert home.row(device, "toaster")["state"] == "as wanted"
        said = home.do("audit", "explain", device.id[:12], "toaster")
        second = home.app("toaster", "2")
        home.do("group", "terms", "kitchen", "--none", "-y")
        home.do("deploy", "kitchen", second, "-y")
        home.do("group", "terms", "kitchen", "--approvals", "qa=1,operations=1", "-y")
        device.converge()
        held = home.row(device, "toaster")
        forced = home.app("toaster", "3")
        home.do("deploy", "kitchen", forced, "--override", "approvals", "-m", "it burns", "-y")
        device.converge()
        after = home.do("audit", "explain", device.id[:12], "toaster")
    finally:
        home.close()
        shutil.rmtree(home.place, ignore_errors=True)
    allowed = said["allowed"]
    assert {(one["person"], one["ticket"]) for one in allowed["approvals"]} == {
        ("ann", "QA-7"), ("bob", "OPS-9"),
    }  # fmt: skip
    assert any("approved by ann, bob" in reason for reason in allowed["reasons"])
    assert allowed["doubts"] == []
    assert held["state"] == "refused"
    assert any("approvals-missing" in why for why in held["why"])
    assert any("the owner set it aside" in one for one in after["allowed"]["reasons"])
