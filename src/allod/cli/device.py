"""`allod device`: the devices of a fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from allod.cli.device_import import import_
from allod.cli.foreign import describe_foreign, foreign_data, sbom_of, standing
from allod.cli.invite import invite, invites, revoke
from allod.cli.options import OPTIONS, Options, Sure
from allod.cli.phrases import choices
from allod.cli.picture import Picture, take
from allod.cli.publish import INTENT, Change, Intent, publish_and_say
from allod.cli.scopes import find_device, find_group
from allod.domain import edit
from allod.domain.ids import device_scope
from allod.domain.reported import Member
from allod.errors import AllodError, Conflict, InvalidInput, Refused
from allod.wire.codec import instant

app = App(name="device", help="Devices: invite, list, move, rename, retire, replace.")
app.command(invite)
app.command(invites)
app.command(revoke)
app.command(import_, name="import")


@app.command(name="list")
def list_(*, options: Options = OPTIONS) -> None:
    """Show the devices; each one's binding and report is verified here."""
    picture = take(options.open(), reading=True)
    rows, data = [], []
    for one in picture.members.devices:
        member, actual = one.member, one.member.actual
        state = "retired" if member.retired else "surplus" if member.surplus else "in use"
        heard = "never" if actual is None else f"{actual.heard:%Y-%m-%d %H:%M} UTC"
        rows.append((member.label, member.device[:16], ", ".join(member.groups), state, heard))
        data.append(
            {
                "device": member.device,
                "label": member.label,
                "groups": list(member.groups),
                "epoch": member.epoch,
                "state": state,
                "invite": one.binding.invite.id,
                "bound": one.binding.record.at,
                "facts": one.binding.record.facts,
                "heard": None if actual is None else instant(actual.heard),
                "alarms": [{"code": alarm.code, "says": alarm.says} for alarm in member.alarms],
            }
        )
    foreign = [foreign_data(member) for member in picture.foreign]
    rows += [
        (member.label, member.device[:16], ", ".join(member.groups), standing(member), "")
        for member in picture.foreign
    ]
    options.output.table(
        {"devices": data, "foreign": foreign}, ("label", "device", "groups", "state", "heard"), rows,
        empty="No devices yet: 'allod device invite --group NAME' invites one.",
    )  # fmt: skip
    for member in picture.devices:
        for alarm in member.alarms:
            options.output.say(f"! {member.shown}: {alarm.says}")
    for alarm in picture.members.vanished:
        options.output.say(f"! {alarm.subject[:16]}: {alarm.says}")


@app.command
def show(
    name: str,
    *,
    inventory: Annotated[bool, Parameter(negative="")] = False,
    options: Options = OPTIONS,
) -> None:
    """Show one device: what it has, what it says, and whether its reports are whole.

    Args:
        name: Its label, or the beginning of its id.
        inventory: Also list the software that Allod does not manage (dpkg, pip).
        options: Options of every verb.
    """
    from allod.cli.device_look import describe, look_at

    picture = take(options.open(), reading=True)
    member = find_device(name, (*picture.devices, *picture.foreign))
    if member.foreign is not None:
        _show_record(picture, member, options)
        return
    found = look_at(picture, member)
    data = found.data(inventory=inventory)
    options.output.result(data, "\n".join(describe(found, inventory=inventory)))


def _show_record(picture: Picture, member: Member, options: Options) -> None:
    """What is on record of a device that others control."""
    data, lines = foreign_data(member), list(describe_foreign(member))
    try:
        sbom = sbom_of(picture.fleet, member.foreign) if member.foreign is not None else None
    except AllodError as error:
        lines.append(f"  ! {error.message}")
        data["parts"] = None
    else:
        data["parts"] = None if sbom is None else len(sbom.components)
        if sbom is not None:
            by = f", by {'; '.join(sbom.made_by)}" if sbom.made_by else ""
            lines.append(f"  SBOM: {sbom.format}{by}, names {len(sbom.components)} parts")
            lines += [f"  ! {fault}" for fault in sbom.faults]
    options.output.result(data, "\n".join(lines))


def _of(picture: Picture, name: str, *, foreign: bool = False) -> Member:
    """The device that is meant; one that is only on record where the verb can mean it."""
    found = find_device(name, (*picture.devices, *picture.foreign))
    if found.foreign is not None and not foreign:
        raise Refused(
            "foreign-device",
            f"cannot do this with {found.shown}: it is on record only, and no agent of yours runs "
            "there; 'allod device import' corrects the record, 'allod device retire' ends it",
        )
    return found


