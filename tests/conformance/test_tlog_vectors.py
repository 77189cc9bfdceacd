"""Other people's logs, proofs, notes and cosignatures, and what they must come to."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from allod.errors import AllodError
from allod.tlog.checkpoint import open_checkpoint, parse_checkpoint
from allod.tlog.merkle import leaf_hash
from allod.tlog.note import Kind, VerifierKey, parse_key, parse_note, signed_by
from allod.tlog.proofs import (
    verify_consistency,
    verify_inclusion,
    verify_subtree_consistency,
    verify_subtree_inclusion,
)
from allod.tlog.tiles import TileReader
from allod.tlog.witness import origin_hash

VECTORS = Path(__file__).parents[1] / "vectors" / "tlog"
WITNESS = VECTORS / "witness"


def probes(kind: str) -> list[dict]:
    return json.loads((VECTORS / f"{kind}.json").read_text())


def raw(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def proof(probe: dict) -> list[bytes]:
    return [raw(node) for node in probe["proof"] or []]


def judge(kind: str, probe: dict) -> None:
    path = proof(probe)
    match kind:
        case "inclusion":
            leaf, root = raw(probe["leafHash"]), raw(probe["root"])
            verify_inclusion(leaf, probe["leafIdx"], probe["treeSize"], path, root)
        case "subtreeinclusion":
            leaf, root = raw(probe["leafHash"]), raw(probe["root"])
            begin, end = probe["start"], probe["end"]
            verify_subtree_inclusion(leaf, probe["leafIdx"], begin, end, path, root)
        case "consistency":
            roots = raw(probe["root1"]), raw(probe["root2"])
            verify_consistency(probe["size1"], probe["size2"], path, *roots)
        case "subtreeconsistency":
            roots = raw(probe["root1"]), raw(probe["root2"])
            verify_subtree_consistency(probe["start"], probe["end"], probe["size"], path, *roots)


@pytest.mark.parametrize(
    "kind", ["inclusion", "subtreeinclusion", "consistency", "subtreeconsistency"]
)
def test_every_proof_gets_the_verdict_that_its_vector_names(kind: str) -> None:
    """All 518 proof vectors of transparency-dev/merkle: good ones pass, bad ones are refused."""
    wrong = []
    for probe in probes(kind):
        try:
            judge(kind, probe)
            refused = False
        except AllodError:
            refused = True
        if refused != probe["wantErr"]:
            wrong.append(probe["file"])
    assert not wrong
    assert len(probes(kind)) >= 98


@pytest.mark.parametrize("name", ["witness", "mirror"])
def test_a_foreign_witness_vouches(name: str) -> None:
    """Cosignatures that Sunlight's witness made verify with the key that it publishes."""
    key = parse_key(json.loads((WITNESS / f"{name}.v0.json").read_text())["verifier_keys"][0])
    note = parse_note((WITNESS / f"{name}-checkpoint").read_bytes())
    (signed,) = signed_by(note, [key])
    assert signed.key == key
    assert signed.at == 1767139200
    assert parse_checkpoint(note.text).origin == "rome2026h1.example.org"
    assert note.encode() == (WITNESS / f"{name}-checkpoint").read_bytes()


def test_a_foreign_logs_tiles_have_the_root_of_its_checkpoint() -> None:
    """300 leaves in three tiles: the root that we compute is the one that was cosigned."""
    checkpoint = parse_checkpoint(parse_note((WITNESS / "mirror-checkpoint").read_bytes()).text)
    reader = TileReader(checkpoint.size, lambda tile: (WITNESS / tile.path).read_bytes())
    assert reader.root() == checkpoint.root


def test_a_witness_names_the_log_by_the_hash_of_its_origin() -> None:
    """The directory of the vectors is the one that we would ask for."""
    hashed = "000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706"
    assert origin_hash("rome2026h1.example.org") == hashed


def test_the_example_of_signed_note() -> None:
    """The specification's example key verifies the specification's example note."""
    key = parse_key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    note = parse_note(
        "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXpp"
        "zi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n".encode()
    )
    assert [one.key for one in signed_by(note, [key])] == [key]
    assert str(key).startswith("example.com/foo+530d903a+")


def test_the_leaf_hash_of_nothing() -> None:
    """The best known hash of all logs."""
    assert leaf_hash(b"").hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )


def test_a_log_key_never_speaks_as_a_witness() -> None:
    """A cosignature counts for a cosigning key only, a log's signature for a log's key only."""
    key = parse_key(json.loads((WITNESS / "witness.v0.json").read_text())["verifier_keys"][0])
    raw_note = (WITNESS / "witness-checkpoint").read_bytes()
    as_log = VerifierKey(key.name, Kind.ED25519, key.public)
    with pytest.raises(AllodError) as refused:
        open_checkpoint(raw_note, "rome2026h1.example.org", [as_log, key])
    assert refused.value.code == "note-signature"
