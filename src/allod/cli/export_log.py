"""The authority log on a stick: everything that a device asks for that comes from the first root.

What is needed is found by walking as such a device does, with the checkpoint, snapshot and
timestamp that this machine has verified; so the stick is whole, and of one moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from allod.trust.anchor import anchor_at, first_floors
from allod.trust.effects import drive
from allod.trust.metadata import ROOT, SNAPSHOT, TIMESTAMP, metadata_path
from allod.trust.profile import UNWITNESSED
from allod.trust.repository import descend
from allod.trust.statements import authority_log, log_prefix

if TYPE_CHECKING:
    from allod.cli.picture import Picture

_FIRST: Final = metadata_path(ROOT, 1)


def log_files(picture: Picture) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What is to be on the stick, by address below the fleet: first what is named, then what names.

    Bundles and the older files of roles come first; the checkpoint, which names them, after all
    files. Both are empty where the fleet has no log.

    Raises:
        Untrusted, Unavailable: a device would not go through the server's log.
    """
    view = picture.base.view
    repository = view.repository
    log = None if repository.statement is None else authority_log(repository.statement)
    if log is None:
        return {}, {}
    checkpoint = f"{log_prefix(log, picture.base.fleet_id)}/checkpoint"
    signed = repository.floors.log_floor(log.origin)
    known = {
        checkpoint: b"" if signed is None else signed.encode(),
        metadata_path(ROOT, repository.root.version + 1): None,
        metadata_path(TIMESTAMP, None): repository.files[TIMESTAMP],
        metadata_path(SNAPSHOT, view.versions[SNAPSHOT]): repository.files[SNAPSHOT],
    }
    seen: dict[str, bytes] = {}
    get = _recording(known, picture.fleet.client.file, seen)
    first = picture.fleet.client.file(_FIRST, cap=1024 * 1024) or b""
    anchor = anchor_at(first)
    steps = descend(
        anchor,
        first_floors(anchor, repository.floors.time),
        {},
        repository.decided,
        profile=UNWITNESSED,
    )
    drive(steps, get, lambda _: None)
    return seen, {checkpoint: known[checkpoint] or b""}


def _recording(
    known: dict[str, bytes | None],
    ask: Callable[..., bytes | None],
    seen: dict[str, bytes],
) -> Callable[[str, int], bytes | None]:
    def get(path: str, cap: int) -> bytes | None:
        if path in known:
            return known[path]
        data = ask(path, cap=cap)
        if data is not None:
            seen[path] = data
        return data

    return get
