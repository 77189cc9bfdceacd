"""What goes into the fleet's authority log with an upload: an entry for each file (docs/spec/log.md).

Each is signed in the same sitting and by the same keys as its file. A fleet whose owner names no
log has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from allod.domain.ids import FleetId, sha256
from allod.trust.dsse import decode_envelope, make_envelope, payload_of
from allod.trust.metadata import ROOT, TARGETS, open_role
from allod.wire.envelope import LOG_ROLE
from allod.wire.log import (
    AUTHORITY,
    TRUST_ROLE,
    RoleStatement,
    encode_authority,
    encode_role_statement,
)
from allod.wire.trust import TrustStatement

if TYPE_CHECKING:
    from securesystemslib.signer import Signer


def names_log(statement: TrustStatement | None) -> bool:
    """Whether a statement names an authority log."""
    return statement is not None and any(log.name == AUTHORITY for log in statement.logs)


def entries_for(
    fleet: FleetId,
    statement: TrustStatement | None,
    metadata: Mapping[str, bytes],
    signers: Mapping[str, Sequence[Signer]],
    *,
    trust: Mapping[str, bytes] | None = None,
) -> list[bytes]:
    """Sign the entries of an upload; none, if its owner names no log.

    Args:
        fleet: whose it is.
        statement: the newest trust statement, as it will be published.
        metadata: the files, by their names.
        signers: by role, as the files were signed; `devices` and its bins are of `targets`.
        trust: the trust statements, by their numbers.

    Raises:
        InvalidInput: a file can't be read.
        Unavailable: `key-elsewhere`.
    """
    if not names_log(statement):
        return []
    entries = []
    for name, data in metadata.items():
        number, _, rest = name.partition(".")
        role = rest.removesuffix(".json")
        by = signers.get(role) or signers.get(ROOT if role == ROOT else TARGETS, ())
        entries.append(_entry(fleet, role, int(number), open_role(data, role).digest, by))
    for text, raw in (trust or {}).items():
        digest = sha256(payload_of(decode_envelope(raw, what=f"trust statement {text}")))
        entries.append(_entry(fleet, TRUST_ROLE, int(text), digest, signers.get(ROOT, ())))
    return entries


def _entry(
    fleet: FleetId, role: str, version: int, digest: str, signers: Sequence[Signer]
) -> bytes:
    statement = RoleStatement(fleet=fleet, role=role, version=version, digest=digest)
    return encode_authority(make_envelope(encode_role_statement(statement), LOG_ROLE, signers))
