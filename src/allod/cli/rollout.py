"""`allod rollout`: how changes that come stage by stage stand, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cyclopts import App

from allod.cli.options import OPTIONS, Options
from allod.cli.output import printable
from allod.cli.picture import Picture, take
from allod.cli.publish import INTENT, Change, Intent, publish_and_say
from allod.cli.rollouts_open import (
    OpenRollout,
    line_of,
    open_rollouts,
    rollout_data,
    server_says,
)
from allod.domain import edit_rollout
from allod.domain.desired import StateDocument
from allod.domain.term_words import describe_stage
from allod.errors import InvalidInput, Refused
from allod.wire.rollout_state import PauseRequest, RolloutState

if TYPE_CHECKING:
    from rich.console import Console

app = App(name="rollout", help="Changes that come to devices stage by stage.")


@app.command(name="list")
def list_(*, options: Options = OPTIONS) -> None:
    """Show the open rollouts: the plans as they were signed, and how the server says they stand.

    Args:
        options: Options of every verb.
    """
    base = take(options.open(), reports=False, reading=True).base
    known = open_rollouts(base)
    states = server_says(base) if known else {}
    rows = [
        (name, one.what, _scopes(one), one.author, *_counts(states.get(name)))
        for name, one in known.items()
    ]
    columns = ("id", "what", "where", "decides", "state", "stages", "has it", "failed")
    data = {"rollouts": [rollout_data(one, states.get(name)) for name, one in known.items()]}
    options.output.table(data, columns, rows, empty="No rollout is open.")


def _scopes(one: OpenRollout) -> str:
    return ", ".join(str(scope) for scope, _, _ in one.entries)


def _counts(state: RolloutState | None) -> tuple[str, str, str, str]:
    if state is None:
        return "unknown", "", "", ""
    opened = [stage for stage in state.stages if stage.opened is not None]
    total = sum(stage.devices for stage in opened)
    return (
        state.state,
        f"{len(opened)} of {len(state.stages)}",
        f"{sum(stage.succeeded for stage in opened)} of {total}",
        str(sum(stage.failed for stage in opened)),
    )


@app.command
def show(name: str, *, options: Options = OPTIONS) -> None:
    """Show one rollout: its plan, and how the server says it stands.

    Args:
        name: Its id.
        options: Options of every verb.
    """
    base = take(options.open(), reports=False, reading=True).base
    one = _known(open_rollouts(base), name)
    state = server_says(base).get(name)
    options.output.result(rollout_data(one, state), lambda console: _print(console, one, state))


def _print(console: Console, one: OpenRollout, state: RolloutState | None) -> None:
    console.print(printable(line_of(one, state)))
    for number, stage in enumerate(one.plan.stages):
        said = f"  stage {number}: {describe_stage(stage)}"
        if state is not None and number < len(state.stages):
            seen = state.stages[number]
            when = "not open" if seen.opened is None else f"open since {seen.opened}"
            said += f"; {when}: {seen.succeeded} of {seen.devices} have it, {seen.failed} failed"
        console.print(printable(said))
    for problem in state.problems if state is not None else ():
        console.print(printable(f"  ! {problem.device[:12]}: {problem.why}"))
    if state is not None and state.state in {"halted", "paused"}:
        console.print(
            f"'allod rollout resume {one.id}' lets it go on; 'allod rollout abort {one.id}' takes "
            "devices back to what was before"
        )


@app.command
def pause(name: str, *, why: str = "", options: Options = OPTIONS) -> None:
    """Let the server open no further stage. Against a server that is not yours to trust, 'allod hold'.

    Args:
        name: Its id.
        why: What for.
        options: Options of every verb.
    """
    _ask(name, "pause", why, options)


@app.command
def resume(name: str, *, why: str = "", options: Options = OPTIONS) -> None:
    """Let a rollout go on that was paused or halted: what failed so far is taken on.

    Args:
        name: Its id.
        why: What for.
        options: Options of every verb.
    """
    _ask(name, "resume", why, options)


def _ask(name: str, what: str, why: str, options: Options) -> None:
    fleet = options.open()
    base = take(fleet, reports=False, reading=True).base
    one = _known(open_rollouts(base), name)
    state = fleet.client.post(f"rollouts/{name}/{what}", PauseRequest(why=why), RolloutState)
    options.output.result(rollout_data(one, state), line_of(one, state))


@app.command
def finish(name: str, *, intent: Intent = INTENT, options: Options = OPTIONS) -> None:
    """Let every device have what comes after, at once; the rollout is over.

    Args:
        name: Its id.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    publish_and_say(options, intent, lambda picture: _ended(picture, name, edit_rollout.finish))


@app.command
def abort(name: str, *, intent: Intent = INTENT, options: Options = OPTIONS) -> None:
    """Take every device back to what was before; the rollout is over.

    Args:
        name: Its id.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    publish_and_say(options, intent, lambda picture: _ended(picture, name, edit_rollout.abort))


def _ended(
    picture: Picture, name: str, end: Callable[[StateDocument, str], StateDocument]
) -> Change:
    one = _known(open_rollouts(picture.base), name)
    if one.author != picture.author:
        raise Refused(
            "owners-word" if one.author == "owner" else "managed-elsewhere",
            f"cannot end the rollout {name} as {picture.author}: {one.author} ordered it",
        )
    return Change({scope: end(picture.document(scope), name) for scope, _, _ in one.entries})


def _known(known: dict[str, OpenRollout], name: str) -> OpenRollout:
    if name not in known:
        raise InvalidInput(
            "unknown-rollout",
            f"cannot find the rollout {name[:80]!r}; open are: {', '.join(known) or 'none'}",
        )
    return known[name]
