"""What lies in the directory of a service that is a plain process: its unit, its notes, its log.

Standard library only, as the supervisor reads it too.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Final

from allod.agent.ports import ServiceUnit
from allod.durable import write_atomic
from allod.errors import InvalidInput

LOG_CAP: Final = 1024 * 1024  #: bytes of `log` before it becomes `log.1`


def encode_unit(unit: ServiceUnit) -> bytes:
    """The unit as JSON; the same unit is always the same bytes.

    Raises:
        InvalidInput: `bad-service`: no command, or a NUL in a word.
    """
    words = (*unit.command, *unit.environment.keys(), *unit.environment.values())
    if not unit.command or any("\0" in word for word in words):
        raise InvalidInput("bad-service", f"cannot run {unit.package}: its command can't be used")
    value = {
        "package": unit.package,
        "name": unit.name,
        "command": list(unit.command),
        "environment": dict(unit.environment),
        "directory": str(unit.directory),
        "data": None if unit.data is None else str(unit.data),
        "configuration": str(unit.configuration),
        "access": sorted(unit.access),
        "stop_seconds": unit.stop_seconds,
        "complain": unit.complain,
    }
    return json.dumps(value, sort_keys=True).encode()


def read_json(path: Path) -> dict[str, Any]:
    """A file that only the agent writes; one that is damaged counts as missing."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def last_words(place: Path) -> str:
    """The end of the log, printable, to say why it does not run."""
    try:
        with (place / "log").open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 400))
            tail = log.read(400).decode("utf-8", "replace")
    except OSError:
        return "not running"
    line = tail.strip().rpartition("\n")[2]
    return "not running: " + "".join(sign if sign.isprintable() else " " for sign in line)[-200:]


def cap_log(place: Path) -> None:
    """Move a full log aside. The service keeps its descriptor: it appends, so the file is cut."""
    with contextlib.suppress(OSError):
        log = place / "log"
        if log.stat().st_size <= LOG_CAP:
            return
        with log.open("r+b") as file:
            file.seek(-LOG_CAP // 2, os.SEEK_END)
            kept = file.read(LOG_CAP // 2)
            file.truncate(0)
        write_atomic(place / "log.1", kept)