@app.command
def move(name: str, *groups: str, intent: Intent = INTENT, options: Options = OPTIONS) -> None:
    """Put a device into other groups, whatever its invite said.

    Args:
        name: Its label, or the beginning of its id.
        groups: All groups that it is to be in, most important first.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    if not groups:
        raise InvalidInput("bad-arguments", "cannot move a device nowhere: name its groups")

    def plan(picture: Picture) -> Change:
        scope = device_scope(_of(picture, name, foreign=True).device)
        into = tuple(find_group(group, picture.groups) for group in groups)
        return Change({scope: edit.move(picture.document(scope), into)})

    publish_and_say(options, intent, plan)


@app.command
def rename(name: str, label: str, *, intent: Intent = INTENT, options: Options = OPTIONS) -> None:
    """Give a device a label.

    Args:
        name: Its label so far, or the beginning of its id.
        label: What it is called from now on.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """

    def plan(picture: Picture) -> Change:
        member = _of(picture, name)
        known = (*picture.devices, *picture.foreign)
        taken = [o for o in known if o.label == label and o.device != member.device]
        if taken:
            raise Conflict(
                "exists", f"cannot call it {label!r}: {taken[0].device[:16]} is called so already"
            )
        scope = device_scope(member.device)
        return Change({scope: edit.rename(picture.document(scope), label)})

    publish_and_say(options, intent, plan)


@app.command
def retire(name: str, *, intent: Intent = INTENT, options: Options = OPTIONS) -> None:
    """Let a device go: it keeps running what it has, and takes no further changes.

    Args:
        name: Its label, or the beginning of its id.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """

    def plan(picture: Picture) -> Change:
        scope = device_scope(_of(picture, name, foreign=True).device)
        return Change({scope: edit.retire(picture.document(scope))})

    publish_and_say(options, intent, plan)


@app.command
def replace(old: str, new: str, *, intent: Intent = INTENT, options: Options = OPTIONS) -> None:
    """Let a device take the place of another: its groups, label, packages; the old one is retired.

    Args:
        old: Label of the one that goes, or the beginning of its id.
        new: Label of the one that comes, or the beginning of its id; it is bound already.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """

    def plan(picture: Picture) -> Change:
        former, successor = _of(picture, old), _of(picture, new)
        first, second = device_scope(former.device), device_scope(successor.device)
        known = picture.base.state(second)
        if known is not None and known.packages:
            raise Conflict(
                "exists",
                f"cannot let {successor.shown} take over: it has packages of its own; "
                "delete or hand them back first",
            )
        document = picture.document(first)
        taken = edit.replacement(document, successor.device, former.groups, epoch=successor.epoch)
        gone = document if former.retired else edit.retire(document)
        return Change({second: taken, first: edit.rename(gone, "")})

    publish_and_say(options, intent, plan)


@app.command
def transfer(
    name: str,
    *,
    to: str,
    days: int = 30,
    proposal: Path | None = None,
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Let another owner's fleet take a device over; the root keys sign it.

    Args:
        name: Its label, or the beginning of its id.
        to: The other fleet's id.
        days: How long the offer is good.
        proposal: Write a proposal for a ceremony instead of signing here.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.trust import transfer as sign_over

    member = _of(take(options.open(), reports=False), name)
    sign_over(member.device, to=to, days=days, proposal=proposal, yes=yes, options=options)


@app.command
def admit(directory: Path, *, options: Options = OPTIONS) -> None:
    """Carry the binding records and reports on a stick to the server.

    Args:
        directory: The stick; devices left their records in its 'outbox'.
        options: Options of every verb.
    """
    from allod.cli.outbox import carry_in

    outcome = carry_in(options.open(), directory)
    lines = [f"{outcome.bindings} bindings and {outcome.reports} reports are admitted."]
    lines += [f"! {name}: {why}" for name, why in outcome.refused]
    data: dict[str, Any] = {
        "bindings": outcome.bindings,
        "reports": outcome.reports,
        "refused": [{"file": name, "why": why} for name, why in outcome.refused],
    }
    options.output.result(data, "\n".join(lines))
    if outcome.refused:
        raise InvalidInput(
            "partly-refused",
            f"cannot admit {len(outcome.refused)} of the files: "
            + choices([name for name, _ in outcome.refused]),
        )
