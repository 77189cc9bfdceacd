"""`allod history`, `allod show` and `allod undo`: what was changed, by whom, and back again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from allod.cli.approving import approved_lines
from allod.cli.changes import change_data
from allod.cli.contents import fetch_configuration, with_contents
from allod.cli.options import OPTIONS, Options
from allod.cli.picture import Picture, take
from allod.cli.publish import INTENT, Change, Intent, publish_and_say
from allod.cli.scopes import show_scope
from allod.domain.desired import OWNER
from allod.domain.difference import NOTE
from allod.domain.ids import Purl, Scope, is_pattern, pattern_covers
from allod.domain.takeback import undo as take_out
from allod.errors import InvalidInput

if TYPE_CHECKING:
    from allod.cli.past import Past, PastChange
    from allod.domain.desired import StateDocument


def history(*, scope: str | None = None, options: Options = OPTIONS) -> None:
    """Show what was changed, newest last; from the signed files, not from the server's word.

    Args:
        scope: Only what touched this group or device.
        options: Options of every verb.
    """
    from allod.cli.past import Past
    from allod.cli.status import changes_of

    picture = take(options.open(), reading=True)
    place = None if scope is None else picture.scope(scope)
    past = Past(picture)
    found = [
        one
        for one in past.changes
        if place is None or any(touch.scope == place for touch in one.touches)
    ]
    how = {id(one.change): one for one in changes_of(picture, found)}
    rows = [
        (
            "" if one.number is None else str(one.number),
            one.text("at"),
            one.text("by") + ("" if one.author == OWNER else f" (delegation {one.author})"),
            how[id(one)].force_says,
            how[id(one)].seen_says,
            _what(one, picture),
            one.text("message") + (f" [{one.text('ticket')}]" if one.text("ticket") else ""),
        )
        for one in found
    ]
    data = {
        "changes": [{**change_data(one), **how[id(one)].data()} for one in found],
        "missing": past.missing,
    }
    columns = ("change", "at", "by", "state", "seen", "touches", "message")
    options.output.table(data, columns, rows, empty="No changes yet.")
    for name in past.missing:
        options.output.say(f"! The server lacks {name}: what it changed cannot be shown.")


def _what(change: PastChange, picture: Picture) -> str:
    names = []
    for touch in change.touches:
        scope = touch.scope
        names.append(touch.path if scope is None else show_scope(scope, picture.devices))
    if not names:
        return "signatures"
    return ", ".join(dict.fromkeys(names))


def show(number: int, *, options: Options = OPTIONS) -> None:
    """Show what one change changed.

    Args:
        number: Of the change, from 'allod history'.
        options: Options of every verb.
    """
    from allod.cli.past import Past
    from allod.cli.status import changes_of

    picture = take(options.open(), reading=True)
    past = Past(picture)
    change = past.change(number)
    (standing,) = changes_of(picture, [change])
    reading = with_contents(
        past.reading(change), partial(fetch_configuration, picture.fleet.client)
    )
    found = [one for one in reading.differences if one.what != NOTE]
    approved = list(approved_lines(picture.base.fleet_document, reading))
    data = {
        **change_data(change),
        **standing.data(),
        "approved": approved,
        "differences": [
            {
                "subject": one.subject,
                "what": one.what,
                "package": one.package,
                "before": one.before,
                "after": one.after,
                "says": one.says,
            }
            for one in found
        ],
    }
    head = f"Change {number} at {change.text('at')} by {change.text('by') or 'somebody'}"
    head += "" if change.author == OWNER else f", as the delegation {change.author}"
    lines = [head + (f": {change.text('message')}" if change.text("message") else "")]
    lines.append(f"  {standing.force_says}, seen by {standing.seen_says} devices")
    lines += [f"  {one.subject}: {one.says}" for one in found]
    lines += [f"  {one}" for one in approved]
    options.output.result(data, "\n".join(lines))


def undo(
    number: int,
    *,
    override: tuple[str, ...] = (),
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Want software and configuration as they were before a change; later changes stay.

    Args:
        number: Of the change, from 'allod history'.
        override: A term that does not count for this change, like window; several times.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    if not intent.message:
        intent = replace(intent, message=f"undo {number}")

    def plan(picture: Picture) -> Change:
        from allod.cli.past import Past

        return _overriding(picture, without(Past(picture), number), override)

    publish_and_say(options, intent, plan)


def _overriding(picture: Picture, change: Change, names: tuple[str, ...]) -> Change:
    """The change with these terms set aside for each package that it touches."""
    from allod.cli.deploy import overridden

    states = dict(change.states)
    for scope, document in change.states.items() if names else ():
        known = picture.document(scope).packages
        for key, entry in document.packages.items():
            if known.get(key) != entry:
                states[scope] = overridden(picture, states[scope], Purl(key), names)
    return replace(change, states=states)


def without(past: Past, number: int) -> Change:
    """The present documents with one change taken out of them.

    Raises:
        InvalidInput: `unknown-change`, `nothing-to-undo`, `unknown-delegation`.
    """
    picture = past.picture
    states, remarks = {}, []
    for touch in past.change(number).touches:
        scope = touch.scope
        after = past.document(touch, touch.after)
        if touch.author != picture.author and scope is not None:
            remarks.append(f"! {touch.path} is not taken back: {touch.author} decides on it.")
            continue
        if scope is None or after is None:
            remarks.append(f"! {touch.path} is not taken back: it is no software or configuration.")
            continue
        current = picture.base.by(picture.author, scope)
        undone = take_out(
            after if current is None else current,
            past.document(touch, touch.before),
            after,
            named_elsewhere=_elsewhere(picture, scope),
        )
        _check_managers(picture, number, current, undone.document)
        states[scope] = undone.document
        remarks += [
            f"! Later changes touched {part} as well: it goes back to before change {number}."
            for part in undone.overlaps
        ]
        remarks += [f"! {said}." for said in undone.happened]
    if not states:
        raise InvalidInput(
            "nothing-to-undo",
            f"cannot undo change {number}: it touched no software, configuration or settings",
        )
    return Change(states, remarks=tuple(remarks))


def _check_managers(
    picture: Picture, number: int, now: StateDocument | None, undone: StateDocument
) -> None:
    """A delegation that is over is not given its packages back: nobody could decide on them."""
    had = {} if now is None else now.packages
    for key, entry in undone.packages.items():
        managers = {half.manager for half in (entry.software, entry.configuration) if half}
        gone = sorted(managers - {OWNER} - picture.base.delegations.keys())
        if gone and entry != had.get(key):
            raise InvalidInput(
                "unknown-delegation",
                f"cannot undo change {number}: the delegation {gone[0]}, which decided on {key} "
                "before, is over; grant another one ('allod delegate grant')",
            )


def _elsewhere(picture: Picture, scope: Scope) -> frozenset[str]:
    """The packages that other scopes of the same devices name as well."""
    members = [member for member in picture.devices if scope in member.scopes]
    others = {one for member in members for one in member.scopes if one != scope}
    keys = {
        key
        for other in others
        if (document := picture.base.states.get(other)) is not None
        for key in document.packages
    }
    patterns = [key for key in keys if is_pattern(key)]
    here = picture.base.states.get(scope)
    covered = {
        package
        for package in (here.packages if here is not None else ())
        if any(pattern_covers(pattern, Purl(package)) for pattern in patterns)
    }
    return frozenset(keys | covered)
