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
from allod.wire.codec import decode
from allod.wire.envelope import ENVELOPE_CAP, LOG_ROLE
from allod.wire.log import (
    AUTHORITY,
    TRUST_ROLE,
    RoleStatement,
    encode_authority,
    encode_role_statement,
)
from allod.wire.trust import Log, TrustStatement

if TYPE_CHECKING:
    from securesystemslib.signer import Signer


def newest_of(statement: TrustStatement | None, name: str) -> Log | None:
    """The log of a name that none succeeds; None: the owner names none."""
    named = [log for log in (() if statement is None else statement.logs) if log.name == name]
    past = {log.follows for log in named}
    newest = [log for log in named if log.origin not in past]
    return newest[-1] if newest else None


def statement_of(raw: bytes) -> TrustStatement:
    """The statement in an envelope, unverified. Raises InvalidInput."""
    return decode(
        payload_of(decode_envelope(raw)),
        TrustStatement,
        cap=ENVELOPE_CAP,
        what="the trust statement",
    )


def names_log(statement: TrustStatement | None) -> bool:
    """Whether a statement names an authority log."""
    return newest_of(statement, AUTHORITY) is not None


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
