"""`allod group`: the groups of a fleet and their settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from allod.cli.options import OPTIONS, Options
from allod.cli.phrases import parse_check, parse_size, parse_span, parse_window
from allod.cli.picture import Picture, take
from allod.cli.publish import INTENT, Change, Intent, publish_and_say
from allod.cli.scopes import find_group, show_scope, touched
from allod.domain import edit
from allod.domain.desired import DriftPolicy, Settings, StateDocument
from allod.domain.difference import describe_check, describe_window, differences
from allod.domain.ids import GroupName, group_scope, parse_group, parse_name
from allod.domain.release import HealthCheck
from allod.errors import Conflict, InvalidInput

app = App(name="group", help="Groups of devices and their settings.")
app.command("allod.cli.group_terms:terms", name="terms")
app.command("allod.cli.group_terms:accept", name="accept")


@app.command
def add(name: str, *, intent: Intent = INTENT, options: Options = OPTIONS) -> None:
    """Make a group.

    Args:
        name: Its name.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    group = parse_group(name)

    def plan(picture: Picture) -> Change:
        if group in picture.base.groups:
            raise Conflict("exists", f"cannot make the group {group}: it is there already")
        scope = group_scope(group)
        return Change({scope: edit.empty(picture.base.fleet_id, scope)})

    publish_and_say(options, intent, plan)


@app.command(name="list")
def list_(*, options: Options = OPTIONS) -> None:
    """Show the groups."""
    picture = take(options.open(), reports=False)
    rows, data = [], []
    for group in picture.groups:
        scope = group_scope(group)
        document = picture.document(scope)
        devices = touched(scope, picture.devices)
        names = [key.rsplit("/", 1)[1] for key in sorted(document.packages)]
        rows.append((group, str(len(devices)), ", ".join(names), document.hold or ""))
        data.append(
            {
                "group": group,
                "devices": [member.device for member in devices],
                "packages": sorted(document.packages),
                "hold": document.hold,
            }
        )
    options.output.table(
        {"groups": data}, ("group", "devices", "packages", "held"), rows,
        empty="No groups yet: 'allod group add NAME' makes one.",
    )  # fmt: skip


@app.command
def show(name: str, *, options: Options = OPTIONS) -> None:
    """Show what a group (or a device) wants.

    Args:
        name: A group's name, or a device's label or the beginning of its id.
        options: Options of every verb.
    """
    picture = take(options.open(), reports=False)
    scope = picture.scope(name)
    document = picture.document(scope)
    blank = {scope: replace(edit.empty(document.fleet, scope), device=document.device)}
    found = [one for one in differences(blank, {scope: document}) if one.what != "note"]
    data = {
        "scope": str(scope),
        "change": None if document.change is None else document.change.number,
        "wants": [{"what": one.what, "package": one.package, "says": one.says} for one in found],
        "settings": settings_data(document.settings),
        "terms": [{"term": one.name, "says": one.says} for one in document.terms],
        "devices": [member.device for member in touched(scope, picture.devices)],
    }
    lines = [
        f"{show_scope(scope, picture.devices)} ({len(touched(scope, picture.devices))} devices)"
    ]
    lines += [f"  {one.says}" for one in found] or ["  nothing is said yet"]
    options.output.result(data, "\n".join(lines))


def settings_data(settings: Settings) -> dict[str, Any]:
    """A scope's settings for `--json`."""
    windows, health = settings.windows, settings.health
    return {
        "windows": None if windows is None else [describe_window(one) for one in windows],
        "drift": settings.drift,
        "retentionReleases": settings.retention_releases,
        "health": None if health is None else [describe_check(one) for one in health],
        "bandwidth": settings.bandwidth,
        "overrideInhibitors": None
        if settings.override_inhibitors is None
        else sorted(settings.override_inhibitors),
    }


Unset = Literal["windows", "drift", "retention", "health", "bandwidth", "override-inhibitors"]
_FIELDS = {"retention": "retention_releases", "override-inhibitors": "override_inhibitors"}


