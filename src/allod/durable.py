"""Writes that survive a power cut: whole or not at all.

After `write_atomic` returns, the new bytes are on the disk under their name; before, the old
ones are. There is no state in between that a reader or a restart could see.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable (fsync of the directory itself)."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace the file `path` by `data`, durably and atomically.

    The temporary file lies beside the target, is created exclusively and without following
    links, and never outlives a failure of this call.

    Raises:
        OSError: the disk refused; the old content is untouched.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(6)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, mode)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            with contextlib.suppress(PermissionError):  # a FAT stick has no modes
                os.fchmod(fd, mode)
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def make_directory(path: Path, *, mode: int = 0o700) -> None:
    """Create `path` and its missing parents, each durable under its parent."""
    missing = []
    current = path
    while not current.exists():
        missing.append(current)
        current = current.parent
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=mode)
        sync_directory(directory.parent)


def switch_link(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`, atomically replacing what it was."""
    temporary = link.parent / f".{link.name}.{secrets.token_hex(6)}.tmp"
    temporary.symlink_to(target)
    try:
        temporary.replace(link)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(link.parent)


def remove_file(path: Path) -> None:
    """Remove the file or link `path`, durably; one that is not there is fine."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync_directory(path.parent)
