"""A program by others reads our log, checks our proofs, and cosigns our checkpoints.

It is `aics-tlog` and `aics-witness` (Apache-2.0), which this project does not depend on. They name
Python 3.12 and run on 3.11; without them these tests are skipped:

    pip install --no-deps --ignore-requires-python aics-tlog==0.2.1 aics-witness==0.1.0
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from allod.server.log.directory import DirectoryLogStorage
from allod.server.log.sequencer import Sequencer
from allod.testing.logs import NaiveLog, note_signer
from allod.tlog.checkpoint import SignedCheckpoint, vouched
from allod.tlog.note import parse_key
from allod.tlog.proofs import consistency_proof, inclusion_proof
from allod.tlog.tiles import TileReader
from allod.tlog.witness import AddCheckpoint, Status, judge, parse_size, with_cosignatures

tlog = pytest.importorskip("aics_tlog")
aics_witness = pytest.importorskip("aics_witness")

pytestmark = pytest.mark.slow

ORIGIN = "allod.dev/log/" + "f" * 64 + "/authority"
SIGNER = note_signer(ORIGIN)
ENTRIES = [f"entry {number}".encode() for number in range(700)]
NOW = 1_800_000_000


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> tuple[Path, list[SignedCheckpoint]]:
    """A log that our sequencer wrote in batches, as a directory, and its checkpoints."""
    place = tmp_path_factory.mktemp("log")
    storage = DirectoryLogStorage(place / "public", place / "private")
    sequencer = Sequencer(storage, ORIGIN, SIGNER)
    checkpoints = [sequencer.create()]
    for begin, end in ((0, 1), (1, 300), (300, 512), (512, 700)):
        checkpoints.append(sequencer.append(ENTRIES[begin:end]).checkpoint)
    sequencer.close()
    return place / "public", checkpoints


def reader(public: Path, size: int) -> TileReader:
    def read(tile):
        path = public / tile.path
        return (path if path.exists() else public / tile.full.path).read_bytes()[: tile.cap]

    return TileReader(size, read)


def test_it_reads_our_log(served) -> None:
    """Checkpoint, every tile and every entry pass its audit; the entries are ours."""
    public, _ = served
    raw = (public / "checkpoint").read_text()
    key = tlog.parse_vkey(str(SIGNER.key))
    result = tlog.verify_checkpoint(tlog.parse_note(raw), key, expected_origin=ORIGIN)
    assert result.ok, result
    checkpoint = tlog.parse_checkpoint(tlog.parse_note(raw).text)
    files = tlog.FileSystemTileReader(public)
    tlog.audit_tiles(files, checkpoint.size, checkpoint.root)
    assert [tlog.read_entry(files, index, 700) for index in range(700)] == ENTRIES


def test_it_agrees_about_every_proof(served) -> None:
    """Our proofs are those that it makes from our tiles, and it verifies them."""
    public, checkpoints = served
    files, ours = tlog.FileSystemTileReader(public), reader(public, 700)
    for index in (0, 1, 255, 256, 511, 512, 699):
        proof = list(inclusion_proof(index, 700, ours))
        assert proof == tlog.inclusion_proof_from_tiles(files, index, 700)
        leaf, root = tlog.leaf_hash(ENTRIES[index]), checkpoints[-1].root
        assert tlog.verify_inclusion(leaf, index, 700, proof, root)
    for old in (1, 300, 512, 700):
        proof = list(consistency_proof(old, 700, ours))
        assert proof == tlog.consistency_proof_from_tiles(files, old, 700)


def witness(tmp_path: Path):
    store = aics_witness.WitnessStore(tmp_path / "witness.sqlite", create=True)
    logs = [aics_witness.LogConfig.from_strings(ORIGIN, [str(SIGNER.key)])]
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    return aics_witness.Witness("witness.example/w", key, store, logs, clock=lambda: NOW)


def test_its_witness_cosigns_our_checkpoints_and_refuses_a_fork(served, tmp_path: Path) -> None:
    """Every step of the log with our request bodies; then other sizes and another history, about
    which our own witness decides alike.
    """
    public, checkpoints = served
    theirs = witness(tmp_path)
    key = parse_key(theirs.vkey_text)
    ours = reader(public, 700)
    for old, new in zip(checkpoints[1:], checkpoints[2:], strict=False):
        if old is checkpoints[1]:
            theirs.add_checkpoint(AddCheckpoint(0, (), old.note).encode())
        proof = consistency_proof(old.size, new.size, ours)
        request = AddCheckpoint(old.size, proof, new.note)
        signed = with_cosignatures(new, theirs.add_checkpoint(request.encode()), [key])
        assert vouched(signed, [key]).as_of(1) == NOW
        assert judge(request, [SIGNER.key], old.checkpoint).status is Status.COSIGNED
    latest = checkpoints[-1]
    fork = NaiveLog([b"x", *ENTRIES[1:]], SIGNER).checkpoint()
    stranger = NaiveLog(list(ENTRIES), note_signer(ORIGIN, seed=1)).checkpoint()
    for request, status in (
        (AddCheckpoint(300, (), latest.note), 409),
        (AddCheckpoint(700, (), fork.note), 422),
        (AddCheckpoint(701, (), latest.note), 400),
        (AddCheckpoint(700, (), stranger.note), 403),
    ):
        with pytest.raises(aics_witness.WitnessError) as refused:
            theirs.add_checkpoint(request.encode())
        verdict = judge(request, [SIGNER.key], latest.checkpoint)
        assert (refused.value.status, verdict.status) == (status, status)
        if status == 409:
            assert parse_size(verdict.body) == parse_size(refused.value.body) == 700
