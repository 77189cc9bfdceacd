"""`allod trust log`: let the fleet have logs, or let a successor follow one that was lost.

A log that was lost, that came back from a backup or whose key is another is never gone on with:
it could fork. The root names a successor; it begins with an entry for every role as it stands.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from cyclopts import App

from allod.cli.options import OPTIONS, Options, Sure
from allod.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet
    from allod.wire.envelope import PublicKey
    from allod.wire.trust import Log

app = App(name="log", help="The fleet's transparency logs.")

_BOTH: Final = ("authority", "activity")


@app.command
def begin(
    *,
    server_offer: Path | None = None,
    proposal: Path | None = None,
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Let a fleet that has no logs have both. Devices go over to them without a stop.

    Args:
        server_offer: The server's offer, which has the key of its logs; the one in the directory
            of the server that was made here, unless given.
        proposal: Write a proposal for a ceremony instead of signing here.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.named_logs import first_logs
    from allod.cli.refresh import refresh

    fleet = options.open()
    view = refresh(fleet, allow_expired=True)
    statement = view.repository.statement
    if statement is not None and statement.logs:
        raise Conflict(
            "log-exists",
            "cannot begin the fleet's logs: it has them; 'allod trust log succeed' replaces one",
        )
    logs = first_logs(fleet.id, offered_key(fleet, server_offer))
    _name(options, fleet, logs, proposal=proposal, yes=yes)


@app.command
def succeed(
    which: Literal["authority", "activity", "both"] = "both",
    *,
    server_offer: Path | None = None,
    proposal: Path | None = None,
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Let a successor follow a log: after it was lost or restored, or for a new key.

    Args:
        which: The log.
        server_offer: The server's offer, which has the key of its logs; the one in the directory
            of the server that was made here, unless given.
        proposal: Write a proposal for a ceremony instead of signing here.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.mending import view_to_mend
    from allod.cli.named_logs import followed

    fleet = options.open()
    statement = view_to_mend(fleet, options).repository.statement
    if statement is None:
        raise InvalidInput(
            "no-log", "cannot let a log succeed: the fleet has none; run 'allod trust log begin'"
        )
    names = _BOTH if which == "both" else (which,)
    logs = followed(statement, names, offered_key(fleet, server_offer))
    _name(options, fleet, logs, proposal=proposal, yes=yes)


def offered_key(fleet: LocalFleet, offer: Path | None) -> PublicKey:
    """The key of the server's logs.

    Raises:
        InvalidInput: `no-offer`, `no-log`.
    """
    from allod.cli.publishing import read_offer

    place = fleet.settings.server_directory
    if offer is None and place is None:
        raise InvalidInput(
            "bad-arguments",
            "cannot tell the key of the server's logs: give the offer.json in the server's "
            "directory as --server-offer",
        )
    key = read_offer(offer or Path(place or "") / "offer.json").log
    if key is None:
        raise InvalidInput(
            "no-log",
            "cannot name the server's logs: it has no key for one; run 'allod server init' on its "
            "directory again, and start it anew",
        )
    return key


def _name(
    options: Options, fleet: LocalFleet, logs: list[Log], *, proposal: Path | None, yes: bool
) -> None:
    from allod.cli.mending import view_to_mend
    from allod.cli.options import now
    from allod.cli.proposing import Logging, propose_trust
    from allod.cli.publishing import carry_out

    view = view_to_mend(fleet, options, tell=False)
    statement = view.repository.statement
    witnesses = None if statement is None else statement.witnesses
    made = propose_trust(view, at=now(), logging=Logging(logs, witnesses))
    carry_out(view, made, out=proposal, yes=yes, options=options)
