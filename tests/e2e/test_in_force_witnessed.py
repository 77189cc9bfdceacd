"""In force with running witnesses: one that sleeps delays the proof, and never the publication."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from tests.e2e.log_keys import log_key
from tests.e2e.owner_machine import Machine, ServerProcess, begin
from tests.e2e.witness_process import WitnessProcess, run

from allod.wire.log import ACTIVITY, AUTHORITY

pytestmark = pytest.mark.timeout(180)


@pytest.mark.slow
def test_in_force_comes_with_the_quorum(tmp_path: Path) -> None:
    """A change under an awake witness is in force at once; under a sleeping one it is published,
    with status 0, and `status` says what is missing; the next signature waits. Once the witness
    is awake, the same change is in force, since a checkpoint that it cosigned.
    """
    witness = WitnessProcess(tmp_path / "witness", "w.example")
    key = witness.make()
    place = tmp_path / "home"

    def known(server: Path) -> None:
        """The witness gets to know the fleet's logs before the server shows them."""
        fleet = json.loads((place / "laptop/fleets/home/fleet.json").read_bytes())["fleet"]
        for name in (AUTHORITY, ACTIVITY):
            run("witness", "add-log", str(witness.directory), str(log_key(server, fleet, name)))

    machine, server = begin(
        place, "--witness", f"{key}=http://127.0.0.1:{witness.port}", ready=known
    )
    try:
        witness.start()
        awaken(machine)
        made = machine.do("group", "add", "kitchen", "-y")
        assert made["force"]["state"] == "in-force"

        witness.stop(signal.SIGKILL)
        machine.env["ALLOD_WITNESS_WAIT"] = "1s"
        said = machine.run("group", "add", "hall", "-y")
        assert said.returncode == 0
        assert "not yet provable: 0 of 1 witnesses vouch for the log" in said.stdout
        found = machine.do("status")
        assert found["changes"][-1]["force"]["state"] == "published"
        assert found["log"]["witnesses"] == {"vouch": 0, "quorum": 1, "named": 1}
        assert found["log"]["age"] is None
        assert "no-quorum" in {one["code"] for one in found["alarms"]}
        assert machine.refused("group", "add", "attic", "-y") == "no-quorum"

        witness.start()
        awaken(machine)
        found = machine.do("status")
        force = found["changes"][-1]["force"]
        assert force["state"] == "in-force"
        assert found["log"]["witnesses"]["vouch"] == 1
        assert 0 <= found["log"]["age"] < 60
        assert "seen by" not in machine.run("status").stdout
        assert [one["force"]["state"] for one in machine.do("history")["changes"]] == [
            "in-force"
        ] * 3
    finally:
        witness.stop(signal.SIGKILL)
        stop(server)


def awaken(machine: Machine) -> None:
    """Until the server has asked the witness again: it does so less and less often."""
    for _ in range(200):
        if machine.do("status")["log"]["witnesses"]["vouch"]:
            return
        time.sleep(0.1)
    raise AssertionError("nobody vouches")


def stop(server: ServerProcess) -> None:
    """End it."""
    server.stop(signal.SIGKILL)
