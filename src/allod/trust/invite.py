"""Invites: what a device starts from, signed by the owner's daily key (docs/spec/binding.md)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, SSlibKey

from allod.domain.ids import GroupName, parse_digest, parse_fleet, parse_group, parse_name
from allod.errors import InvalidInput, Refused, Unavailable, Untrusted
from allod.trust.anchor import Anchor, CheckedRoot, check_root, first_floors, keys_of
from allod.trust.dsse import payload_of, verify
from allod.trust.floors import Floors
from allod.trust.keys import to_key
from allod.trust.metadata import MAX_VERSION, TARGETS
from allod.trust.statements import read_pinned
from allod.trust.verified import Verified, seal
from allod.wire.binding import Invite, InviteFile
from allod.wire.codec import decode, encode, parse_instant
from allod.wire.envelope import ENVELOPE_CAP, INVITE, Envelope
from allod.wire.trust import FleetDocument

INVITE_CAP: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class OpenedInvite:
    """An invite that holds, with everything that binding needs."""

    invite: Invite
    envelope: Envelope
    signer: CryptoSigner  #: of the invite's secret; burnt after the binding record is made
    anchor: Anchor
    floors: Floors
    groups: tuple[GroupName, ...]


def root_wanted(data: bytes) -> tuple[str, str]:
    """Where the root lies (relative to /f/<fleet>/) that an invite in URL form needs, and its hash.

    Nothing is verified; `open_invite` does that. Raises InvalidInput.
    """
    invite = _peek(decode(data, InviteFile, cap=INVITE_CAP, what="the invite").invite)
    return f"tuf/{invite.root.version}.root.json", invite.root.sha256


def open_invite(
    data: bytes,
    now: datetime,
    build_time: datetime,
    *,
    root: bytes | None = None,
    trust: Sequence[bytes] = (),
) -> Verified[OpenedInvite]:
    """Read an invite's file form and check everything that can be checked without the server.

    Args:
        data: the file form, or what a URL or QR code held.
        now: what the machine's clock says.
        build_time: of the agent; the time floor is never before it.
        root: the root metadata file, if the invite is in its short form.
        trust: trust statements, likewise.

    Raises:
        InvalidInput: it is malformed or was altered beyond reading.
        Untrusted: `auth`, `wrong-root`, `wrong-fleet`, `wrong-secret`, `equivocation`.
        Unavailable: `root-needed` if the root has to be fetched first.
        Refused: `invite-expired`.
    """
    file = decode(data, InviteFile, cap=INVITE_CAP, what="the invite")
    invite = _peek(file.invite)
    root_bytes = _unbase64(file.root) if file.root is not None else root
    if root_bytes is None:
        raise Unavailable("root-needed", "cannot open the invite: its root has to be fetched first")
    checked = check_invite_root(invite, root_bytes)
    verified = check_invite(file.invite, checked)
    signer = _signer(file.secret)
    if signer.public_key.keyid != to_key(invite.key).keyid:
        raise Untrusted("wrong-secret", "cannot use the invite: its secret is another invite's")
    newest = _newest_statement(invite, [encode(one) for one in file.trust] or list(trust))
    anchor = Anchor(parse_fleet(invite.fleet), root_bytes, newest)
    floors = invite_floors(invite, anchor, build_time)
    if max(now, floors.time) > parse_instant(invite.expires):
        raise Refused(
            "invite-expired",
            f"cannot use the invite: it expired at {invite.expires}; ask the owner for a new one",
        )
    groups = tuple(parse_group(name) for name in invite.groups)
    return seal(OpenedInvite(invite, file.invite, signer, anchor, floors, groups), verified.by)


def check_invite_root(invite: Invite, root: bytes) -> CheckedRoot:
    """The root that the invite names, and no other. Raises Untrusted `wrong-root`."""
    if hashlib.sha256(root).hexdigest() != invite.root.sha256:
        raise Untrusted("wrong-root", "cannot use the invite: this is not the root that it names")
    checked = check_root(root)
    if checked.root.version != invite.root.version:
        raise Untrusted("wrong-root", "cannot use the invite: its root has another version")
    return checked


def check_invite(envelope: Envelope, root: CheckedRoot) -> Verified[Invite]:
    """The signatures of an invite, by the threshold of `targets` under `root`.

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `auth`, `wrong-type`.
    """
    keys, threshold = keys_of(root.root, TARGETS)
    verified = verify(envelope, INVITE, keys, threshold, what="the invite")
    return seal(_peek(envelope), verified.by)


def check_not_revoked(invite: Invite, fleet: FleetDocument) -> None:
    """Raises Refused `invite-revoked` if the owner took it back."""
    if invite.id in fleet.revoked_invites:
        raise Refused("invite-revoked", f"cannot use the invite {invite.id}: the owner revoked it")


def invite_floors(invite: Invite, anchor: Anchor, build_time: datetime) -> Floors:
    """The floors that a device begins with: what the owner's machine had verified.

    Raises:
        Untrusted: `wrong-fleet` if the root is another fleet's first.
    """
    floors = first_floors(anchor, build_time)
    if invite.trust.number:
        floors = floors.with_trust(invite.trust.number, invite.trust.digest)
    snapshot = {} if invite.floors.snapshot is None else {"snapshot": invite.floors.snapshot}
    for role, version in invite.floors.roles.items():
        floors = floors.raised(role, version, snapshot.get(role, ""))
    known = {role: digest for role, digest in floors.digests.items() if digest}
    return Floors(
        fleet=floors.fleet,
        root_version=floors.root_version,
        root_digest=floors.root_digest,
        time=max(build_time, parse_instant(invite.floors.time)),
        trust_number=floors.trust_number,
        trust_digest=floors.trust_digest,
        roles=floors.roles,
        digests=known,
        logs=invite.floors.log,
    )


def _peek(envelope: Envelope) -> Invite:
    """The invite inside, read and checked for form; its signature is the caller's business."""
    invite = decode(payload_of(envelope), Invite, cap=ENVELOPE_CAP, what="the invite")
    parse_fleet(invite.fleet)
    parse_name(invite.id, "an invite's id")
    for group in invite.groups:
        parse_group(group)
    numbers = [invite.root.version, *invite.floors.roles.values()]
    if any(not 0 < number <= MAX_VERSION for number in numbers) or invite.uses < 1:
        raise InvalidInput("bad-document", "cannot read the invite: a number is out of range")
    if not 0 <= invite.trust.number <= MAX_VERSION:
        raise InvalidInput("bad-document", "cannot read the invite: a number is out of range")
    if invite.floors.snapshot is not None:
        parse_digest(invite.floors.snapshot)
    if invite.trust.number:
        parse_digest(invite.trust.digest)
    return invite


def _newest_statement(invite: Invite, statements: Sequence[bytes]) -> bytes | None:
    """The statement that the invite names, if it is among those at hand."""
    if not invite.trust.number or not statements:
        return None
    newest = statements[-1]
    read_pinned(newest, parse_fleet(invite.fleet), invite.trust.number, invite.trust.digest)
    return newest


def _signer(secret: str) -> CryptoSigner:
    try:
        private = Ed25519PrivateKey.from_private_bytes(_unbase64(secret))
    except ValueError as error:
        raise InvalidInput("bad-document", "cannot read the invite's secret") from error
    return CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InvalidInput("bad-document", f"cannot read base64: {error}") from error
