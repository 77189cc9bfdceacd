"""`allod witness …`: the verbs of whoever runs a witness."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from allod.errors import InvalidInput
from allod.server.witness.directory import WitnessDirectory

app = App(name="witness", help="Vouch that logs only grow.")

Json = Annotated[bool, Parameter(name="--json", negative="")]


@app.command
def init(
    directory: Path,
    *,
    name: str,
    address: str = "127.0.0.1",
    port: int = 8448,
    json: Json = False,
) -> None:
    """Make a witness: a directory with a key of its own. Owners name its key in their fleet.

    Args:
        directory: Where.
        name: Of the witness, such as witness.example/1; it stands in its key.
        address: Where it listens.
        port: Where it listens.
        json: Answer with one JSON document.
    """
    key = WitnessDirectory(directory).create(name, address, port)
    _say(json, {"directory": str(directory), "key": str(key)}, str(key))


@app.command(name="add-log")
def add_log(
    directory: Path, key: str, *keys: str, origin: str | None = None, json: Json = False
) -> None:
    """Let the witness know a log; it may run meanwhile.

    Args:
        directory: Of the witness.
        key: Of the log: name+id+base64.
        keys: Further keys of the same log.
        origin: Of the log; the name of its key, unless given.
        json: Answer with one JSON document.
    """
    from allod.tlog.note import parse_key

    parsed = tuple(parse_key(text) for text in (key, *keys))
    names = {one.name for one in parsed}
    if origin is None and len(names) != 1:
        raise InvalidInput("bad-key", "cannot tell the log's origin: its keys differ; say --origin")
    place = WitnessDirectory(directory)
    _ = place.settings  # a witness lives here
    place.add_log(origin or parsed[0].name, parsed)
    _say(json, {"origin": origin or parsed[0].name}, f"{origin or parsed[0].name} is known.")


@app.command
def logs(directory: Path, *, json: Json = False) -> None:
    """Show the logs that a witness knows, and how much of each it cosigned.

    Args:
        directory: Of the witness.
        json: Answer with one JSON document.
    """
    place = WitnessDirectory(directory)
    _ = place.settings
    rows = [
        {"origin": log.origin, "keys": log.keys, "size": place.latest(log.origin).size}
        for log in place.logs()
    ]
    lines = [f"{row['size']:>12}  {row['origin']}" for row in rows]
    _say(json, {"logs": rows}, "\n".join(lines) or "No logs.")


@app.command
def serve(directory: Path, *, json: Json = False) -> None:
    """Run the witness until it is told to stop.

    Args:
        directory: Of the witness. With tls/certificate.pem and tls/key.pem in it, it speaks TLS.
        json: Say why it cannot serve with one JSON document. Logs are JSON lines in any case.
    """
    del json  # errors are shown by the program
    import time

    from allod.server.logs import configure_logs
    from allod.server.process import Listener, check_port, serve_application
    from allod.server.witness.app import CONNECTIONS, WitnessApp
    from allod.server.witness.service import Witness

    place = WitnessDirectory(directory)
    settings = place.settings
    configure_logs("info")
    with place.hold():
        check_port(settings.address, settings.port)
        witness = Witness(place, place.signer(), time.time)
        pair = (directory / "tls" / "certificate.pem", directory / "tls" / "key.pem")
        listener = Listener(
            settings.address,
            settings.port,
            CONNECTIONS,
            pair if all(path.is_file() for path in pair) else None,
        )
        serve_application(WitnessApp(witness), listener)


def _say(json: bool, data: Mapping[str, Any], text: str) -> None:
    sys.stdout.write((msgspec.json.encode(data).decode() if json else text) + "\n")
