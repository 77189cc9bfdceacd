"""`allod restart`, `allod hold` and `allod resume`: when devices restart, and when nothing changes."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from allod.cli.options import OPTIONS, Options
from allod.cli.options import now as clock
from allod.cli.phrases import parse_moment, parse_span
from allod.cli.picture import Picture
from allod.cli.publish import INTENT, Change, Intent, publish_and_say
from allod.domain import edit
from allod.domain.desired import Restart, StateDocument
from allod.domain.ids import parse_name
from allod.errors import InvalidInput

_GRACE: Final = timedelta(hours=1)


def restart(
    scope: str,
    *,
    at: str | None = None,
    latest: str | None = None,
    cancel: str | None = None,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Schedule one restart of the devices of a group, or of a device; it is never repeated.

    Args:
        scope: A group's name, or a device's label or the beginning of its id.
        at: now, +2h, 02:00, '2026-05-01 02:00' or 2026-05-01T02:00:00Z.
        latest: When it is too late, likewise or as a span like 30m; an hour after --at unless given.
        cancel: Instead: call off the restart with this id.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    if (at is None) == (cancel is None):
        raise InvalidInput("bad-arguments", "cannot tell what to do: give --at TIME or --cancel ID")
    if cancel is not None:
        known = parse_name(cancel, "a restart's id")
        publish_and_say(
            options,
            intent,
            lambda picture: _edited(picture, scope, lambda d: edit.cancel_restart(d, known)),
        )
        return
    start = parse_moment(at or "", clock())
    end = start + _GRACE if latest is None else _end(latest, start)
    wanted = Restart(f"r{start:%Y%m%d-%H%M}-{secrets.token_hex(3)}", start, end)
    publish_and_say(
        options,
        intent,
        lambda picture: _edited(picture, scope, lambda d: edit.restart(d, wanted, picture.now)),
    )


def _end(text: str, start: datetime) -> datetime:
    try:
        return start + parse_span(text)
    except InvalidInput:
        return parse_moment(text, start)


def hold(scope: str, *, why: str, intent: Intent = INTENT, options: Options = OPTIONS) -> None:
    """Let nothing change on a group or a device until it is resumed.

    Args:
        scope: A group's name, or a device's label or the beginning of its id.
        why: What the devices and everybody else are told.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    publish_and_say(
        options, intent, lambda picture: _edited(picture, scope, lambda d: edit.hold(d, why))
    )


def resume(scope: str, *, intent: Intent = INTENT, options: Options = OPTIONS) -> None:
    """End a hold.

    Args:
        scope: A group's name, or a device's label or the beginning of its id.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    publish_and_say(options, intent, lambda picture: _edited(picture, scope, edit.resume))


def _edited(
    picture: Picture, scope: str, change: Callable[[StateDocument], StateDocument]
) -> Change:
    place = picture.scope(scope)
    return Change({place: change(picture.document(place))})
