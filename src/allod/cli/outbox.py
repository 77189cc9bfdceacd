"""What devices without a network left on a stick, carried to the server. Repeating it is harmless."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from allod.domain.ids import parse_device
from allod.errors import AllodError, InvalidInput

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet

_CAP: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the files."""

    bindings: int
    reports: int
    refused: tuple[tuple[str, str], ...]  #: file and reason


def carry_in(fleet: LocalFleet, directory: Path) -> Outcome:
    """Hand in every record and report of `directory/outbox`, bindings first, reports in order.

    Raises:
        InvalidInput: `no-outbox`.
        Unavailable: the server cannot be reached.
    """
    outbox = directory / "outbox"
    if not outbox.is_dir():
        raise InvalidInput(
            "no-outbox", f"cannot find anything to admit in {directory}: it has no 'outbox'"
        )
    refused: list[tuple[str, str]] = []
    bindings = sum(
        _hand_in(fleet, path, f"/f/{fleet.id}/bindings", refused)
        for path in sorted((outbox / "bindings").glob("*.json"))
    )
    reports = 0
    for folder in sorted((outbox / "reports").glob("*")):
        try:
            device = parse_device(folder.name)
        except AllodError as error:
            refused.append((folder.name, error.message))
            continue
        files = sorted(folder.glob("*.json"), key=lambda path: (len(path.stem), path.stem))
        where = f"/f/{fleet.id}/devices/{device}/reports"
        reports += sum(_hand_in(fleet, path, where, refused) for path in files)
    return Outcome(bindings, reports, tuple(refused))


def _hand_in(fleet: LocalFleet, path: Path, where: str, refused: list[tuple[str, str]]) -> bool:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _CAP:
            raise InvalidInput("bad-document", f"cannot admit {path.name}: it is no small file")
        fleet.client.request("POST", where, body=path.read_bytes())
    except AllodError as error:
        if error.code in {"server-unreachable", "wrong-certificate"}:
            raise
        refused.append((path.name, error.message))
        return False
    return True
