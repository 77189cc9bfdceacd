"""`allod advisories watch`: says each new flaw of what runs once (docs/how-to/vulnerabilities.md)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from allod.cli.options import OPTIONS, Options
from allod.cli.options import now as clock
from allod.cli.output import Output
from allod.cli.phrases import mending, parse_span
from allod.cli.vulnerabilities.news import FlawEvent
from allod.errors import AllodError, InvalidInput
from allod.wire.codec import encode, instant

if TYPE_CHECKING:
    from allod.cli.audit.hooks import Hook, Told
    from allod.cli.fleet import LocalFleet
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
    if not once:
        hooks = (*hooks, Spoken(options.output))
    with stopped() as stop:
        while True:
            status = _look(fleet, hooks, options.output, once=once)
            if once:
                return status
            if stop.wait(pause.total_seconds()):
                return 0


@dataclass(frozen=True, slots=True)
class Spoken:
    """A watcher's own output, as a hook: it hears what imports found meanwhile, too."""

    output: Output
    name: str = "output"

    def take(self, event: Told) -> str:
        """See the port."""
        if not isinstance(event, FlawEvent):
            raise TypeError("a watcher of flaws tells of flaws")
        if self.output.json:
            sys.stdout.write(encode(event).decode() + "\n")
            sys.stdout.flush()
        else:
            self.output.result(None, "\n".join(event_lines(event)))
        return ""


def _look(fleet: LocalFleet, hooks: Sequence[Hook], output: Output, *, once: bool) -> int:
    """One look, told and delivered; what fails does not end a watcher."""
    from allod.cli.vulnerabilities.known import advisories
    from allod.cli.vulnerabilities.rounds import bring, look_again

    try:
        with advisories() as known:
            found = look_again(fleet, known, clock(), hooks=[hook.name for hook in hooks])
        if found.why:
            output.say(f"! What runs was last seen {found.as_of}: {found.why}")
        if once:
            _answer(output, found)
        failures = bring(fleet, hooks)
    except AllodError as error:
        if once:
            raise
        output.say(f"! {error.message} [{error.code}]; the next look tries again")
        return UNDELIVERED
    for why in failures:
        output.say(f"! {why}; it is tried again at the next look")
    new = any(one.event != "gone" for one in found.events)
    return FOUND if new else UNDELIVERED if failures else 0


def _answer(output: Output, found: Round) -> None:
    """What one look came to."""
    at = instant(clock())
    data: dict[str, Any] = {
        "at": at,
        "asOf": found.as_of or at,
        "events": list(found.events),
    }
    lines = [line for one in found.events for line in event_lines(one)]
    output.result(data, "\n".join(lines) or "Nothing is new.")


def event_lines(one: FlawEvent) -> Iterator[str]:
    """One event for people."""
    sign = "·" if one.event == "gone" else "!"
    yield f"{sign} {one.says}"
    if one.event == "gone":
        return
    if one.aliases:
        yield f"  also {', '.join(one.aliases)}"
    if one.releases:
        yield f"  in the store: {mending(one.releases)}"
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
