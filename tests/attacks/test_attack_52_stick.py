"""Attack 52 on a real worker: the evidence leaves the device on a stick, past any server."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.attacks.trust_world import wants

from allod.testing.authority import AuthorityLog
from allod.testing.repository import RepositorySimulator
from allod.testing.stick import StickFleet
from allod.wire.report import TrustState

PROGRAM = Path(__file__).parents[2] / "demo" / "check_fork.py"


def _run(fleet: StickFleet, state: Path) -> dict[str, Any]:
    """One run of the worker on the stick, as a process; what it then reports there."""
    command = [sys.executable, "-m", "allod.agent.worker", "--state", str(state)]
    command += ["--from", str(fleet.directory)]
    subprocess.run(command, capture_output=True, timeout=60, check=False)
    outbox = fleet.directory / "outbox" / "reports"
    newest = max(outbox.rglob("*.json"), key=lambda path: int(path.stem))
    found: dict[str, Any] = json.loads(base64.b64decode(json.loads(newest.read_text())["payload"]))
    return found


def test_attack_52_the_evidence_leaves_on_a_stick(tmp_path: Path) -> None:
    """The device is shown one history, then another: it keeps to the first, and its signed report
    carries the proof, from then on in each. A program without Allod checks it.
    """
    fleet = StickFleet(tmp_path / "stick", datetime.now(UTC).replace(microsecond=0))
    fleet.simulator = sim = RepositorySimulator(now=fleet.simulator.now, log=AuthorityLog())
    sim.set_state(wants(sim, "1.0"))
    state = fleet.bind(tmp_path / "state")
    settings = {"service_manager": "process", "facts": {"device.name": "bench"}}
    state.settings_file.write_text(json.dumps(settings))
    other = sim.snapshot_state()
    sim.set_state(wants(sim, "2.0"))
    fleet.write()
    first = _run(fleet, state.root)
    assert sim.log is not None
    key = sim.log.signer.key
    assert first["trust"]["logs"].keys() == first["trust"]["notes"].keys() == {key.name}
    assert TrustState(**first["trust"]).notes[key.name].startswith(key.name)
    assert not [alarm for alarm in first["alarms"] if alarm.get("evidence")]

    other.set_state(wants(other, "3.0"))
    other.set_state(wants(other, "3.1"))
    fleet.simulator = other
    fleet.write()
    second = _run(fleet, state.root)
    assert second["trust"]["logs"] == first["trust"]["logs"]
    fleet.simulator = sim
    fleet.write()
    third = _run(fleet, state.root)
    assert third["sequence"] >= second["sequence"] > first["sequence"]
    for report in (second, third):
        (alarm,) = [one for one in report["alarms"] if one.get("evidence")]
        assert alarm["code"] == "log-fork"
        file = tmp_path / "fork.evidence"
        file.write_text(alarm["evidence"])
        command = [sys.executable, "-I", str(PROGRAM), str(file), str(key)]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
