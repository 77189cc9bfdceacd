"""`allod serve` and `allod server …`: the server's own verbs, on the machine where it lives."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter

from allod.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from allod.server.assembly import Server
    from allod.server.settings import Settings

app = App(name="server", help="Make, back up and mend a server.")

Json = Annotated[bool, Parameter(name="--json", negative="")]


def default_directory() -> Path:
    """Where `allod init` makes the server, unless told otherwise."""
    home = os.environ.get("ALLOD_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share" / "allod") / "server"


def serve(directory: Path | None = None, *, json: Json = False) -> None:
    """Run the server until it is told to stop.

    Args:
        directory: Of the server; where 'allod init' made it, unless given.
        json: Say why it cannot serve with one JSON document. Logs are JSON lines in any case.
    """
    del json  # errors are shown by the program
    from allod.server.process import serve as run

    run(_settings(directory))


@app.command
def init(
    directory: Path | None = None,
    *,
    url: str = "https://localhost:8443",
    host: tuple[str, ...] = (),
    address: str = "127.0.0.1",
    port: int | None = None,
    logs: Literal["directory", "sql"] | None = None,
    json: Json = False,
) -> None:
    """Make a server's directory: online keys, secrets, certificates, and its offer.

    Args:
        directory: Where.
        url: How devices and owners reach it.
        host: Further names, for its certificate.
        address: Where it listens.
        port: Where it listens; that of the URL, unless given.
        logs: Keep the fleets' logs as files that any web server can serve, or in a database.
        json: Answer with one JSON document.
    """
    from allod.server.setup import initialise

    place = directory or default_directory()
    settings = initialise(
        place,
        url=url,
        now=datetime.now(UTC),
        hosts=host,
        address=address,
        port=port,
        logs=logs,
    )
    offer = settings.layout.offer
    _say(
        json,
        {"directory": str(place), "url": settings.url, "offer": str(offer)},
        f"The server is in {place}. Hand {offer} to whoever makes a fleet on it (it holds a "
        f"secret), and start it: allod serve {place}",
    )


@app.command(name="new-keys")
def new_keys(directory: Path | None = None, *, json: Json = False) -> None:
    """Make new online keys and offer them: they take over when a fleet's root names them.

    Args:
        directory: Of the server.
        json: Answer with one JSON document.
    """
    from allod.server.setup import offer_new_keys

    settings = _settings(directory)
    offer_new_keys(settings)
    offer = settings.layout.offer
    _say(
        json,
        {"offer": str(offer)},
        f"New keys wait. Their fleets' owners run: allod keys rotate online --server-offer {offer}"
        f" and: allod trust log succeed --server-offer {offer}",
    )


@app.command
def witness(key: str, url: str, directory: Path | None = None, *, json: Json = False) -> None:
    """Let the server ask a witness to cosign the logs whose owners name it. It may run meanwhile.

    Args:
        key: Of the witness: name+id+base64.
        url: Below which it answers to add-checkpoint.
        directory: Of the server.
        json: Answer with one JSON document.
    """
    from allod.server.services.witnesses import add_witness

    known = add_witness(_settings(directory).layout, key, url)
    _say(json, {"witness": known.key.name, "url": known.url}, f"{known.key.name} is asked.")


@app.command(name="settle-keys")
def settle_keys(directory: Path | None = None, *, json: Json = False) -> None:
    """Drop the old online keys, once every fleet's root names the new ones. The server is stopped.

    Args:
        directory: Of the server.
        json: Answer with one JSON document.
    """
    from allod.server import keys
    from allod.server.assembly import assemble
    from allod.server.lock import hold
    from allod.trust.metadata import ROOT, read

    settings = _settings(directory)
    with hold(settings.layout):
        server = assemble(settings)
        try:
            for fleet in settings.layout.fleets():
                root = read(server.publications.load(fleet).anchor.root, ROOT).signed
                for role in keys.ONLINE:
                    waiting = keys.load_waiting(settings.layout, role)
                    if (
                        waiting is not None
                        and waiting.public_key.keyid not in root.roles[role].keyids
                    ):
                        raise Conflict(
                            "key-still-used",
                            f"cannot drop the old key of {role}: the root of fleet {fleet[:16]} "
                            "names it; let its owner run 'allod keys rotate online'",
                        )
            keys.promote_waiting(settings.layout)
            settled = _settle_log_key(server)
        finally:
            server.close()
    says = "The new keys are the server's; the old ones are gone."
    if not settled:
        says += " The logs keep their old key: their owners run 'allod trust log succeed' first."
    _say(json, {"settled": True, "log": settled}, says)


def _settle_log_key(server: Server) -> bool:
    """Drop the old key of the logs, once no fleet's newest logs are kept under it."""
    from allod.server import keys
    from allod.server.services.logs import newest_log
    from allod.tlog.note import parse_key

    layout = server.settings.layout
    waiting = keys.load_log_key(layout, waiting=True)
    if waiting is None:
        return True
    for fleet in layout.fleets():
        statement = server.publications.load(fleet).statement
        for name in ("authority", "activity"):
            log = newest_log(statement, name)
            if log is not None and parse_key(log.key).public != waiting.public:
                return False
    keys.promote_waiting(layout, (keys.LOG,))
    return True


