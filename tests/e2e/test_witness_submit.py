"""The owner's program shows a log to a witness itself."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.home import Home
from tests.e2e.log_keys import log_key
from tests.e2e.witness_process import WitnessProcess, run

from allod.cli.witness_submit import ask_witness
from allod.domain.ids import FleetId
from allod.errors import Unavailable, Untrusted
from allod.testing.logs import NaiveLog, note_signer
from allod.tlog.checkpoint import vouched
from allod.tlog.tiles import parse_tile_path
from allod.wire.log import AUTHORITY, log_origin

ORIGIN = log_origin(FleetId("a" * 64), "authority")


@dataclass
class Shown:
    """What a server shows of a log."""

    log: NaiveLog

    def file(self, path: str, *, cap: int) -> bytes | None:
        """See `ApiClient.file`."""
        name = path.removeprefix("log/authority/")
        if name == "checkpoint":
            return self.log.checkpoint().encode()
        return self.log.tile(parse_tile_path(name))[:cap]


def test_a_log_is_submitted_past_the_server(tmp_path: Path) -> None:
    """Growth is cosigned although the program remembers nothing; a fork is refused; a witness that
    does not run is unavailable.
    """
    signer = note_signer(ORIGIN)
    witness = WitnessProcess(tmp_path / "witness")
    key = witness.make()
    run("witness", "add-log", str(witness.directory), str(signer.key))
    url = f"http://127.0.0.1:{witness.port}"
    with pytest.raises(Unavailable, match="cannot reach"):
        ask_witness(Shown(NaiveLog([b"1"], signer)), signer.key, key, url)
    try:
        witness.start()
        for size in (5, 300):
            log = NaiveLog([b"%d" % number for number in range(size)], signer)
            cosigned = ask_witness(Shown(log), signer.key, key, url)
            assert vouched(cosigned, [key]).as_of(1)
        fork = NaiveLog([b"fork"] * 301, signer)
        with pytest.raises(Untrusted, match="another history"):
            ask_witness(Shown(fork), signer.key, key, url)
    finally:
        witness.stop(signal.SIGKILL)


@pytest.mark.slow
def test_an_owner_has_the_log_cosigned_without_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server does not ask the witness that the fleet names, so nobody goes on; the owner shows
    it the log and brings the cosignature to the server, and from there on everybody does.
    """
    witness = WitnessProcess(tmp_path / "witness")
    key = witness.make()
    words = ("--witness", str(key), "--witness-age", "1h")
    monkeypatch.setenv("ALLOD_WITNESS_WAIT", "0s")
    home = Home(tmp_path / "home", words)
    try:
        fleet = home.fleet()
        log = log_key(tmp_path / "home" / "server", fleet.id, AUTHORITY)
        run("witness", "add-log", str(witness.directory), str(log))
        witness.start()
        url = f"http://127.0.0.1:{witness.port}"
        submit = ("witness", "submit", str(log), str(key), url)

        def alarms() -> list[str]:
            return [alarm["code"] for alarm in home.do("status")["alarms"]]

        assert alarms() == ["no-quorum"]
        home.do(*submit, "--out", tmp_path / "cosigned")
        assert alarms() == ["no-quorum"]
        home.do(*submit, "--hand-in")
        assert alarms() == []
        home.refused("device", "invite", "--group", "kitchen", "--yes")  # the log grew by the group
        home.do(*submit, "--hand-in")
        device = home.device("toaster", "kitchen")
        device.converge()
        said = json.loads(device.run("status", "--json", code=None))
        assert (said["bound"], said["alarms"]) == (True, [])
    finally:
        witness.stop(signal.SIGKILL)
        home.close()
