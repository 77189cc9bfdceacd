"""Backup and restore of the server's directory: one archive, consistent while the server runs.

Published files never change and are never removed; so an archive that takes every `timestamp.json`
first and every `pending.json` last holds all that its timestamps name.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from allod import durable
from allod.errors import Conflict, InvalidInput
from allod.server.layout import ServerDirectory
from allod.wire.codec import encode, instant

_SKIPPED: Final = ("lock", "database.sqlite", "database.sqlite-wal", "database.sqlite-shm")


def _files(root: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name != "uploads")
        for name in sorted(files):
            path = Path(directory) / name
            relative = path.relative_to(root)
            if str(relative) not in _SKIPPED and not name.startswith("."):
                yield relative


def _order(path: Path) -> int:
    return {"timestamp.json": 0, "pending.json": 2}.get(path.name, 1)


def backup(layout: ServerDirectory, archive: Path) -> int:
    """Write an archive and return how many files it holds. The server may go on meanwhile.

    The archive holds the server's online keys and secrets: its mode is 0600.

    Raises:
        Conflict: `exists`: an archive is never overwritten.
    """
    if archive.exists():
        raise Conflict("exists", f"cannot write {archive}: it exists; choose another name")
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".allod-backup-") as directory:
        copy = Path(directory) / "database.sqlite"
        partial = Path(directory) / "archive"
        count = 0
        with tarfile.open(partial, "w:gz", compresslevel=3) as tar:
            for step in (0, 1, 2):
                for path in _files(layout.root):
                    if _order(path) == step:
                        with contextlib.suppress(FileNotFoundError):
                            tar.add(layout.root / path, arcname=str(path), recursive=False)
                            count += 1
            if layout.database.exists():
                _copy_database(layout.database, copy)
                tar.add(copy, arcname="database.sqlite", recursive=False)
                count += 1
        partial.chmod(0o600)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        try:
            os.link(partial, archive)
        except FileExistsError as error:
            raise Conflict("exists", f"cannot write {archive}: it exists") from error
    durable.sync_directory(archive.parent)
    return count


def _copy_database(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(source)) as live,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)


def restore(archive: Path, directory: Path, now: datetime) -> ServerDirectory:
    """Unpack an archive into an empty directory, and mark every fleet as restored.

    A restored fleet publishes nothing before it knows where the floors are (THREATS 62).

    Raises:
        Conflict: `exists`: the directory is not empty.
        InvalidInput: `bad-archive`.
    """
    if directory.exists() and any(directory.iterdir()):
        raise Conflict("exists", f"cannot restore into {directory}: it is not empty")
    durable.make_directory(directory)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(directory, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InvalidInput("bad-archive", f"cannot restore from {archive}: {error}") from error
    layout = ServerDirectory(directory)
    if not layout.settings.is_file():
        raise InvalidInput(
            "bad-archive", f"cannot restore from {archive}: it is no server's backup"
        )
    durable.make_directory(layout.inbox)
    for fleet in layout.fleets():
        durable.write_atomic(layout.fleet(fleet).restored, encode({"at": instant(now)}))
    _sync(directory)
    return layout


def _sync(directory: Path) -> None:
    """Make everything that was unpacked durable."""
    for parent, _, files in os.walk(directory):
        for name in files:
            with (Path(parent) / name).open("rb") as file:
                os.fsync(file.fileno())
        durable.sync_directory(Path(parent))
