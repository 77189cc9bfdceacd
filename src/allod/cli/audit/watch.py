"""`allod audit watch`: looks again and again, and says each alarm once (docs/how-to/watch.md)."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from allod.cli.options import OPTIONS, Options
from allod.cli.options import now as clock
from allod.cli.phrases import parse_span
from allod.errors import InvalidInput
from allod.wire.codec import encode, instant

if TYPE_CHECKING:
    from allod.audit.alarms import Event, Known
    from allod.audit.findings import Finding
    from allod.cli.audit.hooks import Hook
    from allod.cli.audit.monitor import Monitor
    from allod.cli.fleet import LocalFleet
    from allod.cli.output import Output

FOUND: Final = 7  #: exit status of --once: an alarm was raised, or stands
UNDELIVERED: Final = 6  #: exit status of --once: a hook has not taken an alarm
SHORTEST: Final = timedelta(seconds=5)


def watch(
    *,
    every: str = "5m",
    once: Annotated[bool, Parameter(negative="")] = False,
    on_alarm: str | None = None,
    webhook: str | None = None,
    options: Options = OPTIONS,
) -> int:
    """Look at the fleet's logs, files and devices again and again, and say each alarm once.

    It goes on when the server is away, and from where it was when it is started again. With
    --once the exit status is 0: all is well, 7: an alarm was raised or stands, 6: a hook has not
    taken one.

    Args:
        every: How long from one look to the next.
        once: Look once and stop.
        on_alarm: A command that gets each alarm as JSON on its standard input, and its code in
            ALLOD_ALARM_CODE.
        webhook: An address that each alarm is posted to, as JSON.
        options: Options of every verb.
    """
    from allod.cli.audit.monitor import Monitor

    pause = parse_span(every)
    if pause < SHORTEST:
        raise InvalidInput("bad-span", f"cannot look every {every}: at least 5s")
    fleet = options.open()
    hooks = hooks_of(on_alarm, webhook)
    monitor = Monitor(fleet.directory / "audit" / "watch.json", fleet.id, hooks)
    with monitor.alone(), stopped() as stop:
        while True:
            events = _look(fleet, monitor)
            if not once:
                _tell(options.output, events)
            failures = monitor.deliver()
            for why in failures:
                options.output.say(f"! {why}; it is tried again at the next look")
            if once:
                _answer(options.output, monitor, events)
                return _status(monitor, events)
            if stop.wait(pause.total_seconds()):
                return 0


def hooks_of(on_alarm: str | None, webhook: str | None) -> tuple[Hook, ...]:
    """The hooks that a user names. Raises InvalidInput `bad-hook`."""
    from allod.cli.audit.hooks import CommandHook, Webhook

    hooks: list[Hook] = []
    if on_alarm is not None:
        hooks.append(CommandHook.of(on_alarm))
    if webhook is not None:
        hooks.append(Webhook.of(webhook))
    return tuple(hooks)


@contextmanager
def stopped() -> Iterator[threading.Event]:
    """Set when somebody asks the monitor to end; what it does is finished first."""
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


def _look(fleet: LocalFleet, monitor: Monitor) -> tuple[Event, ...]:
    from allod.cli.audit.looking import look_at

    now = clock()
    look = look_at(fleet, _audit(fleet))
    return monitor.take(look.sights, frozenset(look.looked), now)


def _audit(fleet: LocalFleet) -> Callable[[], tuple[Iterable[Finding], Iterable[Finding]]]:
    """The incremental pass of `allod audit verify`, with what it keeps."""
    from allod.cli.audit.run import Audit
    from allod.cli.audit.source import ServerSource
    from allod.cli.audit.state import AuditDirectory

    def run() -> tuple[Iterable[Finding], Iterable[Finding]]:
        directory = AuditDirectory(fleet.directory / "audit", fleet.id)
        source = ServerSource(fleet.client)
        audit = Audit(
            source, fleet.id, directory, directory.load(), fleet.floors, clock(), lambda _: None
        )
        result = audit.run()
        return (*result.earlier, *result.findings), result.seen

    return run


def _status(monitor: Monitor, events: Sequence[Event]) -> int:
    if monitor.standing or any(one.event == "raised" for one in events):
        return FOUND
    return UNDELIVERED if monitor.waiting else 0


def _tell(output: Output, events: Sequence[Event]) -> None:
    """Each event as a line, when it comes."""
    for event in events:
        if output.json:
            sys.stdout.write(encode(event).decode() + "\n")
            sys.stdout.flush()
        else:
            output.result(None, _line(event))


def _answer(output: Output, monitor: Monitor, events: Sequence[Event]) -> None:
    """What one look came to."""
    standing = monitor.standing
    data: dict[str, Any] = {
        "fleet": monitor.fleet,
        "at": instant(clock()),
        "events": list(events),
        "standing": [_standing(one) for one in standing],
        "undelivered": monitor.waiting,
    }
    lines = [_line(one) for one in events]
    said = {(one.code, one.subject) for one in events}
    lines += [
        f"! still: {one.sight.says} [{one.sight.code}], since {one.since}"
        for one in standing
        if (one.sight.code, one.sight.subject) not in said
    ]
    output.result(
        data, "\n".join(lines) or "All is well: nothing new is wrong, and nothing stands."
    )


def _standing(known: Known) -> dict[str, str]:
    sight = known.sight
    return {
        "code": sight.code,
        "subject": sight.subject,
        "says": sight.says,
        "since": known.since,
        "raised": known.raised or "",
    }


def _line(event: Event) -> str:
    sign = "!" if event.event == "raised" else "· over:"
    line = f"{sign} {event.at} {event.subject}: {event.says} [{event.code}]"
    if event.evidence is not None:
        line += f"\n  evidence: {event.evidence} ('allod audit fork' checks it)"
    return line + (f"\n  {event.do}" if event.do and event.event == "raised" else "")
