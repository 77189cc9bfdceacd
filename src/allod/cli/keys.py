"""`allod keys`: list, back up, restore, renew and rotate the keys of every role."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import App, Parameter

from allod.cli.options import OPTIONS, Options, Sure, now
from allod.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from allod.cli.keylist import KeyRow
    from allod.cli.refresh import View

app = App(name="keys", help="List, back up, restore, renew and rotate keys.")

Yes = Annotated[bool, Parameter(negative="")]
Role = Literal["root", "targets", "online", "provider", "api", "tls", "spare-ca"]


@app.command(name="list")
def list_(
    *,
    offline: Yes = False,
    options: Options = OPTIONS,
) -> None:
    """Show all keys: role, where each lies, since when, and until when its word is good.

    Args:
        offline: Only what this machine knows; do not ask the server.
        options: Options of every verb.
    """
    from allod.cli.keylist import key_rows

    fleet = options.open()
    try:
        rows = key_rows(fleet, ask=not offline, at=now())
    except Unavailable as error:
        if error.code != "server-unreachable":
            raise
        options.output.say(f"{error.message} Shown is only what this machine knows.")
        rows = key_rows(fleet, ask=False, at=now())
    table = [
        (row.role, row.id[:12], row.state, _PLACES.get(row.where, row.where), *_days(row), row.note)
        for row in rows
    ]
    columns = ("role", "key", "state", "where", "made", "good until", "")
    options.output.table(rows, columns, table)


_PLACES: Final = {"this machine": "here", "the server": "server"}


def _days(row: KeyRow) -> tuple[str, str]:
    """When it was made and until when it is good, to the day."""
    return row.created[:10], row.expires[:10]


@app.command
def backup(file: Path, *, options: Options = OPTIONS) -> None:
    """Write all keys of this machine to one file, sealed by your passphrase.

    Args:
        file: Where to.
        options: Options of every verb.
    """
    from allod.cli.backup import write_backup

    made = write_backup(options.open(), file, now=now())
    data = {"file": str(file), "keys": [record.id for record in made.keys if record.file]}
    options.output.result(data, f"{len(made.files)} keys are in {file}; keep it apart from here.")


@app.command
def restore(
    file: Path | None = None,
    *,
    paper: Yes = False,
    recovery_file: Path | None = None,
    server_offer: Path | None = None,
    id: str | None = None,  # noqa: A002 - the option's own word
    name: str | None = None,
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Bring keys back: from a backup, or with the recovery key on paper.

    The recovery key makes new keys for everything else, and the lost ones void.

    Args:
        file: A backup made by 'allod keys backup'.
        paper: Type in the recovery key.
        recovery_file: Read the recovery key from this file.
        server_offer: The server's offer (offer.json in its directory): where it is, what it is
            pinned to, and its leave to publish without an API key. For the recovery key; the
            server of this machine, unless given.
        id: The fleet's number on the sheet; needed where the recovery key is typed in, and the
            server has several fleets.
        name: The fleet's name on this machine, if it is not known here.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.fleet import home_directory

    if file is not None:
        from allod.cli.backup import read_backup, restore_backup

        saved = read_backup(file)
        directory = home_directory() / "fleets" / (name or saved.settings.name)
        fleet = restore_backup(saved, directory, options.passphrase())
        data = {"fleet": fleet.id, "directory": str(fleet.directory)}
        options.output.result(data, f"The keys of {fleet.name} are back in {fleet.directory}.")
        return
    if not paper and recovery_file is None:
        raise InvalidInput(
            "bad-arguments", "cannot restore from nothing: name a backup, or give --paper"
        )
    from allod.cli.recovery import recover

    recover(
        recovery_file,
        server_offer=server_offer,
        fleet_id=id,
        name=name,
        yes=yes,
        options=options,
    )


@app.command
def renew(
    role: Literal["root", "targets", "all"] = "all",
    *,
    proposal: Path | None = None,
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Sign anew, with a later date, what the keys say; also what has expired already.

    Args:
        role: Of which keys; all that is more than half over, unless given.
        proposal: Write a proposal for a ceremony instead of signing as root here.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.rotation import renew as renew_role

    renew_role(_view(options), role, out=proposal, yes=yes, options=options)


@app.command
def rotate(
    role: Role,
    *,
    provider: str = "me",
    server_offer: Path | None = None,
    paper: Yes = False,
    recovery_file: Path | None = None,
    new_recovery_file: Path | None = None,
    new_paper: Yes = False,
    proposal: Path | None = None,
    yes: Sure = False,
    options: Options = OPTIONS,
) -> None:
    """Put new keys in the place of old ones.

    Args:
        role: Whose.
        provider: With the role provider: which one.
        server_offer: With online and tls: the server's new offer.
        paper: With root: sign with the recovery key, typed in.
        recovery_file: With root: sign with the recovery key in this file.
        new_recovery_file: With root: make a new recovery key too, and write it to this file.
        new_paper: With root: make a new recovery key too, to be written down.
        proposal: Write a proposal for a ceremony instead of signing as root here.
        yes: Do not ask.
        options: Options of every verb.
    """
    from allod.cli.rotation import RotationWish
    from allod.cli.rotation import rotate as rotate_role

    wish = RotationWish(
        provider=provider,
        server_offer=server_offer,
        paper=paper,
        recovery_file=recovery_file,
        new_recovery_file=new_recovery_file,
        new_paper=new_paper,
        out=proposal,
        yes=yes,
    )
    rotate_role(_view(options), role, wish, options=options)


@app.command
def certify(out: Path, *, host: tuple[str, ...] = (), options: Options = OPTIONS) -> None:
    """Certify the server by your spare authority: for a server that lost its own.

    Devices pin the spare from the first day. Install with 'allod server certificate'.

    Args:
        out: A new directory for chain.pem, key.pem and authority.pem.
        host: Names and addresses of the server; those of the fleet's address, unless given.
        options: Options of every verb.
    """
    from allod.cli.spare import certify_server

    hosts = certify_server(options.open(), out, host, at=now())
    options.output.result(
        {"directory": str(out), "hosts": hosts},
        f"The certificate for {', '.join(hosts)} is in {out}. On the server: "
        f"allod server certificate {out}/chain.pem {out}/key.pem {out}/authority.pem",
    )


def _view(options: Options) -> View:
    from allod.cli.refresh import refresh

    view = refresh(options.open(), allow_expired=True)
    view.load_all()
    return view
