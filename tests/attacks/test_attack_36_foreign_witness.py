"""Attack 36 and 52 with programs by others: a witness that is not ours sees the fork, and no device goes by it."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from tests.conformance.foreign import ForeignWitness
from tests.e2e.home import Device
from tests.e2e.log_keys import log_key
from tests.e2e.witnessed import witnessed_home

from allod.server.assembly import assemble
from allod.server.settings import load_settings
from allod.tlog.checkpoint import check_checkpoint
from allod.tlog.witness import parse_add_checkpoint
from allod.wire.log import AUTHORITY


def says(device: Device) -> tuple[set[str], list[str]]:
    """What it refuses, and what runs."""
    said = json.loads(device.run("status", "--json", code=None))
    [package] = said["packages"]
    active = [one["version"] for one in package["releases"] if one["level"] == "active"]
    return {one["code"] for one in said["refusals"]}, active


def forked(directory: Path, fleet: str, entries: int) -> int:
    """Whoever has the log's key appends to a copy of the log; its size then."""
    server = assemble(load_settings(directory))
    try:
        server.start()
        origin = log_key(directory, fleet, AUTHORITY).name
        server.publications.logs.append(
            server.fleets.all()[0].fleet,
            origin,
            [b"thief %d" % number for number in range(entries)],
        )
        return (
            server.publications.logs.sequencer(server.fleets.all()[0].fleet, origin)
            .checkpoint()
            .size
        )
    finally:
        server.close()


def served_alarms(directory: Path) -> set[str]:
    """The codes of the server's alarms."""
    return {
        json.loads(path.read_bytes())["code"] for path in directory.glob("fleets/*/alarms/*.json")
    }


@pytest.mark.slow
@pytest.mark.parametrize("longer", [0, 3])
def test_attack_36_a_witness_by_others_refuses_our_forked_log(tmp_path: Path, longer: int) -> None:
    """A server goes on from an older copy of its log, with other entries: as many as the witness saw,
    or more. The witness refuses and keeps the request, the server raises an alarm; neither the device
    that saw the truth nor the one that did not finds a quorum, and both run on.
    """
    witness = ForeignWitness(tmp_path / "witness")
    cosigner = witness.make()
    place = tmp_path / "home"
    home = witnessed_home(place, witness, cosigner)
    try:
        first, second = home.device("first", "kitchen"), home.device("second", "kitchen")
        home.do("deploy", "kitchen", home.app("bread", "1.0"), "--yes")
        for device in (first, second):
            device.converge()
        fleet = home.fleet().id
        home.server.stop(signal.SIGTERM)
        shutil.copytree(place / "server", tmp_path / "copy")
        home.server.start()
        home.do("deploy", "kitchen", home.app("bread", "2.0"), "--yes")
        first.converge()
        assert home.row(first, "bread")["active"] == "2.0"
        home.server.stop(signal.SIGTERM)
        seen = size_of(place / "server", fleet)
        (place / "server").rename(tmp_path / "truth")
        (tmp_path / "copy").rename(place / "server")
        missing = seen - size_of(place / "server", fleet)
        assert forked(place / "server", fleet, missing + longer) == seen + longer
        home.server.start()
        for _ in range(200):
            if "witness-refused" in served_alarms(place / "server"):
                break
            time.sleep(0.1)
        assert "witness-refused" in served_alarms(place / "server")
        for device, runs in ((first, "2.0"), (second, "1.0")):
            device.converge()
            assert says(device) == ({"no-quorum"}, [runs])
        assert home.refused("deploy", "kitchen", home.app("bread", "3.0"), "--yes") in {
            "no-quorum",
            "log-consistency",
        }
    finally:
        witness.stop()
        home.close()
    key = log_key(place / "server", fleet, AUTHORITY)
    kept = [one for one in witness.evidence() if one["origin"] == key.name]
    assert kept
    note = parse_add_checkpoint(kept[0]["request"].encode()).note
    assert check_checkpoint(note, key.name, [key]).size == seen + longer


def size_of(directory: Path, fleet: str) -> int:
    """Of the authority log, as it is served."""
    text = (directory / "fleets" / fleet / "log" / "authority" / "checkpoint").read_text()
    return int(text.split("\n")[1])
