"""What ran when it was last looked at: so that advisories that come in later need no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from allod.cli.vulnerabilities.ware import Running
from allod.durable import make_directory, write_atomic
from allod.errors import InvalidInput
from allod.wire.codec import instant

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

_NAME: Final = "flaws/running.json"
_FORMAT: Final = 1


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`running.json` of a fleet on the owner's machine; made anew at every look."""

    format: int = _FORMAT
    fleet: str
    at: str
    running: Running


def save_snapshot(directory: Path, fleet: str, running: Running, now: datetime) -> None:
    """Keep what runs in the whole fleet."""
    path = directory / _NAME
    make_directory(path.parent)
    write_atomic(path, msgspec.json.encode(Snapshot(fleet=fleet, at=instant(now), running=running)))


def load_snapshot(directory: Path, fleet: str) -> Snapshot | None:
    """What was kept; None: nobody ever looked, or an older program did.

    Raises:
        InvalidInput: `bad-snapshot`: it is damaged; 'allod vulnerabilities' makes it anew.
    """
    path = directory / _NAME
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Snapshot)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput(
            "bad-snapshot",
            f"cannot use {path}: it is damaged; 'allod vulnerabilities' makes it anew",
        ) from error
    return found if (found.format, found.fleet) == (_FORMAT, fleet) else None
