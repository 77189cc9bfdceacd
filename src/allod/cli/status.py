"""`allod status`: wanted against actual, as far as verified reports say."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from allod.cli.changes import Standing, change_data, standings
from allod.cli.device_log import FleetLog, fleet_log
from allod.cli.foreign import CONTROLLED, foreign_data
from allod.cli.in_force import LogState
from allod.cli.options import OPTIONS, Options
from allod.cli.output import printable
from allod.cli.past import Past, PastChange
from allod.cli.phrases import parse_span
from allod.cli.picture import Picture, take
from allod.cli.rollouts_open import (
    OpenRollout,
    line_of,
    open_rollouts,
    rollout_data,
    server_says,
)
from allod.cli.scopes import touched
from allod.cli.vulnerabilities.counting import FlawCount, count_flaws
from allod.domain.desired import OWNER
from allod.domain.ids import Scope, package_name
from allod.domain.overview import DeviceOverview, Row, RowState, overview
from allod.domain.reported import Member, Remark
from allod.errors import AllodError
from allod.trust.metadata import TARGETS
from allod.wire.codec import instant
from allod.wire.rollout_state import RolloutState

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_PAUSE: Final = 2.0  #: seconds between two looks of --watch
_LAST: Final = 5  #: changes that are shown
_CONSTRAINTS: Final = {
    "access-not-enforced": "nothing holds services to their declared access (access-not-enforced)",
}
_COLOURS: Final = {
    RowState.AS_WANTED: "green",
    RowState.UNMANAGED: "dim",
    RowState.FAILED: "bold red",
    RowState.DRIFTED: "bold red",
    RowState.REFUSED: "red",
    RowState.UNKNOWN: "magenta",
    RowState.DIFFERS: "yellow",
}


def constraint_says(name: str) -> str:
    """What limits the owner on a device, for people."""
    return _CONSTRAINTS.get(name, f"is bound by {name}")


def status(
    scope: str | None = None,
    *,
    silence: str = "90m",
    watch: Annotated[bool, Parameter(negative="")] = False,
    options: Options = OPTIONS,
) -> None:
    """Show what every device has, against what you want, and how the last changes stand.

    Reports and the log are verified here; the server's word counts for nothing.

    Args:
        scope: A group's name, or a device's label or the beginning of its id; all devices
            unless given.
        silence: A device that was not heard for longer counts as silent.
        watch: Look again every two seconds, until interrupted.
        options: Options of every verb.
    """
    quiet = parse_span(silence)
    fleet = options.open()
    while True:
        picture = take(fleet, reading=True)
        log = log_of(picture)
        place = None if scope is None else picture.scope(scope)
        found = look(picture, place, quiet, log)
        newest = Past(picture, _LAST).changes[-_LAST:]
        stands = standings(picture.base.view, log.book, newest, doubted(picture, log))
        rollouts, foreign = rollouts_of(picture), foreign_of(picture, place)
        seen = Seen(
            found, _alarms_of(picture, log), tuple(stands), log.state, rollouts, foreign,
            count_flaws(picture, place),
        )  # fmt: skip
        options.output.result(
            status_data(picture, seen),
            lambda console, shown=seen, at=picture.now: _print(console, shown, at),  # type: ignore[misc]
        )
        if not watch:
            return
        time.sleep(_PAUSE)


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that the status shows."""

    devices: tuple[DeviceOverview, ...]
    remarks: tuple[Remark, ...]
    changes: tuple[Standing, ...]
    log: LogState | None
    rollouts: tuple[tuple[OpenRollout, RolloutState | None], ...] = ()
    foreign: tuple[Member, ...] = ()  #: devices that are only on record
    flaws: FlawCount | None = None  #: of what runs; None: no advisories were imported here


def foreign_of(picture: Picture, scope: Scope | None) -> tuple[Member, ...]:
    """The devices on record, all or those of a group; not those that were let go."""
    known = tuple(one for one in picture.foreign if not one.retired)
    return known if scope is None else touched(scope, known)


def rollouts_of(picture: Picture) -> tuple[tuple[OpenRollout, RolloutState | None], ...]:
    """The open rollouts, each with what the server says of it, if it says anything."""
    known = open_rollouts(picture.base)
    states: Mapping[str, RolloutState] = {}
    if known:
        with contextlib.suppress(AllodError):  # the rest of the status does not hang on it
            states = server_says(picture.base)
    return tuple((one, states.get(name)) for name, one in known.items())


