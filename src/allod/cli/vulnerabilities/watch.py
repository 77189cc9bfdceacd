"""`allod advisories watch`: says each new flaw of what runs once (docs/how-to/vulnerabilities.md)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from allod.cli.options import OPTIONS, Options
from allod.cli.options import now as clock
from allod.cli.phrases import parse_span
from allod.errors import AllodError, InvalidInput
from allod.wire.codec import encode, instant

if TYPE_CHECKING:
    from allod.cli.audit.hooks import Hook
    from allod.cli.fleet import LocalFleet
    from allod.cli.output import Output
    from allod.cli.vulnerabilities.news import FlawEvent
    from allod.cli.vulnerabilities.rounds import FleetNews, Round

FOUND: Final = 7  #: exit status of --once: a flaw is new
UNDELIVERED: Final = 6  #: exit status of --once: a hook has not taken the news
SHORTEST: Final = timedelta(seconds=5)
_SHOWN: Final = 10  #: that an import names one by one


def watch(
    *,
    every: str = "15m",
    once: Annotated[bool, Parameter(negative="")] = False,
    on_finding: str | None = None,
    webhook: str | None = None,
    options: Options = OPTIONS,
) -> int:
    """Match what runs against all advisories again and again, and say each new flaw once.

    It goes on when the server is away, with what ran when it was last seen, and from where it was
    when it is started again. With --once the exit status is 0: nothing is new, 7: a flaw is, 6: a
    hook has not taken the news.

    Args:
        every: How long from one look to the next.
        once: Look once and stop.
        on_finding: A command that gets each event as JSON on its standard input, and its code in
            ALLOD_ALARM_CODE: new-flaw, flaw-exploited, flaw-gone, more-flaws.
        webhook: An address that each event is posted to, as JSON.
        options: Options of every verb.
    """
    from allod.cli.audit.watch import hooks_of, stopped

    pause = parse_span(every)
    if pause < SHORTEST:
        raise InvalidInput("bad-span", f"cannot look every {every}: at least 5s")
    fleet = options.open()
    hooks = hooks_of(on_finding, webhook)
    with stopped() as stop:
        while True:
            status = _look(fleet, hooks, options.output, once=once)
            if once:
                return status
            if stop.wait(pause.total_seconds()):
                return 0


def _look(fleet: LocalFleet, hooks: Sequence[Hook], output: Output, *, once: bool) -> int:
    """One look, told and delivered; what fails does not end a watcher."""
    from allod.cli.vulnerabilities.known import advisories
    from allod.cli.vulnerabilities.rounds import bring, look_again

    try:
        with advisories() as known:
            found = look_again(fleet, known, clock(), hooks=[hook.name for hook in hooks])
    except AllodError as error:
        if once:
            raise
        output.say(f"! {error.message} [{error.code}]; the next look tries again")
        return UNDELIVERED
    _tell(output, found, once=once)
    failures = bring(fleet, hooks)
    for why in failures:
        output.say(f"! {why}; it is tried again at the next look")
    new = any(one.event != "gone" for one in found.events)
    return FOUND if new else UNDELIVERED if failures else 0


def _tell(output: Output, found: Round, *, once: bool) -> None:
    if found.why:
        output.say(f"! What runs was last seen {found.as_of}: {found.why}")
    if once:
        data: dict[str, Any] = {
            "at": instant(clock()),
            "asOf": found.as_of or instant(clock()),
            "events": list(found.events),
        }
        lines = [line for one in found.events for line in event_lines(one)]
        output.result(data, "\n".join(lines) or "Nothing is new.")
        return
    for one in found.events:
        if output.json:
            sys.stdout.write(encode(one).decode() + "\n")
            sys.stdout.flush()
        else:
            output.result(None, "\n".join(event_lines(one)))


def event_lines(one: FlawEvent) -> Iterator[str]:
    """One event for people."""
    sign = "·" if one.event == "gone" else "!"
    yield f"{sign} {one.says}"
    if one.event == "gone":
        return
    if one.aliases:
        yield f"  also {', '.join(one.aliases)}"
    if one.releases:
        yield f"  in the store: {', '.join(one.releases)} mends it"
    elif one.fixed:
        yield f"  fixed in {', '.join(one.fixed)}"


def import_lines(found: Sequence[FleetNews]) -> Iterator[str]:
    """What an import is for what runs, for people."""
    for fleet in found:
        if fleet.trouble:
            yield f"! What runs in {fleet.fleet} could not be looked at: {fleet.trouble}"
            continue
        new = [one for one in fleet.events if one.event != "gone"]
        gone = len(fleet.events) - len(new)
        if not fleet.events:
            yield f"Nothing new for what runs in {fleet.fleet} (as of {fleet.as_of})."
            continue
        yield (
            f"For what runs in {fleet.fleet} (as of {fleet.as_of}): {len(new)} new, {gone} gone."
        )
        yield from (f"  ! {one.says}" for one in new[:_SHOWN])
        yield from (f"  ! {why}; the next import or look tries again" for why in fleet.undelivered)
        if len(new) > _SHOWN:
            yield f"  … 'allod vulnerabilities --fleet {fleet.fleet}' shows all."


def import_data(found: Sequence[FleetNews]) -> list[dict[str, Any]]:
    """The same for `--json`."""
    return [
        {
            "fleet": one.fleet,
            "asOf": one.as_of,
            "events": list(one.events),
            "trouble": one.trouble,
            "undelivered": list(one.undelivered),
        }
        for one in found
    ]
