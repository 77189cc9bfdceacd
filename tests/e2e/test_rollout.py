"""A rollout over real processes: an owner's command, a server, and devices that check for themselves."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.e2e.home import Device, Home

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]


def active(home: Home, device: Device, package: str) -> Any:
    return home.row(device, package)["active"]


def until(home: Home, name: str, opened: int) -> dict[str, Any]:
    """Wait until the controller opened so many stages."""
    for _ in range(60):
        shown = home.do("rollout", "show", name)["server"]
        if sum(stage["opened"] is not None for stage in shown["stages"]) >= opened:
            return dict(shown)
        time.sleep(0.5)
    raise AssertionError(shown)


def test_the_canary_goes_first_and_the_rest_follows_its_success(home: Home) -> None:
    """The second device takes nothing before the gate, and the gate carries the canary's word."""
    first, second = home.device("first", "porch"), home.device("second", "porch")
    home.do("deploy", "porch", home.app("bell", "1"), "-y")
    for device in (first, second):
        device.converge()
    plan = ("--canary", first.id[:12], "--every", "0s", "--bake", "0s")
    done = home.do("deploy", "porch", home.app("bell", "2"), *plan, "-y")
    assert [one for one in done["remarks"] if one.startswith("Stage ")] != []
    (known,) = home.do("rollout", "list")["rollouts"]
    assert home.refused("deploy", "porch", home.app("bell", "3"), *plan, "-y") == "rollout-open"
    until(home, known["id"], 1)
    second.converge()
    assert active(home, second, "bell") == "1"
    assert home.row(second, "bell")["state"] == "as wanted", "its stage has not come"
    first.converge()
    assert active(home, first, "bell") == "2"
    shown = until(home, known["id"], 2)
    assert shown["stages"][0]["succeeded"] == 1
    second.converge()
    assert active(home, second, "bell") == "2"
    home.do("rollout", "finish", known["id"], "-y")
    assert home.do("rollout", "list")["rollouts"] == []
    for device in (first, second):
        device.converge()
        assert home.row(device, "bell")["state"] == "as wanted"


def test_a_recall_stops_a_rollout_and_brings_the_replacement(home: Home) -> None:
    """The release is withdrawn while its rollout is under way: every device gets what is better."""
    first, second = home.device("third", "gate"), home.device("fourth", "gate")
    home.do("deploy", "gate", home.app("lock", "1"), "-y")
    for device in (first, second):
        device.converge()
    home.do("deploy", "gate", home.app("lock", "2"), "--canary", first.id[:12], "-y")
    first.converge()
    assert active(home, first, "lock") == "2"
    home.do("release", "push", home.app("lock", "3"))
    done = home.do(
        *("release", "withdraw", "lock@2", "--why", "it sticks", "--replace", "lock@3"),
        *("--deploy", "--override", "window", "-y"),
    )
    assert any("until 3 takes its place, on 1" in one for one in done["remarks"])
    assert any("stops" in one for one in done["remarks"])
    assert home.do("rollout", "list")["rollouts"] == []
    for device in (first, second):
        device.converge()
        assert active(home, device, "lock") == "3"
        assert home.row(device, "lock")["state"] == "as wanted"


def test_aborting_takes_the_canary_back(home: Home) -> None:
    """Abort is an edit that the owner signs: what was before holds again."""
    only = home.device("fifth", "shed")
    home.do("deploy", "shed", home.app("lamp", "1"), "-y")
    only.converge()
    home.do("deploy", "shed", home.app("lamp", "2"), "--canary", only.id[:12], "-y")
    (known,) = home.do("rollout", "list")["rollouts"]
    only.converge()
    assert active(home, only, "lamp") == "2"
    home.do("rollout", "pause", known["id"], "--why", "noise")
    assert home.refused("rollout", "pause", known["id"]) == "already-paused"
    assert home.do("status")["rollouts"][0]["server"]["state"] == "paused"
    home.do("rollout", "abort", known["id"], "-y")
    only.converge()
    assert active(home, only, "lamp") == "1"
