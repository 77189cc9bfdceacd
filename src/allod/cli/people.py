"""`allod people`: who may speak to the server's administration API."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from cyclopts import App

from allod.cli.options import OPTIONS, Options, Sure
from allod.domain.ids import parse_name
from allod.errors import Conflict, InvalidInput, Refused

app = App(name="people", help="Who may speak to the server.")

Right = Literal["admin", "read", "publish", "approver"]


@app.command
def add(
    name: str,
    key: Path,
    *,
    right: Right = "read",
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Let somebody speak to the server.

    Args:
        name: Who it is.
        key: Their public key, from 'allod people key' on their machine.
        right: What they may do there; only you sign what devices do.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.ceremony import read_public_key
    from allod.cli.publishing import publish_documents
    from allod.cli.refresh import refresh
    from allod.trust.keys import from_key
    from allod.wire.codec import encode
    from allod.wire.trust import Person

    parse_name(name)
    public = from_key(read_public_key(key))
    view = refresh(options.open())
    document = view.fleet_document
    if any(person.name == name for person in document.people):
        raise Conflict("exists", f"cannot add {name}: they are there already; remove them first")
    changed = msgspec.structs.replace(
        document, people=[*document.people, Person(name=name, key=public, role=right)]
    )
    options.output.confirm(f"Let {name} ({right}) speak to the server?", yes=yes)
    receipt = publish_documents(
        view, {"fleet.json": encode(changed)}, message=f"people: add {name}"
    )
    options.output.result(receipt, f"{name} may speak to the server now ({right}).")


@app.command(name="list")
def list_(*, options: Options = OPTIONS) -> None:
    """Show who may speak to the server."""
    from allod.cli.refresh import refresh
    from allod.trust.keys import key_id

    people = refresh(options.open()).fleet_document.people
    rows = [(person.name, person.role, key_id(person.key)[:16]) for person in people]
    options.output.table(people, ("name", "may", "key"), rows)


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
    """Make a key for speaking to a server that somebody else owns, and write its public half.

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
    held = keys.records("api")
    record = held[-1] if held else keys.generate("api", now=now())
    write_atomic(out.absolute(), encode(record.public), mode=0o644)
    options.output.result(
        {"id": record.id, "file": str(out)}, f"Hand {out} to the owner of the fleet."
    )
