"""Which group or device a user means: by name, label or the beginning of an id."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from allod.cli.phrases import choices
from allod.domain.ids import (
    DeviceId,
    GroupName,
    Scope,
    device_scope,
    group_scope,
)
from allod.domain.reported import Member
from allod.errors import InvalidInput

_PREFIX: Final = re.compile(r"[0-9a-f]{4,64}", re.ASCII)


def find_scope(text: str, groups: Iterable[GroupName], members: Sequence[Member]) -> Scope:
    """The one group or device that `text` names.

    A group's name, a device's label, at least four digits of a device's id, or, where a word
    could be both, `groups/NAME` and `devices/LABEL-OR-ID`.

    Raises:
        InvalidInput: `unknown-scope` (and says what there is), `ambiguous-scope`.
    """
    kind, slash, rest = text.partition("/")
    known = tuple(sorted(set(groups)))
    if slash and kind == "groups":
        return group_scope(find_group(rest, known))
    if slash and kind == "devices":
        return device_scope(find_device(rest, members).device)
    found = [group_scope(group) for group in known if group == text]
    found += [device_scope(member.device) for member in _devices(text, members)]
    if len(found) > 1:
        raise InvalidInput(
            "ambiguous-scope",
            f"cannot tell what {text!r} means: "
            + choices([_shown(scope, members) for scope in found])
            + "; say it as groups/NAME or devices/ID",
        )
    if not found:
        raise InvalidInput(
            "unknown-scope",
            f"cannot find a group or device {text[:80]!r}; groups: {choices(known)}; "
            f"devices: {choices([member.shown for member in members])}",
        )
    return found[0]


def find_group(text: str, groups: Iterable[GroupName]) -> GroupName:
    """A group by name. Raises InvalidInput `unknown-group` (and says which there are)."""
    known = sorted(set(groups))
    for group in known:
        if group == text:
            return group
    raise InvalidInput(
        "unknown-group",
        f"cannot find the group {text[:80]!r}; there are: {choices(known)} "
        "('allod group add NAME' makes one)",
    )


def find_device(text: str, members: Sequence[Member]) -> Member:
    """A device by label or id. Raises InvalidInput `unknown-device`, `ambiguous-device`."""
    found = _devices(text, members)
    if len(found) > 1:
        raise InvalidInput(
            "ambiguous-device",
            f"cannot tell which device {text!r} is: "
            + choices([f"{member.device[:16]} ({member.label or 'no label'})" for member in found]),
        )
    if not found:
        raise InvalidInput(
            "unknown-device",
            f"cannot find the device {text[:80]!r}; there are: "
            + choices([member.shown for member in members]),
        )
    return found[0]


def _devices(text: str, members: Sequence[Member]) -> list[Member]:
    labelled = [member for member in members if member.label and member.label == text]
    prefix = _PREFIX.fullmatch(text) is not None
    by_id = [member for member in members if prefix and member.device.startswith(text)]
    exact = [member for member in by_id if member.device == text]
    return exact or list({member.device: member for member in (*labelled, *by_id)}.values())


def _shown(scope: Scope, members: Sequence[Member]) -> str:
    if scope.kind == "groups":
        return f"groups/{scope.name}"
    return f"devices/{scope.name[:16]}" + next(
        (
            f" ({member.label})"
            for member in members
            if member.device == scope.name and member.label
        ),
        "",
    )


def show_scope(scope: Scope, members: Iterable[Member] = ()) -> str:
    """A scope as people call it."""
    if scope.kind == "groups":
        return f"group {scope.name}"
    label = next((one.label for one in members if one.device == scope.name), "")
    return f"device {label or scope.name[:12]}"


def touched(scope: Scope, members: Iterable[Member]) -> tuple[Member, ...]:
    """The devices in use that a scope's document speaks to."""
    return tuple(member for member in members if scope in member.scopes and not member.retired)


def all_groups(documents: Iterable[GroupName], members: Iterable[Member]) -> tuple[GroupName, ...]:
    """Groups that have a document, or a device."""
    found = {*documents, *(group for member in members for group in member.groups)}
    return tuple(sorted(found))


def member_of(device: DeviceId, members: Iterable[Member]) -> Member | None:
    """The member with that id."""
    return next((member for member in members if member.device == device), None)
