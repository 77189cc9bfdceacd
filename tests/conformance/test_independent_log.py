"""A program by others reads the log of our running server, agrees about every proof, and cosigns.

It is `aics-tlog` and `aics-witness`, in an environment of their own (see `foreign`).
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.conformance.foreign import (
    ForeignWitness,
    interpreter,
    run_reader,
)
from tests.e2e.log_keys import log_key
from tests.e2e.owner_machine import free_port
from tests.e2e.server_process import Served
from tests.e2e.witnessed import witnessed_home

from allod.server.keys import load_log_key
from allod.server.settings import save_settings
from allod.testing.logs import NaiveLog, note_signer
from allod.testing.server import ServerRig
from allod.testing.server_logs import change, entries_in, logged
from allod.tlog.checkpoint import SignedCheckpoint, vouched
from allod.tlog.note import VerifierKey
from allod.tlog.proofs import consistency_proof, inclusion_proof
from allod.tlog.tiles import TileReader
from allod.tlog.witness import AddCheckpoint, judge, parse_size, with_cosignatures
from allod.wire.log import ACTIVITY, AUTHORITY, log_origin

pytestmark = pytest.mark.slow


@dataclass
class Steps:
    """A running server, and checkpoints that its activity log had on the way."""

    served: Served
    checkpoints: list[SignedCheckpoint]

    def key(self, name: str) -> VerifierKey:
        """Of one of its logs."""
        return log_key(self.served.rig.directory, self.served.rig.fleet, name)

    def url(self, name: str) -> str:
        """Where the log is served."""
        return f"http://127.0.0.1:{self.served.port}/f/{self.served.rig.fleet}/log/{name}"

    def reader(self, size: int) -> TileReader:
        """Our own, of the activity log."""
        files = self.served.rig.server.publications.logs.files(self.served.rig.fleet, ACTIVITY)

        def read(tile):
            data = files.read(tile.path) or files.read(tile.full.path)
            assert data is not None
            return data[: tile.cap]

        return TileReader(size, read)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Steps]:
    """A public fleet whose logs grew in batches, served by a process."""
    interpreter()
    port = free_port()
    place = tmp_path_factory.mktemp("served")
    rig = ServerRig.make(place / "server", url=f"http://127.0.0.1:{port}", public=True)
    save_settings(rig.settings)
    logged(rig)
    rig.server.publish(rig.fleet, change(rig, public=True))
    logs, origin = rig.server.publications.logs, log_origin(rig.fleet, ACTIVITY)
    checkpoints = [logs.sequencer(rig.fleet, origin).checkpoint()]
    for begin, end in ((0, 1), (1, 300), (300, 512), (512, 700)):
        batch = [f"entry {number}".encode() for number in range(begin, end)]
        checkpoints.append(logs.append(rig.fleet, origin, batch).checkpoint)
    rig.server.close()
    served = Served(rig, port)
    served.start()
    yield Steps(served, checkpoints)
    served.close()


@pytest.mark.parametrize("name", [AUTHORITY, ACTIVITY])
def test_it_reads_the_log_of_a_running_server(steps: Steps, name: str) -> None:
    """Checkpoint, every tile and every entry pass its audit; the entries are those that we read."""
    question = {"url": steps.url(name), "key": str(steps.key(name)), "origin": steps.key(name).name}
    found = run_reader(question)
    ours = entries_in(steps.served.rig, name)
    assert found["entries"] == [hashlib.sha256(entry).hexdigest() for entry in ours]
    assert found["size"] == len(ours) > 0


def test_it_agrees_about_every_proof(steps: Steps) -> None:
    """Our proofs are those that it makes from the tiles that are served, and it verifies them."""
    ours = steps.reader(700)

    def said(hashes) -> list[str]:
        return [base64.b64encode(one).decode() for one in hashes]

    inclusion = [
        [index, said(inclusion_proof(index, 700, ours))]
        for index in (0, 1, 255, 256, 511, 512, 698, 699)
    ]
    consistency = [
        [old.size, said([old.root])[0], said(consistency_proof(old.size, 700, ours))]
        for old in steps.checkpoints[1:]
    ]
    key = steps.key(ACTIVITY)
    question = {"url": steps.url(ACTIVITY), "key": str(key), "origin": key.name}
    found = run_reader({**question, "inclusion": inclusion, "consistency": consistency})
    assert base64.b64decode(found["root"]) == steps.checkpoints[-1].root


def test_its_witness_and_ours_decide_alike(steps: Steps, tmp_path: Path) -> None:
    """Every step of the log with our request bodies, over HTTP; then other sizes, another history
    and another key, each with the status that our own witness gives it.
    """
    checkpoints, key = steps.checkpoints, steps.key(ACTIVITY)
    witness = ForeignWitness(tmp_path / "witness")
    cosigner = witness.make()
    witness.know([key])
    ours = steps.reader(700)
    try:
        witness.start()
        for old, new in zip(checkpoints, checkpoints[1:], strict=False):
            proof = consistency_proof(old.size, new.size, ours)
            request = AddCheckpoint(old.size, proof, new.note)
            status, body = witness.ask("POST", "/add-checkpoint", request.encode())
            assert status == judge(request, [key], old.checkpoint).status == 200
            at = vouched(with_cosignatures(new, body, [cosigner]), [cosigner]).as_of(1)
            assert at is not None
            assert abs(time.time() - at) < 60
        latest = checkpoints[-1]
        entries = entries_in(steps.served.rig, ACTIVITY)
        own = load_log_key(steps.served.rig.settings.layout)
        assert own is not None
        signer = note_signer(key.name)
        fork = NaiveLog([b"x", *entries[1:]], type(signer)(key, own.sign)).checkpoint()
        stranger = NaiveLog(entries, signer).checkpoint()
        for request, expected in (
            (AddCheckpoint(300, (), latest.note), 409),
            (AddCheckpoint(700, (), fork.note), 422),
            (AddCheckpoint(701, (), latest.note), 400),
            (AddCheckpoint(700, (), stranger.note), 403),
        ):
            status, body = witness.ask("POST", "/add-checkpoint", request.encode())
            verdict = judge(request, [key], latest.checkpoint)
            assert (status, verdict.status) == (expected, expected)
            if expected == 409:
                assert parse_size(verdict.body) == parse_size(body) == 700
    finally:
        witness.stop()
    assert witness.evidence()


def test_a_device_goes_by_a_witness_of_others(tmp_path: Path) -> None:
    """`allod init` names it, the server asks it, a device that needs its quorum takes changes; the
    other implementation finds its own fresh cosignature in what our server serves.
    """
    witness = ForeignWitness(tmp_path / "witness")
    cosigner = witness.make()
    home = witnessed_home(tmp_path / "home", witness, cosigner)
    try:
        device = home.device("toaster", "kitchen")
        home.do("deploy", "kitchen", home.app("bread", "1.0.0"), "--yes")
        device.converge()
        assert home.row(device, "bread")["active"] == "1.0.0"
        fleet = home.fleet()
        key = log_key(tmp_path / "home" / "server", fleet.id, AUTHORITY)
        question = {
            "url": f"{fleet.client.location.url}/f/{fleet.id}/log/authority",
            "key": str(key),
            "origin": key.name,
            "witnesses": [str(cosigner)],
            "quorum": 1,
            "maxAge": 3600,
        }
        found = run_reader(question, tmp_path / "home" / "server" / "tls" / "ca.pem")
        assert found["size"] > 4
    finally:
        witness.stop()
        home.close()
