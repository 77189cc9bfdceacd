"""Attack 52, found out afterwards: two devices were shown two histories, and both reported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.attacks.trust_world import DEVICE, World, wants

from allod.audit.receipts import KnownEntries
from allod.audit.watching import Sighting, compare
from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient
from allod.testing.logs import NaiveLog
from allod.testing.repository import RepositorySimulator
from allod.tlog.checkpoint import open_checkpoint

PROGRAM = Path(__file__).parents[2] / "demo" / "check_fork.py"


def _seen(client: SimulatedClient, device: str) -> Sighting:
    """What this device's report says of the authority log."""
    ((origin, text),) = client.floors.checkpoints.items()
    (note,) = client.floors.notes.values()
    key = client.source.log.signer.key  # type: ignore[union-attr]
    signed = open_checkpoint(note.encode(), origin, [key])
    assert text.split()[0] == str(signed.size)
    return Sighting(device, 1, origin, signed.size, signed.root, note)


def _forked() -> tuple[World, SimulatedClient]:
    """Two devices, kept apart: each accepted, neither could notice."""
    world = World.make(AuthorityLog())
    other = SimulatedClient(world.sim.snapshot_state(), device=DEVICE)
    world.sim.set_state(wants(world.sim, "2.0"))
    other.source.set_state(wants(other.source, "3.0"))
    other.source.set_state(wants(other.source, "3.1"))
    assert world.wanted() == "2.0"
    other.accept()
    return world, other


def _auditor(sim: RepositorySimulator) -> tuple[KnownEntries, NaiveLog]:
    """Somebody who reads the log as the server shows it to the owner."""
    assert sim.log is not None
    log = NaiveLog(list(sim.log.entries), sim.log.signer)
    return KnownEntries(log.checkpoint().checkpoint, log), log


def test_attack_52_comparing_reports_finds_the_fork_and_proves_it(tmp_path: Path) -> None:
    """The auditor reads one of the two logs: the other device's report is not in it. The file that is
    made of it is judged by a program that knows nothing of Allod, with the log's key alone.
    """
    world, other = _forked()
    for shown, liar in ((world.sim, "b"), (other.source, "a")):
        known, log = _auditor(shown)
        seen = [_seen(world.client, "a" * 64), _seen(other, "b" * 64)]
        # The longer history is beyond the shorter one; then the auditor is shown more of it.
        while log.checkpoint().size < max(one.size for one in seen):
            shown.set_state(wants(shown, f"9.{log.checkpoint().size}"))
            known, log = _auditor(shown)
        found = compare(seen, known, log.checkpoint(), log.signer.key)
        verdicts = {one.sighting.device[0]: one.verdict for one in found}
        assert verdicts == {liar: "fork", ("a" if liar == "b" else "b"): "prefix"}
        (fork,) = [one.fork for one in found if one.fork is not None]
        file = tmp_path / f"{liar}.evidence"
        file.write_bytes(fork.encode())
        command = [sys.executable, "-I", str(PROGRAM), str(file), str(log.signer.key)]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_attack_52_devices_of_one_history_accuse_nobody() -> None:
    """Any number of devices at any point of one log: all are beginnings of it."""
    world = World.make(AuthorityLog())
    seen = []
    for step in range(6):
        world.sim.set_state(wants(world.sim, f"{step + 2}.0"))
        client = SimulatedClient(world.sim, device=DEVICE)
        client.accept()
        seen.append(_seen(client, f"{step}" * 64))
    known, log = _auditor(world.sim)
    found = compare(seen, known, log.checkpoint(), log.signer.key)
    assert {one.verdict for one in found} == {"prefix"}
