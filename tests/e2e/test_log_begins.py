"""A fleet from before there were logs: its devices go over to them while they run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.e2e.home import Home
from tests.e2e.owner_machine import Machine, ServerProcess, free_port


class OldHome(Home):
    """A home whose server kept no log when its fleet was made."""

    def __post_init__(self) -> None:
        self.machine = Machine(self.place / "laptop")
        directory = self.place / "server"
        url = f"https://localhost:{free_port()}"
        self.machine.do("server", "init", directory, "--url", url)
        offer = json.loads((directory / "offer.json").read_bytes())
        old = self.place / "old-offer.json"
        old.write_text(json.dumps({**offer, "log": None}))
        self.server = ServerProcess(directory, self.machine.env)
        self.server.start()
        paper = ("--recovery-file", self.place / "paper")
        self.machine.do("init", "home", "--public", "--server-offer", old, *paper)


@pytest.mark.slow
def test_devices_go_over_to_the_log_while_they_run(tmp_path: Path) -> None:
    """A real device, bound and running before; an invite from before; both go on under the log.
    Then a successor, and the device still goes on; the auditor finds everything in order.
    """
    home = OldHome(tmp_path)
    offer = ("--server-offer", home.server.directory / "offer.json")
    try:
        device = home.device("oven", "kitchen")
        home.do("deploy", "kitchen", home.app("toaster", "1"), "-y")
        device.converge()
        (row,) = home.status(device)["packages"]
        assert row["active"] == "1"
        invite = home.do("device", "invite", "--group", "kitchen", "--out", tmp_path / "i", "--yes")

        said = home.do("trust", "log", "begin", *offer, "--yes")
        assert said["force"]["state"] == "in-force"
        home.do("deploy", "kitchen", home.app("toaster", "2"), "-y")
        device.converge()
        device.converge()
        (row,) = home.status(device)["packages"]
        assert row["active"] == "2"

        late = type(device)(tmp_path / "late", {})
        late.run("bind", invite["file"])
        late.converge()
        late.converge()
        assert [one["active"] for one in home.status(late)["packages"]] == ["2"]

        home.do("trust", "log", "succeed", *offer, "--yes")
        home.do("deploy", "kitchen", home.app("toaster", "3"), "-y")
        device.converge()
        device.converge()
        (row,) = home.status(device)["packages"]
        assert row["active"] == "3"
        home.do("audit", "verify")
    finally:
        home.close()
