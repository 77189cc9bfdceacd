"""Who is calling, and what they may do: a device's read token, a person's key, or an API token."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from allod import durable
from allod.domain.ids import DeviceId
from allod.errors import Refused, Untrusted
from allod.server.ports import Clock
from allod.server.registry.ports import Action, Caller
from allod.server.services.api_tokens import ApiTokens
from allod.server.services.fleets import Fleets, FleetState
from allod.server.services.read_tokens import ReadTokens, is_read_token, unauthenticated
from allod.wire.api import ENROLMENT_HEADER
from allod.wire.httpsig import MAX_AGE_SECONDS, MAX_SKEW_SECONDS, read_request, verify_request
from allod.wire.trust import Person

PULL, READ, PUSH, PUBLISH, ADMIN = "pull", "read", "push", "publish", "admin"
PROPOSE: Final = "propose"  #: and say what one thinks of proposals
ORDER: Final = "order"  #: upload files, which carry their own signatures

#: What each role of a person may do; a device may only pull.
_PERSON: Final = {
    "admin": frozenset({PULL, READ, PUSH, PROPOSE, ORDER, PUBLISH, ADMIN}),
    "publish": frozenset({PULL, READ, PUSH, PROPOSE, ORDER, PUBLISH}),
    "read": frozenset({PULL, READ}),
    "approver": frozenset({PULL, READ, PROPOSE}),
}
#: What a delegate may do: the files of their own role, and no more of what a publisher may.
_DELEGATE: Final = frozenset({PULL, READ, PUSH, PROPOSE, ORDER})
#: What each scope of a token includes.
_TOKEN: Final = {
    "read": frozenset({PULL, READ}),
    "push": frozenset({PULL, PUSH}),
    "publish": frozenset({PULL, READ, PUSH, PROPOSE, ORDER, PUBLISH}),
    "admin": frozenset({PULL, READ, PUSH, PROPOSE, ORDER, PUBLISH, ADMIN}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who proved who they are."""

    kind: str  #: device, person, token or anybody
    name: str
    may: frozenset[str]
    fleet: str
    body_digest: bytes | None = None  #: SHA-256 that the body must have, if they signed it
    device: DeviceId | None = None
    delegation: str | None = None  #: whose delegate it is

    @property
    def subject(self) -> str:
        """Who it is, in the fleet's words."""
        return f"{self.kind} {self.name}".rstrip()

    def need(self, what: str) -> None:
        """Raises Refused `forbidden`."""
        if what not in self.may:
            raise Refused(
                "forbidden",
                f"cannot let {self.kind} {self.name} do this: it needs the right to {what}",
            )


