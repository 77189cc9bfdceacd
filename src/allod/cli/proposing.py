"""What the root is to sign: a new root, a trust statement, or both, with their entries for the log.

Made on what this machine has verified; signed and published elsewhere (`publishing`, `ceremony`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from allod.cli.proposal import Proposal
from allod.cli.proposal_entries import unsigned_entries
from allod.cli.refresh import View
from allod.domain.ids import sha256
from allod.trust.authoring import RepositoryDraft
from allod.trust.dsse import decode_envelope, payload_of, sign_envelope
from allod.trust.metadata import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, read
from allod.trust.role_keys import HOME, PRODUCTION, Lives, RoleKeys
from allod.wire.codec import encode, instant
from allod.wire.envelope import TRUST
from allod.wire.trust import Location, Log, Repair, Transfer, TrustStatement, Witnesses

if TYPE_CHECKING:
    from tuf.api.metadata import Root

    from allod.cli.fleet import LocalFleet


@dataclass(frozen=True, slots=True)
class Logging:
    """Which logs and witnesses a trust statement is to name."""

    logs: Sequence[Log]
    witnesses: Witnesses | None


LIVES: Final[Mapping[str, Lives]] = {"home": HOME, "production": PRODUCTION}


def lives_of(fleet: LocalFleet) -> Lives:
    """How long what the fleet's owner signs stays good."""
    return LIVES[fleet.settings.profile]


def propose_root(
    view: View,
    roles: Mapping[str, RoleKeys],
    *,
    at: datetime,
    message: str = "",
    anchors: Sequence[Location] | None = None,
    logging: Logging | None = None,
) -> Proposal:
    """A new root; with other root keys also a trust statement that they vouch for.

    A device that lags asks for the newest statement and holds it against the newest root, so the
    newest statement must carry the signatures of whoever is root now.
    """
    anchor = view.repository.anchor
    made = draft_with(view, roles).propose_root(at)
    held, before = read(made, ROOT).signed.roles[ROOT], view.repository.root.roles[ROOT]
    other = set(held.keyids) != set(before.keyids) or held.threshold != before.threshold
    proposal = Proposal(
        fleet=view.fleet.id,
        name=view.fleet.settings.name,
        at=instant(at),
        message=message,
        base=anchor.root,
        root=made,
        trust_base=anchor.trust,
    )
    if other or anchors is not None or logging is not None:
        statement = next_statement(view, at, anchors=anchors, logging=logging)
        proposal = msgspec.structs.replace(proposal, trust=unsigned_statement(statement))
    return _with_entries(proposal)


def _with_entries(proposal: Proposal) -> Proposal:
    return msgspec.structs.replace(proposal, entries=unsigned_entries(proposal))


def draft_with(view: View, roles: Mapping[str, RoleKeys]) -> RepositoryDraft:
    """A draft on the verified repository that ends in a new root, with these holders of roles."""
    if TARGETS in roles:
        view.load_all()
    draft = RepositoryDraft.from_repository(view.repository, lives_of(view.fleet))
    draft.rotate_root(roles.get(ROOT) or holders_of(view.repository.root, ROOT))
    if SNAPSHOT in roles or TIMESTAMP in roles:
        draft.rotate_online(snapshot=roles.get(SNAPSHOT), timestamp=roles.get(TIMESTAMP))
    if TARGETS in roles:
        draft.rotate_targets(roles[TARGETS])
    return draft


def holders_of(root: Root, role: str) -> RoleKeys:
    """Who holds a role under `root`."""
    entry = root.roles[role]
    return RoleKeys(tuple(root.keys[key_id] for key_id in entry.keyids), entry.threshold)


def propose_trust(
    view: View,
    *,
    at: datetime,
    anchors: Sequence[Location] | None = None,
    repairs: Sequence[Repair] = (),
    transfers: Sequence[Transfer] = (),
    logging: Logging | None = None,
    message: str = "",
) -> Proposal:
    """A trust statement under the present root."""
    statement = next_statement(
        view, at, anchors=anchors, repairs=repairs, transfers=transfers, logging=logging
    )
    proposal = Proposal(
        fleet=view.fleet.id,
        name=view.fleet.settings.name,
        at=instant(at),
        message=message,
        base=view.repository.anchor.root,
        trust_base=view.repository.anchor.trust,
        trust=unsigned_statement(statement),
    )
    return _with_entries(proposal)


def next_statement(
    view: View,
    at: datetime,
    *,
    anchors: Sequence[Location] | None = None,
    repairs: Sequence[Repair] = (),
    transfers: Sequence[Transfer] = (),
    logging: Logging | None = None,
) -> TrustStatement:
    """The statement after the newest: repairs count once, transfers until their end."""
    before = view.repository.statement or TrustStatement(
        fleet=view.fleet.id, number=0, previous=None, at=instant(at), anchors=[]
    )
    raw = view.repository.anchor.trust
    standing = [one for one in before.transfers if one.until > instant(at)]
    return msgspec.structs.replace(
        before,
        number=before.number + 1,
        previous=None if raw is None else sha256(payload_of(decode_envelope(raw))),
        at=instant(at),
        anchors=before.anchors if anchors is None else list(anchors),
        logs=before.logs if logging is None else list(logging.logs),
        witnesses=before.witnesses if logging is None else logging.witnesses,
        repairs=list(repairs),
        transfers=[*standing, *transfers],
    )


def unsigned_statement(statement: TrustStatement) -> bytes:
    """An envelope that waits for signatures."""
    return sign_envelope(encode(statement), TRUST, ())
