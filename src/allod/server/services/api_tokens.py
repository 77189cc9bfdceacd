"""Named, scoped tokens of the administration API, for programs that hold no key.

The file of a token keeps its hash; the secret is shown once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

import structlog

from allod import durable
from allod.domain.ids import FleetId, parse_name
from allod.errors import AllodError, InvalidInput
from allod.server.events import TokenIssued, TokenRevoked
from allod.server.layout import ServerDirectory
from allod.server.ports import Clock, Database
from allod.wire.api import NewToken, TokenCreated, TokenInfo
from allod.wire.codec import Document, decode, encode, instant, parse_instant

_PREFIX: Final = "allod-api."
_MAX_DAYS: Final = 366
_CAP: Final = 16 * 1024
_log = structlog.get_logger("allod.server.tokens")


class TokenFile(Document, frozen=True, kw_only=True):
    """`tokens/<id>.json`."""

    type: Literal["allod.api-token"] = "allod.api-token"
    format: Literal[1] = 1
    id: str
    name: str
    scopes: list[str]
    hash: str
    created: str
    expires: str


def _info(token: TokenIssued) -> TokenInfo:
    return TokenInfo(
        id=token.id,
        name=token.name,
        scopes=list(token.scopes),
        created=instant(token.created),
        expires=instant(token.expires),
    )


def _path(layout: ServerDirectory, fleet: FleetId, token: str) -> Path:
    return layout.fleet(fleet).root / "tokens" / f"{token}.json"


def read_token_files(layout: ServerDirectory, fleet: FleetId) -> Sequence[TokenIssued]:
    """The tokens that the files of a fleet keep."""
    found = []
    for path in sorted((layout.fleet(fleet).root / "tokens").glob("*.json")):
        try:
            found.append(_issued(fleet, path))
        except AllodError as error:
            _log.error("token-left-out", path=str(path), reason=error.message)
    return found


def _issued(fleet: FleetId, path: Path) -> TokenIssued:
    file = decode(path.read_bytes(), TokenFile, cap=_CAP, what=path.name)
    created, expires = parse_instant(file.created), parse_instant(file.expires)
    return TokenIssued(fleet, file.id, file.name, tuple(file.scopes), file.hash, created, expires)


class ApiTokens:
    """Makes, lists, revokes and checks them."""

    def __init__(self, layout: ServerDirectory, database: Database, clock: Clock) -> None:
        self._layout = layout
        self._database = database
        self._clock = clock

    def issue(self, fleet: FleetId, wanted: NewToken) -> TokenCreated:
        """Make a token, durably.

        Raises:
            InvalidInput: `bad-name`, `bad-token`.
        """
        parse_name(wanted.name, "a token's name")
        if not 0 < wanted.days <= _MAX_DAYS or not wanted.scopes:
            raise InvalidInput(
                "bad-token", f"cannot make the token: it needs a scope and 1 to {_MAX_DAYS} days"
            )
        secret = _PREFIX + secrets.token_urlsafe(32)
        created = self._clock.now().replace(microsecond=0)
        token = TokenIssued(
            fleet,
            secrets.token_hex(8),
            wanted.name,
            tuple(dict.fromkeys(wanted.scopes)),
            hashlib.sha256(secret.encode()).hexdigest(),
            created,
            created + timedelta(days=wanted.days),
        )
        path = _path(self._layout, fleet, token.id)
        durable.make_directory(path.parent)
        info = _info(token)
        file = TokenFile(
            id=token.id,
            name=token.name,
            scopes=list(token.scopes),
            hash=token.hash,
            created=info.created,
            expires=info.expires,
        )
        durable.write_atomic(path, encode(file))
        self._database.apply(token)
        return TokenCreated(info=info, token=secret)

    def list(self, fleet: FleetId) -> tuple[TokenInfo, ...]:
        """The tokens of a fleet, without their secrets."""
        return tuple(_info(token) for token in self._database.tokens(fleet))

    def revoke(self, fleet: FleetId, token: str) -> None:
        """Remove a token. Raises InvalidInput `not-found`."""
        if all(known.id != token for known in self._database.tokens(fleet)):
            raise InvalidInput("not-found", f"cannot find the token {token[:32]!r}")
        durable.remove_file(_path(self._layout, fleet, token))
        self._database.apply(TokenRevoked(fleet, token))

    def check(self, fleet: FleetId, secret: str) -> TokenIssued | None:
        """The token of this secret, if it counts for this fleet now."""
        if not secret.startswith(_PREFIX):
            return None
        token = self._database.token(hashlib.sha256(secret.encode()).hexdigest())
        if token is None or token.fleet != fleet or token.expires < self._clock.now():
            return None
        return token
