"""`allod trust`: what only the root may say: where the fleet is served, its logs, repairs, transfers.

At home this machine's root key signs at once. In production `--proposal FILE` writes a proposal
for a ceremony instead.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from allod.cli.options import OPTIONS, Options, Sure, now
from allod.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from allod.cli.proposal import Proposal
    from allod.cli.refresh import View
    from allod.wire.trust import Location

app = App(name="trust", help="Where the fleet is served and logged; repairs; transfers.")
anchor_app = App(name="anchor", help="Where devices can always ask.")
app.command(anchor_app)
app.command("allod.cli.trust_log:app", name="log")
app.command("allod.cli.trust_witness:app", name="witness")

Yes = Annotated[bool, Parameter(negative="")]


@app.command
def show(*, options: Options = OPTIONS) -> None:
    """Show the newest root and trust statement."""
    from allod.cli.mending import view_to_mend
    from allod.cli.proposal_words import logging_of
    from allod.wire.codec import instant

    view = view_to_mend(options.open(), options)
    root, statement = view.repository.root, view.repository.statement
    roles = {
        role: {"keys": list(entry.keyids), "threshold": entry.threshold}
        for role, entry in root.roles.items()
    }
    data = {
        "root": root.version,
        "expires": instant(root.expires),
        "roles": roles,
        "statement": statement,
    }
    lines = [f"Fleet {view.fleet.id}", f"Root {root.version}, good until {instant(root.expires)}"]
    lines += [
        f"  {role}: {entry.threshold} of {', '.join(key[:16] for key in sorted(entry.keyids))}"
        for role, entry in root.roles.items()
    ]
    if statement is not None:
        lines.append(f"Trust statement {statement.number}, of {statement.at}")
        lines += [f"  served at {anchor.url}" for anchor in statement.anchors]
        lines += [f"  {sentence}" for sentence in logging_of(statement)]
        lines += [
            f"  {device[:16]} may go to {transfer.to[:16]} until {transfer.until}"
            for transfer in statement.transfers
            for device in transfer.devices
        ]
    options.output.result(data, "\n".join(lines))


@anchor_app.command
def add(
    url: str,
    *,
    pin: tuple[Path, ...] = (),
    proposal: Path | None = None,
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Let devices ask this address too, for ever.

    Args:
        url: Like https://host:port.
        pin: Certificates (PEM) of the authorities that may certify it; the fleet's, unless given.
        proposal: Write a proposal for a ceremony instead of signing here.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.client import check_url, tls_context
    from allod.cli.refresh import refresh
    from allod.wire.trust import Location

    view = refresh(options.open(), allow_expired=True)
    present = anchors_of(view)
    address = check_url(url)
    if any(anchor.url == address for anchor in present):
        raise Conflict("exists", f"cannot add {address}: devices ask it already")
    pins = [_read_pem(path) for path in pin] or _pins_of(present)
    tls_context(pins)
    made = _statement(view, anchors=[*present, Location(url=address, pins=pins)])
    _carry_out(view, made, proposal=proposal, yes=yes, options=options)


@anchor_app.command
def remove(
    url: str, *, proposal: Path | None = None, yes: Sure = False, options: Options = OPTIONS
) -> None:
    """Let devices no longer ask this address.

    Args:
        url: As 'allod trust show' shows it.
        proposal: Write a proposal for a ceremony instead of signing here.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.refresh import refresh

    view = refresh(options.open(), allow_expired=True)
    present = anchors_of(view)
    left = [anchor for anchor in present if anchor.url != url.rstrip("/")]
    if len(left) == len(present):
        raise InvalidInput("not-found", f"cannot remove {url}: it is none of the fleet's addresses")
    if not left:
        raise InvalidInput(
            "last-anchor",
            f"cannot remove {url}: devices would have nowhere to ask; add another first",
        )
    _carry_out(view, _statement(view, anchors=left), proposal=proposal, yes=yes, options=options)


@app.command
def repair(
    *floors: str,
    time: datetime | None = None,
    device: tuple[str, ...] = (),
    remove_witness: tuple[str, ...] = (),
    proposal: Path | None = None,
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Take floors of devices down, once: after versions ran away, or a clock was wrong.

    Args:
        floors: Like targets=7: the role and the version that it falls to; without a number, to
            the version that is published now.
        time: The time floor falls to this (UTC).
        device: Only these devices; all, unless given.
        remove_witness: This witness, whose time ran ahead, is to vouch no longer.
        proposal: Write a proposal for a ceremony instead of signing here.
        yes: Do not ask.
        options: Options of every verb.
    """
    from datetime import UTC

    from allod.cli.mending import view_to_mend
    from allod.cli.trust_witness import logging_without
    from allod.domain.ids import parse_device
    from allod.wire.codec import instant
    from allod.wire.trust import Repair

    if not floors and time is None:
        raise InvalidInput("bad-arguments", "cannot repair nothing: name a floor, or give --time")
    moment = None
    if time is not None:
        moment = instant(time if time.tzinfo is not None else time.replace(tzinfo=UTC))
    view = view_to_mend(options.open(), options)
    made = Repair(
        roles=dict(_floor(text, view.versions) for text in floors),
        time=moment,
        devices=[parse_device(one) for one in device],
    )
    parts: dict[str, object] = {"repairs": [made]}
    if remove_witness:
        parts["logging"] = logging_without(view.repository.statement, remove_witness)
    _carry_out(view, _statement(view, **parts), proposal=proposal, yes=yes, options=options)


@app.command
def transfer(
    *devices: str,
    to: str,
    days: int = 30,
    proposal: Path | None = None,
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Let another owner's fleet take devices over.

    Args:
        devices: Their ids.
        to: The other fleet's id.
        days: How long the offer is good.
        proposal: Write a proposal for a ceremony instead of signing here.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.refresh import refresh
    from allod.domain.ids import parse_device, parse_fleet
    from allod.wire.codec import instant
    from allod.wire.trust import Transfer

    if not devices:
        raise InvalidInput("bad-arguments", "cannot transfer nothing: name a device")
    view = refresh(options.open(), allow_expired=True)
    if parse_fleet(to) == view.fleet.id:
        raise InvalidInput("bad-fleet", "cannot transfer a device to the fleet that owns it")
    made = Transfer(
        devices=[parse_device(one) for one in devices],
        to=to,
        until=instant(now() + timedelta(days=days)),
    )
    _carry_out(
        view, _statement(view, transfers=[made]), proposal=proposal, yes=yes, options=options
    )


def anchors_of(view: View) -> list[Location]:
    """Where devices can always ask now."""
    statement = view.repository.statement
    return [] if statement is None else list(statement.anchors)


def _statement(view: View, **parts: object) -> Proposal:
    from allod.cli.proposing import propose_trust

    return propose_trust(view, at=now(), **parts)  # type: ignore[arg-type]


def _carry_out(
    view: View, made: Proposal, *, proposal: Path | None, yes: bool, options: Options
) -> None:
    from allod.cli.publishing import carry_out

    carry_out(view, made, out=proposal, yes=yes, options=options)


def _pins_of(anchors: list[Location]) -> list[str]:
    return list(anchors[0].pins) if anchors else []


def _read_pem(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not in PEM"
        raise InvalidInput("bad-pin", f"cannot read the certificate {path}: {why}") from error


def _floor(text: str, published: Mapping[str, int]) -> tuple[str, int]:
    role, equals, version = text.partition("=")
    if role not in published or (equals and not version.isdecimal()):
        raise InvalidInput(
            "bad-arguments", f"cannot read {text!r} as a floor: it is like targets or targets=7"
        )
    return role, int(version) if equals else published[role]
