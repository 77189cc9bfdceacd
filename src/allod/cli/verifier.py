"""`allod verifier`: who looks at releases on the owner's side, and whose word devices take for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from cyclopts import App

from allod.cli.options import OPTIONS, Options, Sure, now
from allod.domain.ids import parse_name
from allod.domain.terms import PROVIDER
from allod.errors import Conflict, InvalidInput, Refused
from allod.wire.codec import Document, decode, encode
from allod.wire.envelope import PublicKey
from allod.wire.trust import FleetDocument, Verifier

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

    from allod.cli.keystore import KeyStore

app = App(name="verifier", help="Whose word on builds and on mended flaws devices take.")

Vouches = Literal["mends", "provenance"]
ROLE: Final = "verifier"
_CAP: Final = 64 * 1024


class VerifierCard(Document, frozen=True, kw_only=True):
    """Who is to vouch in a fleet: the public half of their key."""

    type: Literal["allod.verifier-card"] = "allod.verifier-card"
    format: Literal[1] = 1
    key: PublicKey


@app.command
def add(
    name: str,
    *,
    key: Path | None = None,
    vouches: tuple[Vouches, ...] = (),
    source: tuple[str, ...] = (),
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Let devices take somebody's word: that releases were built as you ask, or mend flaws.

    Their key alone puts nothing on a device; but with it, what you ask of builds is met, and what
    you ask of delegates' security fixes is met, wherever they say so.

    Args:
        name: Who it is.
        key: Their card, from 'allod verifier key' on their machine; a key is made here unless given.
        vouches: For what: provenance, mends; several times.
        source: A source of advisories that their word on flaws may rest on; several times; any
            unless given.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.publishing import publish_documents
    from allod.cli.refresh import refresh

    parse_name(name, "a verifier's name")
    sources = sorted({parse_name(one, "a source of advisories") for one in source})
    if not vouches:
        raise InvalidInput("bad-arguments", "cannot add a verifier: say what for with --vouches")
    if sources and "mends" not in vouches:
        raise InvalidInput("bad-arguments", "cannot use --source without --vouches mends")
    if PROVIDER in sources:
        raise InvalidInput(
            "bad-arguments", f"cannot let {name} speak as {PROVIDER!r}: that is the provider's word"
        )
    view = refresh(options.open())
    document = view.fleet_document
    public = _read_card(key) if key is not None else _own_key(options)
    _check_new(document, name, public)
    made = Verifier(name=name, key=public, vouches=sorted(set(vouches)), sources=sources)
    what = " and ".join(_SAYS[one] for one in made.vouches)
    by = f", by {', '.join(sources)}" if sources else ""
    options.output.confirm(f"Let devices take the word of {name} {what}{by}?", yes=yes)
    changed = msgspec.structs.replace(document, verifiers=[*document.verifiers, made])
    receipt = publish_documents(
        view, {"fleet.json": encode(changed)}, message=f"verifier: add {name}"
    )
    options.output.result(receipt, f"Devices take the word of {name} {what}{by} now.")


_SAYS: Final = {
    "mends": "that a release mends flaws",
    "provenance": "that a release was built as you ask",
}


def _check_new(document: FleetDocument, name: str, key: PublicKey) -> None:
    """One name, one key, one purpose."""
    for one in document.verifiers:
        if one.name == name or one.key == key:
            raise Conflict(
                "exists", f"cannot add {name}: {one.name} is there with that name or key"
            )
    for person in document.people:
        if key in (person.key, person.approval):
            raise Conflict("exists", f"cannot add {name}: the key is {person.name}'s already")


def _read_card(path: Path) -> PublicKey:
    from allod.cli.ceremony import read_public_key
    from allod.trust.keys import from_key, to_key

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput("bad-key", f"cannot read the key {path}: {error.strerror}") from error
    if b'"allod.verifier-card"' not in data:
        return from_key(read_public_key(path))
    public = decode(data, VerifierCard, cap=_CAP, what=f"the card {path}").key
    to_key(public)
    return public


@app.command(name="list")
def list_(*, options: Options = OPTIONS) -> None:
    """Show whose word devices take."""
    from allod.cli.refresh import refresh
    from allod.trust.keys import key_id

    found = refresh(options.open()).fleet_document.verifiers
    rows = [
        (one.name, ", ".join(one.vouches), ", ".join(one.sources) or "any", key_id(one.key)[:16])
        for one in found
    ]
    options.output.table(found, ("name", "vouches for", "sources", "key"), rows)


@app.command
def remove(name: str, *, yes: Sure = False, options: Options = OPTIONS) -> None:
    """Let devices take somebody's word no more; what they said before counts no more either.

    Args:
        name: Who.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.publishing import publish_documents
    from allod.cli.refresh import refresh

    view = refresh(options.open())
    document = view.fleet_document
    left = [one for one in document.verifiers if one.name != name]
    if len(left) == len(document.verifiers):
        raise InvalidInput("not-found", f"cannot remove {name}: there is no verifier of that name")
    options.output.confirm(f"Let no device take the word of {name} any more?", yes=yes)
    changed = msgspec.structs.replace(document, verifiers=left)
    receipt = publish_documents(
        view, {"fleet.json": encode(changed)}, message=f"verifier: remove {name}"
    )
    options.output.result(receipt, f"No device takes the word of {name} any more.")


@app.command
def key(out: Path, *, options: Options = OPTIONS) -> None:
    """Make a key on the machine of whoever is to vouch, and a card for the fleet's owner.

    Args:
        out: The file to hand to the owner.
        options: Options of every verb.
    """
    from allod.durable import write_atomic
    from allod.trust.keys import key_id

    if out.exists():
        raise Conflict("exists", f"cannot write {out}: it is there already")
    public = _own_key(options)
    write_atomic(out.absolute(), encode(VerifierCard(key=public)), mode=0o644)
    data = {"id": key_id(public), "file": str(out)}
    options.output.result(data, f"Hand {out} to the owner of the fleet.")


def _store(options: Options) -> KeyStore:
    """Keys of whoever works here, apart from those of any fleet."""
    from allod.cli.fleet import home_directory
    from allod.cli.keystore import KeyStore

    return KeyStore(home_directory() / "person" / "keys", options.passphrase())


def _own_key(options: Options) -> PublicKey:
    """The key of a verifier that lies here; made if there is none."""
    keys = _store(options)
    if not (keys.directory / "index.json").exists():
        keys.create()
    held = keys.records(ROLE)
    return (held[-1] if held else keys.generate(ROLE, now=now())).public


def acting(document: FleetDocument, what: Vouches, options: Options) -> tuple[Verifier, Signer]:
    """As which verifier this machine may vouch, and with which key.

    Raises:
        Refused: `no-verifier`: the owner lets none of the keys here vouch for that.
    """
    keys = _store(options)
    held = keys.records(ROLE) if (keys.directory / "index.json").exists() else ()
    for verifier in document.verifiers:
        for record in held:
            if record.public == verifier.key and what in verifier.vouches:
                return verifier, keys.signer(record)
    raise Refused(
        "no-verifier",
        f"cannot vouch: no key on this machine may say {_SAYS[what]}; make one with 'allod verifier "
        "key', and have the owner name it with 'allod verifier add'",
    )
