"""The read token: what a fleet runs is nobody else's business (docs/spec/transport.md).

A device gets one by signing the server's challenge, inside a statement that says what it is
(attack 59). It lies in the state directory, where the supervisor reads it for its polls; the
worker renews it when a server says 401. It carries no authority but to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from allod import durable
from allod.agent.transport_http import ANSWER_CAP, Answer, HttpSource
from allod.domain.ids import DeviceId, FleetId
from allod.errors import AllodError, InvalidInput, Unavailable
from allod.wire.binding import ReadToken, TokenRequest
from allod.wire.codec import decode, encode, parse_strict
from allod.wire.envelope import TOKEN_REQUEST

if TYPE_CHECKING:
    from allod.agent.ports import IdentityKey

_CHALLENGE_CAP: Final = 4096
_CHALLENGE_LENGTH: Final = 1024


@dataclass(frozen=True, slots=True)
class Tokens:
    """Keeps and renews the token of one device."""

    file: Path
    fleet: FleetId
    device: DeviceId
    epoch: int
    key: IdentityKey

    def current(self) -> str | None:
        """The token that was given last."""
        try:
            return decode(self.file.read_bytes(), ReadToken, cap=ANSWER_CAP).token
        except (OSError, InvalidInput):
            return None

    def renew(self, source: HttpSource) -> None:
        """Answer the source's challenge and keep the token that it gives.

        Raises:
            Unavailable: `no-token`; the server does not know the device (yet), or is not there.
        """
        base = f"f/{self.fleet}/devices/{self.device}"
        answer = source.request("GET", f"{base}/challenge", {}, cap=_CHALLENGE_CAP)
        if answer.status != HTTPStatus.OK:
            raise self._none(source, answer)
        request = TokenRequest(
            fleet=self.fleet,
            device=self.device,
            epoch=self.epoch,
            challenge=self._challenge(answer.body),
        )
        body = self.key.sign_envelope(TOKEN_REQUEST, encode(request))
        headers = {"Content-Type": "application/json"}
        answer = source.request("POST", f"{base}/token", headers, cap=ANSWER_CAP, body=body)
        if answer.status not in {200, 201}:
            raise self._none(source, answer)
        try:
            token = decode(answer.body, ReadToken, cap=ANSWER_CAP, what="the server's token")
            if not token.token.isascii() or not token.token.isprintable():
                raise InvalidInput("bad-document", "cannot send such a token")
        except AllodError as error:
            raise Unavailable("no-token", f"cannot use the token of {source.url}") from error
        durable.write_atomic(self.file, encode(token))

    def _challenge(self, body: bytes) -> str:
        try:
            given = parse_strict(body, cap=_CHALLENGE_CAP)
        except InvalidInput:
            given = None
        challenge = given.get("challenge") if isinstance(given, dict) else None
        if not isinstance(challenge, str) or len(challenge) > _CHALLENGE_LENGTH:
            raise Unavailable("no-token", "cannot answer the server's challenge: it is malformed")
        return challenge

    def _none(self, source: HttpSource, answer: Answer) -> Unavailable:
        return Unavailable(
            "no-token",
            f"cannot get a read token from {source.url}: {answer.problem()[1]}; "
            "has the device been admitted? ('allod device list')",
            status=answer.status,
            says=answer.problem()[0],
        )
