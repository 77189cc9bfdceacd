"""Reads a served log with `aics-tlog` alone; runs in its environment, not in that of the tests.

Standard input: JSON with `url`, `key`, `origin`; with `witnesses`, `quorum`, `maxAge` if a quorum
has to vouch; with `inclusion` [[index, proof]] and `consistency` [[old, oldRoot, proof]] to check
against proofs of its own. Standard output: JSON with size, root and the entries' hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from typing import Any

import aics_tlog
from aics_tlog.remote import HttpTileReader


def main() -> None:
    """Answer one question."""
    question = json.load(sys.stdin)
    reader = HttpTileReader(question["url"], proxies={})
    note = aics_tlog.parse_note(reader.read_checkpoint().decode())
    result = aics_tlog.verify_checkpoint(
        note,
        aics_tlog.parse_vkey(question["key"]),
        [aics_tlog.parse_vkey(key) for key in question.get("witnesses", [])],
        question.get("quorum", 0),
        expected_origin=question["origin"],
        max_age_seconds=question.get("maxAge"),
    )
    if not result.ok:
        sys.exit(f"the checkpoint does not hold: {result}")
    checkpoint = aics_tlog.parse_checkpoint(note.text)
    size, root = checkpoint.size, checkpoint.root
    aics_tlog.audit_tiles(reader, size, root)
    entries = [aics_tlog.read_entry(reader, index, size) for index in range(size)]
    for index, proof in question.get("inclusion", []):
        agree(proof, aics_tlog.inclusion_proof_from_tiles(reader, index, size))
        hashes = [base64.b64decode(one) for one in proof]
        leaf = aics_tlog.leaf_hash(entries[index])
        if not aics_tlog.verify_inclusion(leaf, index, size, hashes, root):
            sys.exit(f"the proof for entry {index} does not hold")
    for old, old_root, proof in question.get("consistency", []):
        agree(proof, aics_tlog.consistency_proof_from_tiles(reader, old, size))
        hashes = [base64.b64decode(one) for one in proof]
        before = base64.b64decode(old_root)
        if not aics_tlog.verify_consistency(old, size, before, root, hashes):
            sys.exit(f"the proof from size {old} does not hold")
    json.dump(
        {
            "size": size,
            "root": base64.b64encode(root).decode(),
            "entries": [hashlib.sha256(entry).hexdigest() for entry in entries],
        },
        sys.stdout,
    )


def agree(proof: list[str], own: list[Any]) -> None:
    """Both made the same proof."""
    if [base64.b64decode(one) for one in proof] != list(own):
        sys.exit("the proofs differ")


if __name__ == "__main__":
    main()
