"""Attack 36: whoever has the log's key forks the log; a running witness refuses, also after kills."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.e2e.witness_process import WitnessProcess, run

from allod.testing.logs import NaiveLog
from allod.tlog.checkpoint import check_checkpoint, vouched
from allod.tlog.proofs import consistency_proof
from allod.tlog.witness import SIZE_TYPE, AddCheckpoint, parse_add_checkpoint, with_cosignatures


def test_attack_36_a_running_witness_cosigns_one_history(tmp_path: Path) -> None:
    """It cosigns the truth; killed and started again it refuses the thief's fork at the size that
    it saw (422) and at every other (409), and keeps the request, which names the thief's key.
    """
    witness = WitnessProcess(tmp_path / "witness")
    key = witness.make()
    truth = NaiveLog([b"%d" % number for number in range(20)])
    run("witness", "add-log", str(witness.directory), str(truth.signer.key))
    try:
        witness.start()
        body = AddCheckpoint(0, (), truth.checkpoint().note).encode()
        status, answer, _ = witness.ask("POST", "/add-checkpoint", body)
        assert status == 200
        assert vouched(with_cosignatures(truth.checkpoint(), answer, [key]), [key]).as_of(1)
        assert witness.stop(signal.SIGKILL) == -signal.SIGKILL
        witness.start()
        fork = NaiveLog([*truth.entries[:12], b"thief", *truth.entries[13:], b"more"])
        for old in (0, 12, 19, 20, 21):
            proof = consistency_proof(old, 21, fork)
            request = AddCheckpoint(old, proof, fork.checkpoint().note).encode()
            status, answer, kind = witness.ask("POST", "/add-checkpoint", request)
            expected = (422, "text/plain; charset=utf-8") if old == 20 else (409, SIZE_TYPE)
            assert (status, kind) == expected
            assert old == 20 or answer == b"20\n"
        assert witness.ask("GET", "/add-checkpoint")[0] == 405
        assert witness.ask("POST", "/add-checkpoint", b"x" * 200_000)[0] == 413
        assert witness.stop() == 0
    finally:
        witness.stop(signal.SIGKILL)
    assert f"20  {truth.signer.key.name}" in run("witness", "logs", str(witness.directory))
    [kept] = witness.directory.glob("logs/*/evidence/*.latest")
    forked = parse_add_checkpoint(kept.with_suffix("").read_bytes()).note
    shown = check_checkpoint(forked, truth.signer.key.name, [truth.signer.key])
    assert (shown.size, shown.root) == (21, fork.root())
