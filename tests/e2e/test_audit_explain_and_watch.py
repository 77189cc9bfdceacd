"""`allod audit explain` and `allod audit watch` on real processes: server, agent, owner."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.home import Home

pytestmark = pytest.mark.timeout(240)


@pytest.mark.slow
def test_what_a_real_device_runs_is_explained_and_watched(tmp_path: Path) -> None:
    """Two deployments and a configuration: which change allowed what, proved by the log; what is
    ordered and not there; what ran before. Meanwhile the monitor has nothing to say.
    """
    home = Home(tmp_path)
    try:
        device = home.device("one", "kitchen")
        well = home.do("audit", "watch", "--once")
        home.do("deploy", "kitchen", home.app("toaster", "1"), "-m", "the first", "-y")
        device.converge()
        first = home.do("audit", "explain", device.id[:12], "toaster")
        then = home.do("history")["changes"][-1]["at"]
        home.do("deploy", "kitchen", home.app("toaster", "2"), "--ticket", "T-2", "-y")
        waits = home.do("audit", "explain", device.id[:12], "toaster")
        device.converge()
        second = home.do("audit", "explain", device.id[:12], "toaster")
        before = home.do("audit", "explain", device.id[:12], "toaster", "--at", then)
        told = home.machine.run("audit", "explain", device.id[:12], "toaster")
        again = home.do("audit", "watch", "--once")
    finally:
        home.close()
    assert well["events"] == well["standing"] == again["events"] == again["standing"] == []
    for said, message, ticket in ((first, "the first", ""), (second, "", "T-2")):
        assert said["since"]["what"] == "activated"
        allowed = said["allowed"]
        assert (allowed["change"]["message"], allowed["change"]["ticket"]) == (message, ticket)
        assert (allowed["orders"], allowed["log"]["proved"]) == (True, True)
        assert allowed["log"]["index"] == allowed["log"]["entry"]
        assert allowed["keys"][0]["name"]
        assert allowed["doubts"] == said["doubts"] == []
    assert first["runs"]["digest"] != second["runs"]["digest"]
    assert waits["runs"]["digest"] == first["runs"]["digest"]
    assert waits["ordered"]["state"] != "as wanted"
    assert second["ordered"]["state"] == "as wanted"
    assert before["runs"] is None or before["runs"]["digest"] == first["runs"]["digest"]
    assert told.returncode == 0
    assert "(proved here)" in told.stdout
    assert "[T-2]" in told.stdout
