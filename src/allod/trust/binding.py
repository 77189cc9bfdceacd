"""Binding records: a device took an invite, and both keys say so (docs/spec/binding.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from securesystemslib.signer import Signer

from allod.domain.ids import DeviceId, parse_fleet
from allod.errors import InvalidInput, Untrusted
from allod.trust.dsse import make_envelope, payload_of, verify, verify_envelope
from allod.trust.invite import OpenedInvite, check_invite, check_invite_root
from allod.trust.keys import device_id, from_key, to_key
from allod.trust.metadata import MAX_VERSION
from allod.trust.verified import Verified, seal
from allod.wire.binding import BindingFile, BindingRecord, Invite, TokenRequest
from allod.wire.codec import decode, encode, instant, parse_instant
from allod.wire.envelope import BINDING, ENVELOPE_CAP, TOKEN_REQUEST, PublicKey
from allod.wire.proposed import ProposedDelegation, check_proposed

BINDING_CAP: Final = 4 * 1024 * 1024
TOKEN_REQUEST_CAP: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Binding:
    """A record that holds, and the invite that it rests on."""

    record: BindingRecord
    invite: Invite
    device: DeviceId


def make_binding(
    opened: OpenedInvite,
    device: Signer,
    *,
    epoch: int,
    at: datetime,
    facts: Mapping[str, str],
    agent: str,
    proposes: ProposedDelegation | None = None,
) -> bytes:
    """The binding file, signed by the invite's secret and by the device's own key."""
    key = from_key(device.public_key)
    record = BindingRecord(
        fleet=opened.anchor.fleet,
        invite=opened.invite.id,
        device=device_id(key),
        epoch=epoch,
        key=key,
        at=instant(at),
        facts=dict(facts),
        agent=agent,
        proposes=proposes,
    )
    envelope = make_envelope(encode(record), BINDING, [opened.signer, device])
    return encode(BindingFile(invite=opened.envelope, record=envelope))


def verify_binding(data: bytes, roots: Callable[[int], bytes | None]) -> Verified[Binding]:
    """Check a binding file; anyone with the fleet's roots can.

    Whether the invite is expired, revoked or used up is the business of whoever admits
    (`invite.check_not_revoked`, the server's count).

    Args:
        data: the binding file.
        roots: the fleet's root metadata file of a version, if it is acceptable.

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `auth`, `wrong-root`, `wrong-fleet`, `wrong-invite`, `wrong-device`.
    """
    file = decode(data, BindingFile, cap=BINDING_CAP, what="the binding")
    claimed = decode(payload_of(file.invite), Invite, cap=ENVELOPE_CAP, what="the invite")
    root = roots(claimed.root.version)
    if root is None:
        raise Untrusted("wrong-root", "cannot accept the binding: its invite rests on another root")
    invite = check_invite(file.invite, check_invite_root(claimed, root)).value
    record = decode(
        payload_of(file.record), BindingRecord, cap=ENVELOPE_CAP, what="the binding record"
    )
    # Both keys: the invite's, or anybody could bind; the device's own, or anybody could bind
    # somebody else's device.
    keys = [to_key(invite.key), to_key(record.key)]
    verified = verify(file.record, BINDING, keys, 2, what="the binding record")
    if record.fleet != invite.fleet:
        raise Untrusted(
            "wrong-fleet", "cannot accept the binding: record and invite differ in fleet"
        )
    if record.invite != invite.id:
        raise Untrusted(
            "wrong-invite", "cannot accept the binding: the record names another invite"
        )
    device = device_id(record.key)
    if record.device != device:
        raise Untrusted(
            "wrong-device", "cannot accept the binding: the id is not of the device's key"
        )
    if not 0 < record.epoch <= MAX_VERSION:
        raise InvalidInput("bad-document", "cannot read the binding: its epoch is out of range")
    if record.proposes is not None:
        check_proposed(record.proposes)
    parse_fleet(record.fleet)
    parse_instant(record.at, what="the time of a binding")
    return seal(Binding(record, invite, device), verified.by)


def make_token_request(device: Signer, *, fleet: str, epoch: int, challenge: str) -> bytes:
    """The device's answer to the server's challenge, as a statement of its own type (59)."""
    request = TokenRequest(
        fleet=fleet, device=device_id(from_key(device.public_key)), epoch=epoch, challenge=challenge
    )
    return encode(make_envelope(encode(request), TOKEN_REQUEST, [device]))


def verify_token_request(
    raw: bytes, key: PublicKey, *, fleet: str, epoch: int, challenge: str
) -> Verified[TokenRequest]:
    """Check that the bound device answered exactly this challenge.

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `auth`, `wrong-type`, `wrong-fleet`, `wrong-device`, `wrong-challenge`.
    """
    what = "the token request"
    verified = verify_envelope(raw, TOKEN_REQUEST, [to_key(key)], 1, TOKEN_REQUEST_CAP, what=what)
    request = decode(verified.value, TokenRequest, cap=TOKEN_REQUEST_CAP, what=what)
    if request.fleet != fleet:
        raise Untrusted("wrong-fleet", f"cannot accept {what}: it is for another fleet")
    if (request.device, request.epoch) != (device_id(key), epoch):
        raise Untrusted("wrong-device", f"cannot accept {what}: it is of another device or binding")
    if request.challenge != challenge:
        raise Untrusted("wrong-challenge", f"cannot accept {what}: it answers another challenge")
    return seal(request, verified.by)
