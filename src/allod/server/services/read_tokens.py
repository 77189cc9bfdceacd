"""Read tokens: a device proves its key once a day, and reads with a bearer token after that.

Challenge and token are made and checked with secrets alone: the hot path asks no database. Only
which challenges were answered is remembered, for as long as they count: an answer counts once.
They protect confidentiality only; nothing that is read is trusted for them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from allod.domain.ids import DeviceId, FleetId, parse_device
from allod.errors import AllodError, InvalidInput, Refused, Untrusted
from allod.server.ports import Clock, Database, DeviceRow
from allod.server.services.limits import Rate
from allod.trust.dsse import verify_envelope
from allod.trust.keys import to_key
from allod.wire.binding import ReadToken, TokenRequest
from allod.wire.codec import decode, instant
from allod.wire.envelope import TOKEN_REQUEST, PublicKey

REQUEST_CAP: Final = 16 * 1024
_TOKEN: Final = "allod-read"  # noqa: S105 - the kind, no secret
_CHALLENGE: Final = "allod-challenge"
_TOKENS_A_MINUTE: Final = 30


@dataclass(frozen=True, slots=True)
class Grant:
    """What a read token allows."""

    fleet: FleetId
    device: DeviceId
    expires: int  #: seconds since 1970


def unauthenticated(why: str) -> Untrusted:
    """The refusal of a caller who is not known."""
    return Untrusted("unauthenticated", f"cannot answer: {why}")


def _mac(secret: bytes, text: str) -> str:
    digest = hmac.new(secret, text.encode("ascii"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def _seal(secret: bytes, *parts: str) -> str:
    text = ".".join(parts)
    return f"{text}.{_mac(secret, text)}"


def _open(secret: bytes, sealed: str, kind: str, parts: int) -> list[str]:
    text, _, mac = sealed.rpartition(".")
    found = text.split(".")
    if not sealed.isascii() or len(found) != parts or found[0] != kind:
        raise unauthenticated(f"this is no {kind} of this server")
    if not hmac.compare_digest(_mac(secret, text), mac):
        raise unauthenticated(f"this {kind} was not made by this server, or was altered")
    return found


class ReadTokens:
    """Makes and checks challenges and read tokens.

    Args:
        database: says which key a device has, and whether it may read.
        clock: the server's.
        token_secret: makes tokens; whoever has it can read, and do nothing else.
        challenge_secret: makes challenges.
        token_seconds: how long a token counts.
        challenge_seconds: how long a device may take to answer.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        token_secret: bytes,
        challenge_secret: bytes,
        token_seconds: int,
        challenge_seconds: int,
    ) -> None:
        self._database = database
        self._clock = clock
        self._token_secret = token_secret
        self._challenge_secret = challenge_secret
        self._token_seconds = token_seconds
        self._challenge_seconds = challenge_seconds
        self._rate = Rate(clock, _TOKENS_A_MINUTE, "read tokens of a device")
        self._answered = Answered(clock)

    def challenge(self, fleet: FleetId, device: DeviceId) -> str:
        """A challenge for `device`; made for anybody, since it says nothing."""
        expires = int(self._clock.seconds()) + self._challenge_seconds
        nonce = secrets.token_hex(16)
        return _seal(self._challenge_secret, _CHALLENGE, fleet, device, str(expires), nonce)

    def grant(self, fleet: FleetId, device: DeviceId, envelope: bytes) -> ReadToken:
        """Check a signed answer to a challenge and make a token.

        Raises:
            Refused: `unknown-device`, `surplus-device`, `retired-device`, `wrong-epoch`.
            Untrusted: `auth`, `wrong-type`, `wrong-address`, `unauthenticated`, `replayed`.
            InvalidInput: the request can't be read.
            Unavailable: `too-many`.
        """
        row = self._database.device(fleet, device)
        if row is None:
            raise Refused(
                "unknown-device", f"cannot let {device[:12]} read: hand in its binding record"
            )
        key = to_key(decode(row.key.encode(), PublicKey, cap=REQUEST_CAP, what="the device's key"))
        # The type of the payload is signed: a challenge cannot be a report or a statement (59).
        payload = verify_envelope(
            envelope, TOKEN_REQUEST, [key], 1, REQUEST_CAP, what="the token request"
        ).value
        request = decode(payload, TokenRequest, cap=REQUEST_CAP, what="the token request")
        if request.fleet != fleet or request.device != device:
            raise Untrusted(
                "wrong-address", "cannot accept the token request: it is for another device"
            )
        parts = _open(self._challenge_secret, request.challenge, _CHALLENGE, 5)
        if parts[1:3] != [fleet, device] or int(parts[3]) < self._clock.seconds():
            raise unauthenticated("the challenge is old or another device's; ask for a new one")
        _may_read(row, request.epoch)
        self._rate.take(f"{fleet}/{device}")
        self._answered.use(parts[4], int(parts[3]))
        expires = int(self._clock.seconds()) + self._token_seconds
        token = _seal(self._token_secret, _TOKEN, fleet, device, str(expires))
        return ReadToken(token=token, expires=instant(datetime.fromtimestamp(expires, UTC)))

    def check(self, token: str) -> Grant:
        """What a token allows. Raises Untrusted `unauthenticated`."""
        try:
            _, fleet, device, expires = _open(self._token_secret, token, _TOKEN, 4)
        except (ValueError, binascii.Error) as error:
            raise unauthenticated("the token can't be read") from error
        if int(expires) < self._clock.seconds():
            raise unauthenticated("the token has expired; get a new one")
        return Grant(FleetId(fleet), parse_device(device), int(expires))


class Answered:
    """Remembers which challenges were answered, until they count no more."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}
        self._next_sweep = 0.0

    def use(self, nonce: str, expires: int) -> None:
        """Use a challenge up. Raises Untrusted `replayed`."""
        now = self._clock.seconds()
        with self._lock:
            if nonce in self._used:
                raise Untrusted(
                    "replayed", "cannot accept the token request: its challenge was answered before"
                )
            if now > self._next_sweep:
                self._used = {name: end for name, end in self._used.items() if end >= now}
                self._next_sweep = now + 60
            self._used[nonce] = expires


def _may_read(row: DeviceRow, epoch: int) -> None:
    if row.surplus:
        raise Refused(
            "surplus-device",
            f"cannot let {row.device[:12]} read: its invite was used up before; make a new invite",
        )
    if row.status == "retired":
        raise Refused("retired-device", f"cannot let {row.device[:12]} read: its owner retired it")
    if epoch != row.epoch:
        raise Refused(
            "wrong-epoch",
            f"cannot let {row.device[:12]} read: it was bound again since",
            epoch=row.epoch,
        )


def is_read_token(text: str) -> bool:
    """Whether `text` looks like a device's token, and not like one of the API."""
    return text.startswith(_TOKEN + ".")


def device_or_refuse(text: str) -> DeviceId:
    """A device's id out of an address. Raises InvalidInput `not-found`."""
    try:
        return parse_device(text)
    except AllodError as error:
        raise InvalidInput("not-found", "cannot find this device") from error