def log_of(picture: Picture) -> FleetLog:
    """The fleet's log, as far as the devices' reports need it."""
    reports = [one.report for one in picture.members.devices if one.report is not None]
    return fleet_log(picture.base.view, reports)


def look(
    picture: Picture, scope: Scope | None, silence: timedelta, log: FleetLog | None = None
) -> tuple[DeviceOverview, ...]:
    """The overview of all devices, or of those that a scope speaks to."""
    devices = picture.devices if log is None else tuple(doubted(picture, log))
    members = devices if scope is None else touched(scope, devices)
    if scope is not None and scope.kind == "devices":
        members = tuple(one for one in devices if one.device == scope.name)
    newest = {TARGETS: picture.base.view.versions[TARGETS]}
    return overview(
        members,
        picture.members.documents(),
        now=picture.now,
        silence=silence,
        newest=newest,
        delegates=picture.delegates,
        gates=picture.gates,
    )


def doubted(picture: Picture, log: FleetLog) -> Iterator[Member]:
    """The devices; what does not fit the log puts in doubt what a device says."""
    for one in picture.members.devices:
        remarks: tuple[Remark, ...] = ()
        if one.report is not None:
            try:
                remarks = log.remarks(one.report)
            except AllodError as error:
                remarks = (Remark(error.code, error.message),)
        if not remarks:
            yield one.member
            continue
        yield replace(
            one.member,
            alarms=(*one.member.alarms, *remarks),
            doubts=(*one.member.doubts, *(remark.says for remark in remarks)),
        )


def changes_of(picture: Picture, changes: Sequence[PastChange]) -> tuple[Standing, ...]:
    """How changes stand."""
    log = log_of(picture)
    return tuple(standings(picture.base.view, log.book, changes, doubted(picture, log)))


def _alarms_of(picture: Picture, log: FleetLog) -> tuple[Remark, ...]:
    found = [Remark(one.code, one.says) for one in picture.base.view.repository.alarms]
    found += picture.members.vanished
    trouble = picture.members.activity.trouble
    if trouble is not None:
        found.append(Remark(trouble.code, trouble.message))
    if log.state is not None:
        found += [Remark(code, says) for code, says in log.state.odd]
    if picture.base.view.unproved is not None:
        found.append(Remark("no-quorum", picture.base.view.unproved))
    return tuple(dict.fromkeys(found))


def status_data(picture: Picture, seen: Seen) -> dict[str, Any]:
    """The status for `--json`."""
    return {
        "fleet": picture.base.fleet_id,
        "name": picture.fleet.name,
        "at": instant(picture.now),
        "devices": [device_data(one) for one in seen.devices],
        "foreign": [foreign_data(one) for one in seen.foreign],
        "vulnerabilities": None if seen.flaws is None else seen.flaws.data(),
        "alarms": [_remark(one) for one in seen.remarks],
        "changes": [{**change_data(one.change), **one.data()} for one in seen.changes],
        "rollouts": [rollout_data(one, state) for one, state in seen.rollouts],
        "log": None if seen.log is None else seen.log.data(picture.now),
    }


def device_data(one: DeviceOverview) -> dict[str, Any]:
    """One device for `--json`."""
    member = one.member
    actual = member.actual
    return {
        "device": member.device,
        "label": member.label,
        "groups": list(member.groups),
        "epoch": member.epoch,
        "retired": member.retired,
        "surplus": member.surplus,
        "settled": one.settled and actual is not None,
        "heard": None if actual is None else instant(actual.heard),
        "sequence": None if actual is None else actual.sequence,
        "unknown": list(one.unknown),
        "silentSince": None if one.silent_since is None else instant(one.silent_since),
        "stale": actual is not None and actual.stale,
        "packages": [_row_data(row, one) for row in one.rows],
        "holds": list(one.holds),
        "restarts": [
            {
                "id": restart.id,
                "at": instant(restart.at),
                "latest": instant(restart.latest),
                "state": state,
            }
            for restart, state in one.restarts
        ],
        "constraints": list(one.constraints),
        "inhibitors": [] if actual is None else list(actual.inhibitors),
        "refusals": [_remark(remark) for remark in one.refusals],
        "alarms": [_remark(remark) for remark in one.alarms],
        "changes": [] if actual is None else list(actual.changes),
    }