@app.command(name="set")
def set_(
    name: str,
    *,
    window: tuple[str, ...] = (),
    drift: DriftPolicy | None = None,
    retention: int | None = None,
    health: tuple[str, ...] = (),
    health_within: str = "30s",
    health_hold: str = "0s",
    bandwidth: str | None = None,
    override_inhibitor: tuple[str, ...] = (),
    unset: Annotated[tuple[Unset, ...], Parameter(negative="")] = (),
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Set what holds for a group or a device; what is not named stays as it is.

    Args:
        name: A group's name, or a device's label or the beginning of its id.
        window: When activations that wait for one may happen (UTC): '02:00-04:00',
            'sat,sun 22:00-06:00', 'mon-fri 02:00 90m'. Several replace those of before.
        drift: What happens with what was changed behind your back.
        retention: How many earlier releases stay on the device.
        health: Your own check of every package: running, http://127.0.0.1:8080/,
            tcp:127.0.0.1:8080, 'command:/usr/bin/check'. Several replace those of before.
        health_within: By when each must have come true.
        health_hold: How long each must then stay true.
        bandwidth: Bytes a second that transfers may take at most, like 500k.
        override_inhibitor: An inhibitor that does not hold back changes here.
        unset: Say nothing of a setting any more.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    wanted = _wanted(
        window,
        drift,
        retention,
        _checks(health, health_within, health_hold),
        bandwidth,
        override_inhibitor,
    )
    cleared = {_FIELDS.get(field, field) for field in unset}
    if cleared & wanted.keys():
        raise InvalidInput("bad-arguments", "cannot both set and unset the same setting")
    if not cleared and not wanted:
        raise InvalidInput("bad-arguments", "cannot tell what to set: see 'allod group set --help'")
    wanted |= dict.fromkeys(cleared)

    def change(document: StateDocument) -> StateDocument:
        return edit.settings(document, replace(document.settings, **wanted))

    def plan(picture: Picture) -> Change:
        scope = picture.scope(name)
        return Change({scope: change(picture.document(scope))})

    publish_and_say(options, intent, plan)


def _checks(texts: tuple[str, ...], within: str, hold: str) -> tuple[HealthCheck, ...]:
    first, second = (parse_span(text).total_seconds() for text in (within, hold))
    return tuple(parse_check(text, within=first, hold=second) for text in texts)


def _wanted(
    window: tuple[str, ...],
    drift: DriftPolicy | None,
    retention: int | None,
    health: tuple[HealthCheck, ...],
    bandwidth: str | None,
    override_inhibitor: tuple[str, ...],
) -> dict[str, Any]:
    """The settings that were given, as they stand in the document."""
    inhibitors = frozenset(parse_name(text, "an inhibitor") for text in override_inhibitor)
    given = {
        "windows": tuple(parse_window(text) for text in window) or None,
        "drift": drift,
        "retention_releases": retention,
        "health": health or None,
        "bandwidth": None if bandwidth is None else parse_size(bandwidth),
        "override_inhibitors": inhibitors or None,
    }
    return {name: value for name, value in given.items() if value is not None}


@app.command
def follow(
    scope: str, package: str, *, intent: Intent = INTENT, options: Options = OPTIONS
) -> None:
    """Say nothing of a package here any more: the device's next group decides on it again.

    Args:
        scope: A device's label or the beginning of its id, or a group's name.
        package: Which package.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    from allod.cli.catalog import parse_package_version

    named = parse_package_version(package)

    def plan(picture: Picture) -> Change:
        place = picture.scope(scope)
        return Change({place: edit.hand_back(picture.document(place), picture.package(named))})

    publish_and_say(options, intent, plan)


def check_groups(picture: Picture, names: tuple[str, ...]) -> tuple[GroupName, ...]:
    """Groups that exist, in the given order. Raises InvalidInput `unknown-group`."""
    return tuple(find_group(name, picture.groups) for name in names)
