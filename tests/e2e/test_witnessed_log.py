"""A running server has running witnesses cosign its logs, and serves what they signed."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.e2e.server_process import Served
from tests.e2e.witness_process import WitnessProcess, run

from allod.testing.server_logs import named, naming
from allod.tlog.checkpoint import open_checkpoint, vouched
from allod.tlog.note import parse_key
from allod.wire.trust import Witnesses


def test_a_server_serves_cosigned_checkpoints(tmp_path: Path) -> None:
    """Two of three witnesses run: both cosign both logs, and the third does not hold them up."""
    served = Served.make(tmp_path)
    rig = served.rig
    rig.start()
    witnesses = [
        WitnessProcess(tmp_path / f"witness-{number}", f"w{number}.example") for number in range(3)
    ]
    keys = [witness.make() for witness in witnesses]
    logs = named(rig)
    for witness, key in zip(witnesses, keys, strict=True):
        for log in logs:
            run("witness", "add-log", str(witness.directory), log.key)
        url = f"http://127.0.0.1:{witness.port}"
        run("server", "witness", str(key), url, str(rig.directory))
    terms = Witnesses(keys=[str(key) for key in keys], quorum=2, max_age_seconds=86_400)
    rig.server.publish(rig.fleet, naming(rig, witnesses=terms))
    rig.server.close()
    try:
        for witness in witnesses[:2]:
            witness.start()
        served.start()
        for log in logs:
            files = rig.settings.layout.fleet(rig.fleet).log(log.name)
            for _ in range(400):
                raw = (files / "checkpoint").read_bytes()
                signed = open_checkpoint(raw, log.origin, [parse_key(log.key)])
                if vouched(signed, keys).as_of(2) is not None:
                    break
                time.sleep(0.05)
            votes = vouched(signed, keys)
            assert {key.name for key, _ in votes.times} == {"w0.example", "w1.example"}
            assert time.time() - (votes.as_of(2) or 0) < 60
    finally:
        for witness in witnesses:
            witness.stop(signal.SIGKILL)
        if served.process is not None:
            served.signal(signal.SIGTERM)
