"""Backup and restore of the server's directory: one archive, consistent while the server runs.

Published files never change and are never removed. So it is enough to list those of a fleet, and
to read the few that are replaced, while no publication is under way; they are copied after that
at leisure. What names other files is listed before what it names: releases before their blobs.
Of a log the checkpoint goes before its tiles, which only grow; logs in a database are copied as of
one moment. Bindings, reports, tokens and alarms are single files. The projection is left out: a
restored server makes it again from the files, so that the two cannot differ.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from allod import durable
from allod.errors import Conflict, InvalidInput
from allod.packaging.extract import extract
from allod.server.layout import FleetDirectory, ServerDirectory
from allod.server.lock import publishing
from allod.server.log.sql import copy_logs
from allod.server.services.logs import mark_restored
from allod.wire.codec import encode, instant

_SETTINGS: Final = "settings.json"
_PUBLISHED: Final = ("tuf", "trust", "publications", "channels")
_DATABASE: Final = "database.sqlite"
_LOGS: Final = "logs.sqlite"


def backup(layout: ServerDirectory, archive: Path) -> int:
    """Write an archive and return how many files it holds. The server may go on meanwhile.

    The archive holds the server's online keys and secrets: its mode is 0600.

    Raises:
        Conflict: `exists`: an archive is never overwritten.
    """
    if archive.exists():
        raise Conflict("exists", f"cannot write {archive}: it exists; choose another name")
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".allod-backup-") as directory:
        partial = Path(directory) / "archive"
        with tarfile.open(partial, "w:gz", compresslevel=3) as tar:
            count = _write(layout, tar, archive.parent)
        partial.chmod(0o600)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        try:
            os.link(partial, archive)
        except FileExistsError as error:
            raise Conflict("exists", f"cannot write {archive}: it exists") from error
    durable.sync_directory(archive.parent)
    return count


def _write(layout: ServerDirectory, tar: tarfile.TarFile, place: Path) -> int:
    """Write everything; what has to be copied first goes below `place`."""
    root, count, fleets = layout.root, 0, layout.fleets()
    for fleet in fleets:
        listed, replaced = _published(layout.fleet(fleet))
        for path, data in replaced.items():
            info = tarfile.TarInfo(str(path.relative_to(root)))
            info.size, info.mode, info.mtime = len(data), 0o600, path.parent.stat().st_mtime
            tar.addfile(info, io.BytesIO(data))
        for path in listed:
            tar.add(path, arcname=str(path.relative_to(root)), recursive=False)
        count += len(listed) + len(replaced)
    for path in (*_others(root, fleets, blobs=False), *_others(root, fleets, blobs=True)):
        with contextlib.suppress(FileNotFoundError):  # an old heartbeat that went meanwhile
            tar.add(path, arcname=str(path.relative_to(root)), recursive=False)
            count += 1
    if layout.logs_database.is_file():
        with tempfile.TemporaryDirectory(dir=place, prefix=".allod-backup-") as directory:
            copy = Path(directory) / _LOGS
            copy_logs(layout.logs_database, copy)
            tar.add(copy, arcname=_LOGS, recursive=False)
        count += 1
    return count


def _published(fleet: FleetDirectory) -> tuple[list[Path], dict[Path, bytes]]:
    """The published files that never change, and the bytes of those that do, of one moment."""
    listed: list[Path] = []
    replaced: dict[Path, bytes] = {}
    with publishing(fleet):
        for room in _PUBLISHED:
            listed.extend(_walk(fleet.root / room))
        for path in (fleet.root / "tuf" / "timestamp.json", fleet.pending, fleet.restored):
            if path.is_file():
                replaced[path] = path.read_bytes()
        for path in (*_walk(fleet.root / "trust"), *fleet.root.glob("channels/*/*/latest.json")):
            replaced[path] = path.read_bytes()
    return [path for path in listed if path not in replaced], replaced


def _walk(directory: Path) -> Iterator[Path]:
    """Files below a directory; temporary ones have names that begin with a dot."""
    for parent, names, files in os.walk(directory):
        names.sort()
        yield from (Path(parent) / name for name in sorted(files) if not name.startswith("."))


def _others(root: Path, fleets: Sequence[str], *, blobs: bool) -> Iterator[Path]:
    """What is no fleet's publication: either the blobs, or everything else."""
    for path in _walk(root):
        parts = path.relative_to(root).parts
        room = parts[2] if parts[0] == "fleets" and len(parts) > 3 else ""  # noqa: PLR2004
        single = parts[0] == "fleets" and parts[-1] in {"pending.json", "restored.json"}
        late = parts[0] == "fleets" and parts[1] not in fleets
        if (
            late
            or room in _PUBLISHED
            or single
            or parts[0].startswith((_DATABASE, _LOGS))
            or parts == ("lock",)
        ):
            continue
        if parts[2:4] != ("blobs", "uploads") and (room == "blobs") is blobs:
            yield path


def restore(archive: Path, directory: Path, now: datetime) -> ServerDirectory:
    """Unpack an archive into an empty directory, and mark every fleet as restored.

    A restored fleet publishes nothing before it knows where the floors are (attack 62). The
    settings are put in place last: a directory that was half restored is no server.

    Raises:
        Conflict: `exists`: the directory is not empty.
        InvalidInput: `bad-archive`.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Conflict("exists", f"cannot restore into {directory}: it is not empty")
    durable.make_directory(directory)
    settings: bytes | None = None
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.name == _SETTINGS and member.isreg():
                    file = tar.extractfile(member)
                    settings = None if file is None else file.read()
                elif not member.name.startswith(_DATABASE):
                    extract(tar, member, directory)
                    if member.isreg():  # a report came when its file says
                        os.utime(directory / member.name, (member.mtime, member.mtime))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InvalidInput("bad-archive", f"cannot restore from {archive}: {error}") from error
    if settings is None:
        raise InvalidInput(
            "bad-archive", f"cannot restore from {archive}: it is no server's backup"
        )
    layout = ServerDirectory(directory)
    durable.make_directory(layout.inbox)
    for fleet in layout.fleets():
        mark_restored(layout, fleet)
        durable.write_atomic(layout.fleet(fleet).restored, encode({"at": instant(now)}))
    _sync(directory)
    durable.write_atomic(layout.settings, settings)
    return layout


def _sync(directory: Path) -> None:
    """Make everything that was unpacked durable."""
    for parent, _, files in os.walk(directory):
        for name in files:
            with (Path(parent) / name).open("rb") as file:
                os.fsync(file.fileno())
        durable.sync_directory(Path(parent))