class Nonces:
    """Remembers the nonces of signed requests for as long as their signatures count.

    Those of requests that change something are durable, so that a restart forgets none of them.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}
        self._next_sweep = 0.0
        lines = path.read_text("ascii", "replace").splitlines() if path.is_file() else ()
        for line in lines:
            nonce, _, created = line.rpartition(" ")
            if created.isdecimal():
                self._seen[nonce] = int(created)
        self._sweep()

    def use(self, key_id: str, nonce: str, created: int, *, keep: bool) -> None:
        """Use a nonce up. Raises Untrusted `replayed`."""
        name = f"{key_id}:{nonce}"
        with self._lock:
            if name in self._seen:
                raise Untrusted("replayed", "cannot accept the request: it was sent before")
            if self._clock.seconds() > self._next_sweep:
                self._sweep()
            self._seen[name] = created
            if keep:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                fd = os.open(self._path, flags, 0o600)
                try:
                    os.write(fd, f"{name} {created}\n".encode("ascii", "replace"))
                    os.fsync(fd)
                finally:
                    os.close(fd)

    def _sweep(self) -> None:
        now = self._clock.seconds()
        oldest = now - MAX_AGE_SECONDS - MAX_SKEW_SECONDS
        self._seen = {name: created for name, created in self._seen.items() if created > oldest}
        self._next_sweep = now + MAX_AGE_SECONDS
        # What counts no more leaves the file too; else it would grow for as long as the server runs.
        lines = "".join(f"{nonce} {created}\n" for nonce, created in self._seen.items())
        durable.write_atomic(self._path, lines.encode("ascii", "replace"))


class Access:
    """Identifies callers; also the registry's gate."""

    def __init__(
        self,
        fleets: Fleets,
        read_tokens: ReadTokens,
        api_tokens: ApiTokens,
        nonces: Nonces,
        clock: Clock,
        enrolment: str | None = None,
    ) -> None:
        self._fleets = fleets
        self._read_tokens = read_tokens
        self._api_tokens = api_tokens
        self._nonces = nonces
        self._clock = clock
        self._enrolment = enrolment

    def identify(self, fleet: str | None, caller: Caller) -> Principal:
        """Who it is, for a fleet, or for any that knows them.

        Raises:
            Untrusted: `unauthenticated`, `bad-signature`, `signature-too-old`, `replayed`.
        """
        if "signature-input" in caller.headers:
            return self._signed(fleet, caller)
        operator = caller.headers.get(ENROLMENT_HEADER)
        if operator is not None and fleet is not None:
            return self._operator(fleet, operator)
        secret = _secret(caller.headers.get("authorization", ""))
        if secret is None:
            state = None if fleet is None else self._fleets.get(fleet)
            if state is not None and state.document.public:
                return Principal("anybody", "", frozenset({PULL}), state.fleet)
            raise unauthenticated("sign the request, or bring a token")
        return self._token(fleet, secret)

    def _operator(self, fleet: str, secret: str) -> Principal:
        """Whoever has the server's own secret, without a key that the fleet knows.

        An owner who lost all keys but the one on paper comes so (attack 63). It gives no
        authority: what they bring has to carry the owner's signatures like everything else.
        """
        known = self._enrolment
        if known is None or not hmac.compare_digest(secret.encode(), known.encode()):
            raise unauthenticated("the enrolment secret is not the one in the server's offer.json")
        self._fleets.need(fleet)
        return Principal("operator", "", frozenset({PULL, READ, ORDER, PUBLISH}), fleet)

    def _token(self, fleet: str | None, secret: str) -> Principal:
        if is_read_token(secret):
            grant = self._read_tokens.check(secret)
            state = self._fleets.get(grant.fleet)
            if (fleet is not None and grant.fleet != fleet) or state is None:
                raise unauthenticated("the token is another fleet's")
            if grant.device in state.retired:
                raise unauthenticated("the device was retired by its owner")
            return Principal(
                "device", grant.device, frozenset({PULL}), grant.fleet, device=grant.device
            )
        for state in self._candidates(fleet):
            token = self._api_tokens.check(state.fleet, secret)
            if token is not None:
                may = frozenset().union(*(_TOKEN.get(scope, frozenset()) for scope in token.scopes))
                return Principal("token", token.name, may, state.fleet)
        raise unauthenticated("the token is unknown, expired or revoked")

    def _candidates(self, fleet: str | None) -> tuple[FleetState, ...]:
        if fleet is None:
            return self._fleets.all()
        state = self._fleets.get(fleet)
        return () if state is None else (state,)

    def _signed(self, fleet: str | None, caller: Caller) -> Principal:
        request = read_request(caller.method, caller.path, caller.query, caller.headers)
        for state in self._candidates(fleet):
            person: Person | None = state.people.get(request.key_id)
            if person is None:
                continue
            verify_request(request, person.key, int(self._clock.seconds()))
            changes = caller.method not in {"GET", "HEAD"}
            self._nonces.use(request.key_id, request.nonce, request.created, keep=changes)
            delegation = state.delegation_of(person)
            may = _PERSON[person.role] if delegation is None else _DELEGATE
            return Principal(
                "person",
                person.name,
                may,
                state.fleet,
                request.body_digest,
                delegation=delegation,
            )
        raise unauthenticated("the key that signed is not one of the fleet's people")

    def admit(self, fleet: str | None, action: Action, caller: Caller) -> bytes | None:
        """The registry's gate: see `allod.server.registry.ports.Gate`."""
        principal = self.identify(fleet, caller)
        principal.need(PUSH if action is Action.PUSH else PULL)
        return principal.body_digest


def _secret(authorization: str) -> str | None:
    """The token of a Bearer header, or the password of a Basic one."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer" and value:
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError) as error:
            raise unauthenticated("the Authorization header can't be read") from error
    return None
