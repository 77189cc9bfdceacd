"""`allod trust witness`: who has to vouch that the fleet's logs only grow, and how many of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from cyclopts import App

from allod.cli.options import OPTIONS, Options, Sure, ask_witness
from allod.errors import InvalidInput

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet
    from allod.cli.proposing import Logging
    from allod.wire.trust import TrustStatement, Witnesses

app = App(name="witness", help="Who has to vouch for the fleet's logs.")


@app.command
def add(
    key: str,
    *,
    url: str | None = None,
    quorum: int | None = None,
    proposal: Path | None = None,
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Name a witness. Devices go on only while enough of those named have vouched.

    Args:
        key: Its key, as 'allod witness init' prints it; or KEY=URL.
        url: Where the server asks it.
        quorum: So many witnesses have to vouch from now on; as many as before, unless given.
        proposal: Write a proposal for a ceremony instead of signing here.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.named_logs import parse_witness, with_witness

    given = parse_witness(key if url is None else f"{key}={url}")
    fleet = options.open()
    for log in _logs(fleet):
        options.output.say(f"On the witness: allod witness add-log DIRECTORY {log}")
    if given.url:
        # First: it can cosign as soon as it is named.
        elsewhere = ask_witness(_server(fleet), str(given.key), given.url)
        if elsewhere:
            options.output.say(elsewhere)

    def edit(terms: Witnesses | None) -> Witnesses | None:
        made = with_witness(terms, given.key)
        return made if quorum is None else msgspec.structs.replace(made, quorum=quorum)

    _change(fleet, edit, options, proposal=proposal, yes=yes)


@app.command
def remove(
    witness: str, *, proposal: Path | None = None, yes: Sure = False, options: Options = OPTIONS
) -> None:
    """Let a witness no longer vouch.

    Args:
        witness: Its name or key, as 'allod trust show' shows it.
        proposal: Write a proposal for a ceremony instead of signing here.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.named_logs import without_witness

    _change(
        options.open(),
        lambda terms: without_witness(terms, witness),
        options,
        proposal=proposal,
        yes=yes,
    )


@app.command
def quorum(
    number: int, *, proposal: Path | None = None, yes: Sure = False, options: Options = OPTIONS
) -> None:
    """Let so many witnesses have to vouch.

    Args:
        number: From 1 to as many as are named.
        proposal: Write a proposal for a ceremony instead of signing here.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.named_logs import need_terms

    _change(
        options.open(),
        lambda terms: msgspec.structs.replace(need_terms(terms), quorum=number),
        options,
        proposal=proposal,
        yes=yes,
    )


@app.command
def age(
    span: str, *, proposal: Path | None = None, yes: Sure = False, options: Options = OPTIONS
) -> None:
    """Say how long ago witnesses may have vouched: for so long a device can be shown an old truth.

    Args:
        span: Like 1h or 7d.
        proposal: Write a proposal for a ceremony instead of signing here.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.named_logs import age_of, need_terms

    seconds = age_of(span)
    _change(
        options.open(),
        lambda terms: msgspec.structs.replace(need_terms(terms), max_age_seconds=seconds),
        options,
        proposal=proposal,
        yes=yes,
    )


def logging_without(statement: TrustStatement | None, gone: Sequence[str]) -> Logging:
    """The logs as they are, without these witnesses.

    Raises:
        InvalidInput: `not-found`, `which-witness`.
        Refused: `below-quorum`.
    """
    from allod.cli.named_logs import without_witness
    from allod.cli.proposing import Logging

    terms = None if statement is None else statement.witnesses
    for witness in gone:
        terms = without_witness(terms, witness)
    return Logging([] if statement is None else statement.logs, terms)


def _change(
    fleet: LocalFleet,
    edit: Callable[[Witnesses | None], Witnesses | None],
    options: Options,
    *,
    proposal: Path | None,
    yes: bool,
) -> None:
    from allod.cli.mending import view_to_mend
    from allod.cli.named_logs import check_terms
    from allod.cli.options import now
    from allod.cli.proposing import Logging, propose_trust
    from allod.cli.publishing import carry_out

    view = view_to_mend(fleet, options)
    statement = view.repository.statement
    if statement is None or not statement.logs:
        raise InvalidInput(
            "no-log",
            "cannot name witnesses: the fleet has no log; run 'allod trust log begin'",
        )
    terms = edit(statement.witnesses)
    if terms is not None:
        check_terms(terms)
    made = propose_trust(view, at=now(), logging=Logging(statement.logs, terms))
    carry_out(view, made, out=proposal, yes=yes, options=options)


def _logs(fleet: LocalFleet) -> list[str]:
    """The keys of the logs that hold, as this machine knew them last."""
    from allod.cli.log_entries import newest_of, statement_of

    raw = fleet.anchor.trust
    statement = None if raw is None else statement_of(raw)
    newest = (newest_of(statement, name) for name in ("authority", "activity"))
    return [log.key for log in newest if log is not None]


def _server(fleet: LocalFleet) -> Path | None:
    place = fleet.settings.server_directory
    return None if place is None else Path(place)
