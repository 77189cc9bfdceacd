"""`--wait`: stay with a deployment until the devices themselves say that it is there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from allod.cli.options import Options
from allod.cli.picture import take
from allod.cli.status import log_of, look
from allod.domain.ids import Purl, package_name
from allod.domain.overview import DeviceOverview, Row, RowState
from allod.errors import Refused, Unavailable

_PAUSE: Final = 1.0  #: seconds between two looks
_ENDS: Final = frozenset({RowState.FAILED, RowState.REFUSED, RowState.DRIFTED})
_SILENCE: Final = timedelta(days=36_500)  #: while waiting, silence is no end


def follow(
    options: Options, scope: str, package: Purl, patience: timedelta
) -> tuple[DeviceOverview, ...]:
    """Wait until every device of the scope reports what is wanted of the package.

    A device beyond its invite's uses is not waited for: it is given nothing to read.

    Returns:
        The devices as they are then.

    Raises:
        Refused: `not-done`: devices say that they will not, or could not.
        Unavailable: `still-waiting`: the time is over.
    """
    fleet = options.open()
    deadline = time.monotonic() + patience.total_seconds()
    told: dict[str, str] = {}
    while True:
        picture = take(fleet, reading=True)
        seen = look(picture, picture.scope(scope), _SILENCE, log_of(picture))
        found = tuple(one for one in seen if not one.member.surplus)
        rows = [(one, _row(one, package)) for one in found]
        for one, row in rows:
            _tell(options, told, one, row)
        open_ = [one for one, row in rows if not _done(one, row)]
        ended = [(one, row) for one, row in rows if row is not None and row.state in _ENDS]
        if not open_:
            return found
        if len(ended) == len(open_):
            raise Refused(
                "not-done",
                f"cannot bring {package_name(package)} onto {len(ended)} of {len(found)} devices",
                reasons=tuple(f"{one.member.shown}: {_words(row)}" for one, row in ended),
            )
        if time.monotonic() > deadline:
            raise Unavailable(
                "still-waiting",
                f"cannot wait longer for {_names(open_)}: it goes on without you; see 'allod status'",
            )
        time.sleep(_PAUSE)


def _row(one: DeviceOverview, package: Purl) -> Row | None:
    return next((row for row in one.rows if row.package == package), None)


def _done(one: DeviceOverview, row: Row | None) -> bool:
    if one.member.actual is None:
        return False
    return row is None or row.state is RowState.AS_WANTED


def _words(row: Row | None) -> str:
    if row is None:
        return "done"
    progress = f" {row.progress:.0%}" if row.progress is not None else ""
    return f"{row.state}{progress}" + (f" ({'; '.join(row.why)})" if row.why else "")


def _tell(options: Options, told: dict[str, str], one: DeviceOverview, row: Row | None) -> None:
    words = _words(row)
    if not options.json and told.get(one.member.device) != words:
        told[one.member.device] = words
        options.output.say(f"{one.member.shown}: {words}")


def _names(found: Sequence[DeviceOverview]) -> str:
    return ", ".join(one.member.shown for one in found[:5]) + ("…" if len(found) > 5 else "")  # noqa: PLR2004
