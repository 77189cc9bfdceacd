"""`allod device invite`, `invites` and `revoke`: how a device begins to obey this owner."""

from __future__ import annotations

import base64
import os
import secrets
import zlib
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from allod.cli.documents import FLEET_PATH
from allod.cli.options import OPTIONS, Options
from allod.cli.options import now as clock
from allod.cli.phrases import choices, parse_span
from allod.cli.picture import Picture, take
from allod.cli.publish import INTENT, Change, Intent, publish, publish_and_say
from allod.domain import edit
from allod.domain.ids import GroupName, group_scope, parse_group, parse_name
from allod.durable import make_directory, write_atomic
from allod.errors import Conflict, InvalidInput
from allod.wire.binding import Invite, InviteFile
from allod.wire.codec import decode, encode, instant, parse_instant
from allod.wire.envelope import ENVELOPE_CAP, Envelope

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet

SCHEME: Final = "allod:"
_MOST_USES: Final = 100_000
_CAP: Final = 8 * 1024 * 1024


def invite(
    *,
    group: Annotated[tuple[str, ...], Parameter(name=["--group", "--groups", "-g"])] = (),
    uses: int = 1,
    expires: str = "7d",
    out: Path | None = None,
    svg: Path | None = None,
    png: Path | None = None,
    url_only: Annotated[bool, Parameter(negative="")] = False,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Invite devices: as a file, a URL and a QR code. Keep it secret until it was used.

    Args:
        group: The groups of the devices, most important first; may be given several times.
        uses: For how many devices it is.
        expires: For how long it is good, like 7d or 12h.
        out: Where the file goes; invite-ID.json here unless given.
        svg: Also write the QR code as SVG.
        png: Also write the QR code as PNG.
        url_only: Write no file.
        intent: Options of every verb that changes something (a new group is such a change).
        options: Options of every verb.
    """
    if not 1 <= uses <= _MOST_USES:
        raise InvalidInput("bad-arguments", f"cannot invite {uses} devices: 1 to {_MOST_USES}")
    span = parse_span(expires)
    if not span:
        raise InvalidInput("bad-arguments", "cannot make an invite that is over when it is made")
    until = clock() + span
    for path in (out, svg, png):
        _check_free(path)
    fleet = options.open()
    groups = tuple(parse_group(name) for name in group)
    picture = _with_groups(take(fleet, reports=False), groups, options, intent)
    if picture is None:
        return
    made = make(picture, groups, uses, until)
    link = url_of(made.file)
    target = None if url_only else (out or Path(f"invite-{made.id}.json")).absolute()
    if target is not None:
        write_atomic(target, made.file)
    for path, kind in ((svg, "svg"), (png, "png")):
        if path is not None:
            _picture(link, path, kind)
    data = {
        "id": made.id,
        "file": None if target is None else str(target),
        "url": link,
        "groups": list(groups),
        "uses": uses,
        "expires": instant(until),
    }
    options.output.result(data, _words(data, target))
    if not options.json:
        _show_code(link, options)


def _check_free(path: Path | None) -> None:
    """Whether a file can be made there, before an invite counts as made."""
    if path is None:
        return
    place = path.absolute()
    if place.exists():
        raise Conflict("exists", f"cannot write {place}: it is there already")
    if not os.access(place.parent, os.W_OK | os.X_OK):
        why = "you may not write there" if place.parent.is_dir() else "its directory is not there"
        raise InvalidInput("no-file", f"cannot write {place}: {why}")


@dataclass(frozen=True, slots=True)
class Made:
    """An invite that was just made."""

    id: str
    file: bytes


def make(picture: Picture, groups: tuple[GroupName, ...], uses: int, until: datetime) -> Made:
    """Sign an invite at this machine's own floors, and note it (without its secret).

    Raises:
        Unavailable: `key-elsewhere`, `no-server`.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import CryptoSigner, SSlibKey

    from allod.trust.papers import make_invite

    fleet, repository = picture.fleet, picture.base.view.repository
    secret = Ed25519PrivateKey.generate()
    name = secrets.token_hex(6)
    statement, newest = repository.statement, repository.anchor.trust
    anchors = list(statement.anchors) if statement is not None else []
    server = fleet.settings.server
    file = make_invite(
        repository.floors,
        repository.anchor.root,
        fleet.keys.signers("targets"),
        CryptoSigner(secret, SSlibKey.from_crypto(secret.public_key())),
        id=name,
        name=picture.base.fleet_document.name,
        locations=anchors or ([] if server is None else [server]),
        groups=groups,
        expires=until,
        uses=uses,
        statements=[] if newest is None else [newest],
    )
    directory = fleet.directory / "invites"
    make_directory(directory)
    envelope = decode(file, InviteFile, cap=_CAP, what="the invite").invite
    write_atomic(directory / f"{name}.json", encode(envelope))
    return Made(name, file)


def _with_groups(
    picture: Picture, groups: tuple[GroupName, ...], options: Options, intent: Intent
) -> Picture | None:
    """The picture in which the groups exist; what is missing is made, unless it looks mistyped.

    Raises:
        InvalidInput: `unknown-group`.
    """
    missing = tuple(group for group in groups if group not in picture.base.groups)
    for group in missing:
        near = []
        if not any(char.isdigit() for char in group):  # floor1 and floor2 are both meant
            near = get_close_matches(group, picture.base.groups, n=1, cutoff=0.8)
        if near:
            raise InvalidInput(
                "unknown-group",
                f"cannot find the group {group}: did you mean {near[0]}? there are: "
                f"{choices(picture.base.groups)}; 'allod group add {group}' makes it",
            )
    if not missing:
        return picture
    note = intent.message or f"group {', '.join(missing)}"
    said = replace(intent, message=note)

    def plan(on: Picture) -> Change:
        scopes = [group_scope(group) for group in missing]
        return Change(
            {s: edit.empty(on.base.fleet_id, s) for s in scopes if on.base.state(s) is None}
        )

    quiet = Options(json=options.json, fleet=options.fleet, passphrase_file=options.passphrase_file)
    publish(quiet, said, plan)
    return None if intent.dry_run else take(picture.fleet, reports=False)


def url_of(file: bytes) -> str:
    """The URL form of an invite."""
    from allod.trust.papers import short_invite

    packed = zlib.compress(short_invite(file), 9)
    return SCHEME + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _words(data: dict[str, Any], target: Path | None) -> str:
    groups = ", ".join(data["groups"]) or "no group"
    devices = "one device" if data["uses"] == 1 else f"{data['uses']} devices"
    lines = [f"Invite {data['id']} for {devices} into {groups}, until {data['expires']}."]
    if target is not None:
        lines.append(f"On the device: allod-agent bind {target.name}")
    lines += ["Or by its URL:", data["url"]]
    return "\n".join(lines)


def _code(link: str) -> Any:
    import segno

    try:
        return segno.make(link, error="l", micro=False)
    except segno.DataOverflowError as error:
        raise InvalidInput(
            "too-large", "cannot draw this invite as a QR code: it is too long; use file or URL"
        ) from error


def _picture(link: str, path: Path, kind: str) -> None:
    import io

    drawn = io.BytesIO()
    _code(link).save(drawn, kind=kind, scale=4)
    write_atomic(path.absolute(), drawn.getvalue())


def _show_code(link: str, options: Options) -> None:
    import sys

    if not sys.stdout.isatty():
        return
    try:
        _code(link).terminal(compact=True)
    except InvalidInput as error:
        options.output.say(error.message)


def invites(*, options: Options = OPTIONS) -> None:
    """Show the invites that were made on this machine, and what became of them."""
    picture = take(options.open(), reports=False)
    revoked = set(picture.base.fleet_document.revoked_invites)
    used: dict[str, list[str]] = {}
    for device in picture.members.devices:
        used.setdefault(device.binding.invite.id, []).append(device.member.shown)
    rows, data = [], []
    for one in _kept(picture.fleet):
        over = parse_instant(one.expires) < picture.now
        taken = used.get(one.id, [])
        state = "revoked" if one.id in revoked else "expired" if over else "open"
        if state == "open" and len(taken) >= one.uses:
            state = "used up"
        rows.append(
            (one.id, ", ".join(one.groups), f"{len(taken)} of {one.uses}", one.expires, state)
        )
        data.append(
            {
                "id": one.id,
                "groups": one.groups,
                "uses": one.uses,
                "devices": taken,
                "expires": one.expires,
                "state": state,
            }
        )
    options.output.table(
        {"invites": data}, ("invite", "groups", "used", "until", "state"), rows,
        empty="No invites were made on this machine.",
    )  # fmt: skip


def _kept(fleet: LocalFleet) -> list[Invite]:
    from allod.trust.dsse import payload_of

    found = []
    for path in sorted((fleet.directory / "invites").glob("*.json")):
        envelope = decode(path.read_bytes(), Envelope, cap=ENVELOPE_CAP, what=str(path))
        found.append(decode(payload_of(envelope), Invite, cap=ENVELOPE_CAP, what=str(path)))
    return sorted(found, key=lambda one: one.expires)


def revoke(
    name: str,
    *,
    elsewhere: Annotated[bool, Parameter(negative="")] = False,
    intent: Intent = INTENT,
    options: Options = OPTIONS,
) -> None:
    """Take an invite back: no further device gets in by it; those that are in stay.

    Args:
        name: Its id, from 'allod device invites'.
        elsewhere: Also one that nothing is known of here: made on a machine that was lost.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    known = parse_name(name, "an invite's id")
    fleet = options.open()

    def plan(picture: Picture) -> Change:
        document = picture.base.fleet_document
        if known in document.revoked_invites:
            raise Conflict("already-revoked", f"cannot revoke {known}: it is revoked already")
        ids = {one.id for one in _kept(fleet)}
        ids |= {device.binding.invite.id for device in picture.members.devices}
        if known not in ids and not elsewhere:
            raise InvalidInput(
                "unknown-invite",
                f"cannot find the invite {known}; there are: {choices(sorted(ids))}; "
                "--elsewhere revokes one that was made on another machine",
            )
        left = msgspec.structs.replace(
            document, revoked_invites=sorted({*document.revoked_invites, known})
        )
        return Change(files={FLEET_PATH: encode(left)})

    publish_and_say(options, intent, plan)
