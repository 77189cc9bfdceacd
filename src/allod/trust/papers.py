"""What is signed apart from TUF by owner and provider: invites, trust statements, releases."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, Signer

from allod.domain.ids import FleetId, GroupName, sha256
from allod.errors import InvalidInput
from allod.trust.dsse import (
    add_signatures,
    decode_envelope,
    make_envelope,
    payload_of,
    sign_envelope,
)
from allod.trust.floors import Floors
from allod.trust.keys import from_key
from allod.trust.metadata import ROOT, SNAPSHOT, read
from allod.trust.release import ReleaseIdentity
from allod.wire import binding as binding_wire
from allod.wire.codec import decode, encode, instant
from allod.wire.envelope import ENVELOPE_CAP, IN_TOTO, INVITE, TRUST
from allod.wire.intoto import ReleasePredicate, ReleaseStatement, Subject
from allod.wire.trust import Location, Log, Repair, Transfer, TrustStatement, Witnesses


def make_statement(
    fleet: FleetId,
    previous: bytes | None,
    at: datetime,
    signers: Sequence[Signer],
    *,
    anchors: Sequence[Location],
    logs: Sequence[Log] = (),
    witnesses: Witnesses | None = None,
    repairs: Sequence[Repair] = (),
    transfers: Sequence[Transfer] = (),
) -> bytes:
    """The trust statement that follows `previous` (an envelope; None: the first).

    With fewer signers than the root threshold it is a proposal: `dsse.add_signatures` and
    `dsse.merge_envelopes` complete it.
    """
    number, digest = 1, None
    if previous is not None:
        payload = payload_of(decode_envelope(previous))
        before = decode(
            payload, TrustStatement, cap=ENVELOPE_CAP, what="the trust statement before"
        )
        number, digest = before.number + 1, sha256(payload)
    statement = TrustStatement(
        fleet=fleet,
        number=number,
        previous=digest,
        at=instant(at),
        anchors=list(anchors),
        logs=list(logs),
        witnesses=witnesses,
        repairs=list(repairs),
        transfers=list(transfers),
    )
    return sign_envelope(encode(statement), TRUST, signers)


def resign_statement(statement: bytes, signers: Sequence[Signer]) -> bytes:
    """The newest trust statement under the keys of a new root; its digest stays the same."""
    return add_signatures(statement, TRUST, signers)


def statement_digest(statement: bytes) -> tuple[int, str]:
    """Number and digest of a trust statement. Raises InvalidInput."""
    payload = payload_of(decode_envelope(statement))
    number = decode(payload, TrustStatement, cap=ENVELOPE_CAP, what="the trust statement").number
    return number, sha256(payload)


def make_invite(
    floors: Floors,
    root: bytes,
    signers: Sequence[Signer],
    secret: CryptoSigner,
    *,
    id: str,  # noqa: A002 - the document's own word
    name: str,
    locations: Sequence[Location],
    groups: Sequence[GroupName],
    expires: datetime,
    uses: int = 1,
    statements: Sequence[bytes] = (),
) -> bytes:
    """An invite in its file form.

    Args:
        floors: of the owner's machine, which has verified what it invites to.
        root: the newest root file, at those floors.
        signers: of `targets`, at its threshold.
        secret: an Ed25519 key made for this invite alone.
        id: of the invite; reports, counts and revocations name it.
        name: of the fleet, to show.
        locations: where the fleet's files can be had, with the pins of their CAs.
        groups: of the device, in order.
        expires: when it can no longer be used.
        uses: how many devices may be admitted with it.
        statements: the trust statements from 1 to the newest.
    """
    online = {role: version for role, version in floors.roles.items() if not _is_detail(role)}
    invite = binding_wire.Invite(
        fleet=floors.fleet,
        id=id,
        name=name,
        root=binding_wire.InviteRoot(
            version=read(root, ROOT).signed.version, sha256=hashlib.sha256(root).hexdigest()
        ),
        trust=binding_wire.InviteTrust(
            number=floors.trust_number, digest=floors.trust_digest or ""
        ),
        locations=list(locations),
        floors=binding_wire.InviteFloors(
            roles=online,
            snapshot=floors.digests.get(SNAPSHOT),
            time=instant(floors.time),
            log=dict(floors.logs),
        ),
        groups=list(groups),
        expires=instant(expires),
        uses=uses,
        key=from_key(secret.public_key),
    )
    return encode(
        binding_wire.InviteFile(
            invite=make_envelope(encode(invite), INVITE, signers),
            secret=base64.b64encode(_seed(secret)).decode(),
            root=base64.b64encode(root).decode(),
            trust=[decode_envelope(statement) for statement in statements],
        )
    )


def short_invite(invite: bytes) -> bytes:
    """The form for a URL or a QR code: root and statements are fetched and checked by their hash.

    Raises:
        InvalidInput: it is no invite.
    """
    file = decode(invite, binding_wire.InviteFile, cap=8 * 1024 * 1024, what="the invite")
    return encode(binding_wire.InviteFile(invite=file.invite, secret=file.secret))


def _is_detail(role: str) -> bool:
    """Bins are many and below `devices`; their floors do not have to travel on a QR code."""
    return role.startswith("devices-bins-")


def _seed(signer: CryptoSigner) -> bytes:
    private = load_pem_private_key(signer.private_bytes, None)
    if not isinstance(private, Ed25519PrivateKey):
        raise InvalidInput("bad-key", "cannot make an invite with a secret that is not Ed25519")
    return private.private_bytes_raw()


def make_release_statement(identity: ReleaseIdentity, signers: Sequence[Signer]) -> bytes:
    """The provider's word that these bytes are this version of this package."""
    statement = ReleaseStatement(
        subject=[
            Subject(
                name=identity.package, digest={"sha256": identity.digest.removeprefix("sha256:")}
            )
        ],
        predicate=ReleasePredicate(
            provider=identity.provider, package=identity.package, version=identity.version
        ),
    )
    return sign_envelope(encode(statement), IN_TOTO, signers)
