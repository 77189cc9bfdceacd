"""`allod people`: who may speak to the server's administration API, and who approves changes."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec
from cyclopts import App

from allod.cli.options import OPTIONS, Options, Sure
from allod.domain.ids import parse_name
from allod.errors import Conflict, InvalidInput, Refused
from allod.wire.codec import Document
from allod.wire.envelope import PublicKey

app = App(name="people", help="Who may speak to the server, and who approves changes.")

Right = Literal["admin", "read", "publish", "approver"]
_CAP: Final = 64 * 1024


class PersonCard(Document, frozen=True, kw_only=True):
    """Who is to have a part in a fleet: the public halves of their two keys."""

    type: Literal["allod.person-card"] = "allod.person-card"
    format: Literal[1] = 1
    api: PublicKey  #: signs requests to the server
    approval: PublicKey  #: signs approvals, and nothing else


@app.command
def add(
    name: str,
    key: Path,
    *,
    right: Right | None = None,
    kind: tuple[str, ...] = (),
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Let somebody speak to the server, and approve changes.

    Args:
        name: Who it is.
        key: Their card, from 'allod people key' on their machine.
        right: What they may do there (read, or approver with --kind); only you sign what devices
            do.
        kind: As whom their approvals count, like qa or operations; several times.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.publishing import publish_documents
    from allod.cli.refresh import refresh
    from allod.wire.codec import encode
    from allod.wire.trust import Person

    parse_name(name)
    kinds = sorted({parse_name(one, "a kind of approval") for one in kind})
    api, approval = read_keys(key)
    if kinds and approval is None:
        raise InvalidInput(
            "bad-key",
            f"cannot let {name} approve as {kinds[0]}: {key} has no key for approvals; it is a card "
            "that 'allod people key' writes",
        )
    may: Right = right or ("approver" if kinds else "read")
    view = refresh(options.open())
    document = view.fleet_document
    if any(person.name == name for person in document.people):
        raise Conflict("exists", f"cannot add {name}: they are there already; remove them first")
    shared = next((one.name for one in document.people if api == one.key), None) or next(
        (one.name for one in document.people if approval is not None and approval == one.approval),
        None,
    )
    if shared is not None:
        raise Conflict("exists", f"cannot add {name}: the card's keys are {shared}'s already")
    person = Person(name=name, key=api, role=may, kinds=kinds, approval=approval if kinds else None)
    changed = msgspec.structs.replace(document, people=[*document.people, person])
    approves = f" and approve changes as {' and '.join(kinds)}" if kinds else ""
    options.output.confirm(f"Let {name} ({may}) speak to the server{approves}?", yes=yes)
    receipt = publish_documents(
        view, {"fleet.json": encode(changed)}, message=f"people: add {name}"
    )
    options.output.result(receipt, f"{name} may speak to the server{approves} now ({may}).")


def read_keys(path: Path) -> tuple[PublicKey, PublicKey | None]:
    """The keys of a person: for speaking to the server, and for approvals, if there is one.

    Raises:
        InvalidInput: `bad-key`, or it cannot be read.
    """
    from allod.cli.ceremony import read_public_key
    from allod.trust.keys import from_key, to_key
    from allod.wire.codec import decode

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput("bad-key", f"cannot read the key {path}: {error.strerror}") from error
    if b'"allod.delegate-card"' in data:
        raise InvalidInput(
            "bad-key",
            f"cannot take {path}: it is the card of somebody who gives orders ('allod delegate "
            "grant'); who approves makes one with 'allod people key'",
        )
    if b'"allod.person-card"' not in data:
        return from_key(read_public_key(path)), None
    card = decode(data, PersonCard, cap=_CAP, what=f"the card {path}")
    for one in (card.api, card.approval):
        to_key(one)
    if card.api == card.approval:
        raise InvalidInput("bad-key", f"cannot use {path}: both of its keys are one")
    return card.api, card.approval


@app.command(name="list")
def list_(*, options: Options = OPTIONS) -> None:
    """Show who may speak to the server."""
    from allod.cli.refresh import refresh
    from allod.trust.keys import key_id

    people = refresh(options.open()).fleet_document.people
    rows = [
        (person.name, person.role, ", ".join(person.kinds), key_id(person.key)[:16])
        for person in people
    ]
    options.output.table(people, ("name", "may", "approves as", "key"), rows)


@app.command
def remove(
    name: str,
    *,
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Let somebody no longer speak to the server.

    Args:
        name: Who.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.publishing import publish_documents
    from allod.cli.refresh import refresh
    from allod.wire.codec import encode

    fleet = options.open()
    if name == fleet.settings.person:
        raise Refused("own-key", "cannot remove yourself: you could not undo it from this machine")
    view = refresh(fleet)
    document = view.fleet_document
    left = [person for person in document.people if person.name != name]
    if len(left) == len(document.people):
        raise InvalidInput("not-found", f"cannot remove {name}: there is nobody of that name")
    options.output.confirm(f"Remove {name}?", yes=yes)
    changed = msgspec.structs.replace(document, people=left)
    receipt = publish_documents(
        view, {"fleet.json": encode(changed)}, message=f"people: remove {name}"
    )
    options.output.result(receipt, f"{name} may no longer speak to the server.")


@app.command
def key(out: Path, *, options: Options = OPTIONS) -> None:
    """Make keys for a fleet that somebody else owns: to speak to its server, and to approve.

    Both public halves stand in one card.

    Args:
        out: The file to hand to the fleet's owner.
        options: Options of every verb.
    """
    from allod.cli.fleet import home_directory
    from allod.cli.keystore import KeyStore
    from allod.cli.options import now
    from allod.durable import write_atomic
    from allod.wire.codec import encode

    if out.exists():
        raise Conflict("exists", f"cannot write {out}: it is there already")
    keys = KeyStore(home_directory() / "person" / "keys", options.passphrase())
    if not (keys.directory / "index.json").exists():
        keys.create()
    made = {}
    for role in ("api", "approval"):
        held = keys.records(role)
        made[role] = held[-1] if held else keys.generate(role, now=now())
    card = PersonCard(api=made["api"].public, approval=made["approval"].public)
    write_atomic(out.absolute(), encode(card), mode=0o644)
    data = {"id": made["api"].id, "approval": made["approval"].id, "file": str(out)}
    options.output.result(data, f"Hand {out} to the owner of the fleet.")
