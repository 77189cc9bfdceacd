"""What the root has to mend a log by: a walk that goes on where the log cannot be gone by.

The owner's own floors hold: nothing older than what this machine has seen is signed on. What the
log alone would show, a newer version that the server hides, is not seen; that is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allod.cli.options import now
from allod.cli.refresh import STALE, View, refresh
from allod.errors import AllodError
from allod.wire.codec import instant

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet
    from allod.cli.options import Options

#: What the walk says of a log that is older than it was, or under another key, or damaged.
_OF_LOGS: Final = frozenset(
    {
        "log-consistency",
        "note-signature",
        "wrong-log",
        "bad-signed-note",
        "bad-checkpoint",
        "bad-tile",
    }
)
_RESTS: Final = (
    "What follows rests on the floors of this machine alone; sign it where the newest changes were "
    "made."
)


def view_to_mend(fleet: LocalFleet, options: Options, *, tell: bool = True) -> View:
    """The newest state; without the log, or by the clock, where it cannot be gone by otherwise.

    That is said, unless `tell` is False.

    Raises:
        Untrusted, Unavailable: what the files themselves are refused for.
    """
    said: list[str] = []
    without_log = by_clock = False
    while True:
        try:
            view = refresh(fleet, allow_expired=True, without_log=without_log, by_clock=by_clock)
        except AllodError as error:
            if not without_log and _is_of_log(error):
                without_log = True
                said.append(f"The log cannot be gone by: {error.message}. {_RESTS}")
            elif not by_clock and error.code == STALE and fleet.floors.time > now():
                by_clock = True
                said.append(
                    f"The time floor of this machine, {instant(fleet.floors.time)}, is ahead of "
                    "its clock; what follows is judged by the clock."
                )
            else:
                raise
        else:
            for sentence in said if tell else ():
                options.output.say(sentence)
            return view


def _is_of_log(error: AllodError) -> bool:
    """Whether the log itself is the trouble; where it has more than the files, they are."""
    lost = error.code == "withheld" and str(error.details.get("what", "")).startswith("log/")
    return lost or error.code in _OF_LOGS
