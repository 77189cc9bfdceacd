"""`allod token`: named tokens of the server's API, for programs."""

from __future__ import annotations

from typing import Literal

from cyclopts import App

from allod.cli.options import OPTIONS, Options
from allod.domain.ids import parse_name
from allod.errors import InvalidInput

app = App(name="token", help="Named tokens for programs.")

Right = Literal["read", "publish", "push", "admin"]


@app.command
def create(name: str, *rights: Right, days: int = 90, options: Options = OPTIONS) -> None:
    """Make a token; its secret is shown once.

    Args:
        name: What it is for.
        rights: What it may do; read, unless said otherwise.
        days: How long it is good.
        options: Options of every verb.
    """
    from allod.wire.api import NewToken, TokenCreated

    if not 1 <= days <= 3650:  # noqa: PLR2004
        raise InvalidInput("bad-time", "cannot make a token: --days is 1 to 3650")
    wanted = NewToken(name=parse_name(name), scopes=sorted(set(rights)) or ["read"], days=days)
    made = options.open().client.post("tokens", wanted, TokenCreated)
    options.output.result(made, made.token)
    if not options.json:
        options.output.say(f"{made.info.name} ({made.info.id}) is good until {made.info.expires}.")


@app.command(name="list")
def list_(*, options: Options = OPTIONS) -> None:
    """Show the tokens, without their secrets."""
    from allod.wire.api import TokenList

    found = options.open().client.get("tokens", TokenList)
    rows = [
        (token.name, token.id, ", ".join(token.scopes), token.created, token.expires)
        for token in found.tokens
    ]
    options.output.table(found, ("name", "id", "may", "made", "expires"), rows, empty="No tokens.")


@app.command
def revoke(token: str, *, options: Options = OPTIONS) -> None:
    """Make a token void.

    Args:
        token: Its id.
        options: Options of every verb.
    """
    options.open().client.delete(f"tokens/{parse_name(token, 'a token')}")
    options.output.result({"revoked": token}, f"{token} is void.")