@app.command
def certificate(
    chain: Path,
    key: Path,
    authority: Path,
    directory: Path | None = None,
    *,
    json: Json = False,
) -> None:
    """Install a certificate that the owner's spare authority made. Restart the server then.

    Args:
        chain: The certificate and what is between it and the authority (PEM).
        key: Its private key (PEM).
        authority: The authority (PEM).
        directory: Of the server.
        json: Answer with one JSON document.
    """
    from allod.server.setup import write_offer
    from allod.server.tls import check_pair, install_certificate

    settings = _settings(directory)
    parts = [_read(path) for path in (authority, chain, key)]
    check_pair(parts[1], parts[2])
    install_certificate(settings.layout, *parts)
    write_offer(settings)
    _say(json, {"installed": str(chain)}, "The certificate is in place; restart the server.")


@app.command
def backup(archive: Path, directory: Path | None = None, *, json: Json = False) -> None:
    """Write everything that the server holds to one archive; it may run meanwhile.

    Args:
        archive: The file to write. It holds the server's keys: keep it as safe as the server.
        directory: Of the server.
        json: Answer with one JSON document.
    """
    from allod.server.services.backup import backup as write

    count = write(_settings(directory).layout, archive.absolute())
    _say(json, {"archive": str(archive), "files": count}, f"{count} files are in {archive}.")


@app.command
def restore(archive: Path, directory: Path | None = None, *, json: Json = False) -> None:
    """Unpack a backup into an empty directory. Owners then bring what is newer than the backup.

    Args:
        archive: The backup.
        directory: Where the server is to live.
        json: Answer with one JSON document.
    """
    from allod.server.lock import hold
    from allod.server.services.backup import restore as unpack

    place = directory or default_directory()
    with hold(unpack(archive, place, datetime.now(UTC))):
        counts = _rebuild_all(_settings(place))
    _say(
        json,
        {"directory": str(place), "fleets": list(counts)},
        f"The server is back in {place}. Start it; then every owner runs 'allod server floors'.",
    )


@app.command
def rebuild(directory: Path | None = None, *, json: Json = False) -> None:
    """Make the database again from the signed files. The server is stopped.

    Args:
        directory: Of the server.
        json: Answer with one JSON document.
    """
    from allod.server.lock import hold

    settings = _settings(directory)
    with hold(settings.layout):
        counts = _rebuild_all(settings)
    _say(
        json,
        {"fleets": counts},
        f"{sum(counts.values())} entries of {len(counts)} fleets made anew.",
    )


def _rebuild_all(settings: Settings) -> dict[str, int]:
    """A new database; if this is cut off, fleets are missing in it, and the next start goes on."""
    from allod import durable
    from allod.server.assembly import assemble

    database = settings.layout.database
    for suffix in ("", "-wal", "-shm"):
        durable.remove_file(database.with_name(database.name + suffix))
    server = assemble(settings)
    try:
        return {fleet: server.rebuild(fleet) for fleet in settings.layout.fleets()}
    finally:
        server.close()


def _settings(directory: Path | None) -> Settings:
    from allod.server.settings import load_settings

    return load_settings(directory or default_directory())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput("bad-certificate", f"cannot read {path}: {error.strerror}") from error


def _say(json: bool, data: Mapping[str, Any], text: str) -> None:
    answer = msgspec.json.encode(data).decode() if json else text
    sys.stdout.write(answer + "\n")
