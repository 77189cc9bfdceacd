"""Evidence on the owner's machine: kept where a log contradicts itself, judged by `allod audit fork`."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.conftest import Owner

from allod.server.keys import load_log_key
from allod.server.layout import ServerDirectory
from allod.testing.logs import NaiveLog, note_signer
from allod.tlog.checkpoint import Checkpoint, sign_checkpoint
from allod.tlog.fork import Fork, fork_between, parse_fork, unproven
from allod.tlog.growth import Edge
from allod.tlog.merkle import leaf_hash, range_over
from allod.tlog.note import Kind, NoteSigner, VerifierKey
from allod.wire.log import log_origin

LOG = NaiveLog([f"{number}".encode() for number in range(40)])
OTHER = NaiveLog([*LOG.entries[:3], b"other", *LOG.entries[4:]])
KEY = str(LOG.signer.key)


def _fork() -> Fork:
    found = fork_between(LOG.checkpoint(9), OTHER.checkpoint(40), OTHER)
    assert found is not None
    return found


def _signer(owner: Owner, fleet: str) -> NoteSigner:
    """What a thief of the server's log key signs with."""
    key = load_log_key(ServerDirectory(owner.served.directory))
    assert key is not None
    name = log_origin(fleet, "authority")  # type: ignore[arg-type]
    return NoteSigner(VerifierKey(name, Kind.ED25519, key.public), key.sign)


def test_evidence_is_checked_with_a_key_alone(owner: Owner, tmp_path: Path) -> None:
    """No fleet is needed; what is proven is said in words and as data, with the sizes and the key."""
    file = tmp_path / "one.evidence"
    file.write_bytes(_fork().encode())
    said = owner.do("audit", "fork", file, "--key", KEY)
    assert (said["proven"], said["short"]["size"], said["long"]["size"]) == (True, 9, 40)
    assert said["key"] == KEY
    assert owner.run("audit", "fork", file, "--key", KEY) == 0
    assert "showed two histories" in owner.out


def test_what_is_no_evidence_is_refused(owner: Owner, tmp_path: Path) -> None:
    """Tampered, of another log, of a log that only grew, of two notes alone, or nothing at all."""
    file = tmp_path / "one.evidence"
    good = _fork()
    other = str(note_signer("log.example/two").key)
    grown = Fork(LOG.checkpoint(4).note, LOG.checkpoint(4).note, LOG.root(4))
    cases = [
        (good.encode(), other, "note-signature"),
        (good.encode().replace(b"root ", b"root A"), KEY, "bad-fork"),
        (grown.encode(), KEY, "no-fork"),
        (unproven(LOG.checkpoint(9), OTHER.checkpoint(40)).encode(), KEY, "fork-unproven"),
        (b"nothing", KEY, "bad-fork"),
    ]
    for data, key, code in cases:
        file.write_bytes(data)
        assert owner.refused("audit", "fork", file, "--key", key) == code
    assert owner.refused("audit", "fork", tmp_path / "none", "--key", KEY) == "local-io"


def test_evidence_about_another_log_needs_its_key(begun: Owner, tmp_path: Path) -> None:
    """The fleet's own keys speak for the fleet's own logs."""
    file = tmp_path / "one.evidence"
    file.write_bytes(_fork().encode())
    assert begun.refused("audit", "fork", file) == "wrong-log"


def test_two_checkpoints_are_completed_with_the_fleets_log(begun: Owner, tmp_path: Path) -> None:
    """A device could only keep two signed notes; the owner, who reads the log, has the proof."""
    begun.do("history")
    fleet = begun.fleet()
    signer = _signer(begun, fleet.id)
    true = fleet.floors.log_floor(signer.key.name)
    assert true is not None
    entries = [f"{number}".encode() for number in range(true.size - 1)]
    root = range_over(map(leaf_hash, entries)).root()
    lie = sign_checkpoint(Checkpoint(signer.key.name, len(entries), root), signer)
    file = tmp_path / "device.evidence"
    file.write_bytes(unproven(lie, true).encode())
    assert begun.refused("audit", "fork", file, "--key", str(signer.key)) == "fork-unproven"
    said = begun.do("audit", "fork", file)
    assert said["short"]["size"] == len(entries)
    (kept,) = (fleet.directory / "evidence").iterdir()
    assert kept.name == f"fork-authority-{len(entries)}-{true.size}.evidence"
    parse_fork(kept.read_bytes()).verify(signer.key.name, [signer.key])


def test_the_command_keeps_evidence_when_its_log_contradicts_itself(begun: Owner) -> None:
    """The server shows another history to the owner: refused, and the file is named."""
    begun.do("history")
    fleet = begun.fleet()
    signer = _signer(begun, fleet.id)
    true = fleet.floors.log_floor(signer.key.name)
    assert true is not None
    entries = [f"{number}".encode() for number in range(true.size + 2)]
    root = range_over(map(leaf_hash, entries)).root()
    lie = sign_checkpoint(Checkpoint(signer.key.name, len(entries), root), signer)
    _, tiles = Edge().grown(entries)
    begun.served.lie = {f"log/authority/{tile.path}": data for tile, data in tiles.items()}
    begun.served.lie["log/authority/checkpoint"] = lie.encode()
    assert begun.refused("history") == "log-consistency"
    (kept,) = (fleet.directory / "evidence").iterdir()
    assert str(kept) in begun.said
    assert begun.do("audit", "fork", kept)["long"]["size"] == len(entries)