def _row_data(row: Row, one: DeviceOverview) -> dict[str, Any]:
    actual = one.member.actual
    package = None if actual is None else actual.packages.get(row.package)
    running = None if package is None else package.active
    return {
        "package": row.package,
        "state": row.state,
        "wanted": list(row.wanted),
        "actual": list(row.actual),
        "active": None if running is None else running.version,
        "activeDigest": None if running is None else running.digest,
        "configuration": None if package is None else package.configuration,
        "healthy": None if package is None else package.healthy,
        "why": list(row.why),
        "progress": row.progress,
        "scope": None if row.scope is None else str(row.scope),
        "decides": row.manager,
        "releases": []
        if package is None
        else [
            {"version": had.version, "digest": had.digest, "level": had.level, "intact": had.intact}
            for had in package.releases
        ],
    }


def _remark(one: Remark) -> dict[str, str]:
    return {"code": one.code, "says": one.says, "subject": one.subject}


def _print(console: Console, seen: Seen, now: datetime) -> None:
    if not seen.devices and not seen.foreign:
        console.print("No devices yet: 'allod device invite --group NAME' invites one.")
    else:
        console.print(_table(seen))
    for one in seen.devices:
        for line in _notes(one):
            console.print(printable(line))
    for remark in seen.remarks:
        console.print(printable(f"! {remark.subject[:12]} {remark.says}".replace("  ", " ")))
    if seen.flaws is not None:
        console.print(printable(seen.flaws.says()))
    for rollout, known in seen.rollouts:
        console.print(printable(_rollout_line(rollout, known)))
    for standing in reversed(seen.changes):
        console.print(printable(_change_line(standing)))
    if seen.log is not None:
        console.print(printable(seen.log.says(now)))


def _rollout_line(one: OpenRollout, state: RolloutState | None) -> str:
    mark = "!" if state is not None and state.state == "halted" else "·"
    return f"{mark} {line_of(one, state)}"


def _table(seen: Seen) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("device", "package", "wanted", "has", "state"):
        table.add_column(column, overflow="fold")
    for one in seen.devices:
        for cells, state in _lines(one):
            style = _COLOURS.get(state, "") if state is not None else ""
            shown = [Text(printable(cell)) for cell in cells]
            shown[-1].stylize(style)
            table.add_row(*shown)
    for member in seen.foreign:
        device = member.foreign
        if device is not None:
            row = (member.shown, "", "", device.shown, CONTROLLED[device.control])
            table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _change_line(standing: Standing) -> str:
    change = standing.change
    name = "the beginning" if change.number is None else f"change {change.number}"
    said = f"· {name} {standing.force_says}"
    if change.author != OWNER:
        said = f"· {name} by the delegation {change.author} {standing.force_says}"
    return said + (f", seen by {standing.seen_says} devices" if standing.concerned else "")


def _lines(one: DeviceOverview) -> Iterator[tuple[tuple[str, ...], RowState | None]]:
    name = one.member.shown
    if one.member.retired:
        name += " (retired)"
    if not one.rows:
        silent = one.member.actual is None
        yield (name, "", "", "", "has not reported yet" if silent else "nothing wanted"), None
    for row in one.rows:
        progress = f" {row.progress:.0%}" if row.progress is not None else ""
        plain = row.state in {RowState.AS_WANTED, RowState.UNMANAGED} and not row.why
        why = "" if plain else ": " + "; ".join(row.why)
        wanted, actual = "; ".join(row.wanted), "; ".join(row.actual)
        cells = (name, package_name(row.package), wanted, actual, f"{row.state}{progress}{why}")
        yield cells, row.state
        name = ""


def _notes(one: DeviceOverview) -> Iterator[str]:
    name = one.member.shown
    if one.unknown and one.member.actual is not None:
        yield f"! {name}: its state is unknown: {'; '.join(one.unknown)}"
    for remark in one.alarms:
        if remark.says not in one.unknown:
            yield f"! {name}: {remark.says}"
    for remark in one.refusals:
        yield f"! {name} refused {remark.subject or 'something'}: {remark.says}"
    for constraint in one.constraints:
        yield f"! {name}: {constraint_says(constraint)}"
    for why in one.holds:
        yield f"· {name}: {why}"
    for restart, state in one.restarts:
        yield f"· {name}: restart {restart.at:%Y-%m-%d %H:%M} UTC {state}"
    if one.member.actual is not None:
        for inhibitor in one.member.actual.inhibitors:
            yield f"· {name} is busy: {inhibitor}"
