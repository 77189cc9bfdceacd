"""In-toto statements of others, with SLSA's predicates (docs/spec/provenance.md)."""

from __future__ import annotations

from allod.attestation.statement import decode_statement, matching_subject
from allod.errors import Untrusted


def target(data: bytes) -> None:
    """Read one, and compare its subjects with something that they are not."""
    statement = decode_statement(data)
    if statement.summary is not None and not statement.summary.level >= 0:
        raise RuntimeError("a level below none")
    try:
        matching_subject(statement, {"sha256": "never"})
    except Untrusted:
        return
    if any(one.digest.get("sha256") == "never" for one in statement.subjects):
        return
    raise RuntimeError("a subject is taken for another artifact")
