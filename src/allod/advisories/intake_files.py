"""The files of a directory, a git checkout, an archive, or one file.

Nothing is written anywhere, and no link is followed. Archives that lie in a directory are read
like the directories that they stand for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NoReturn

from allod.advisories.intake_archives import (
    PACKED,
    READ,
    Found,
    Ignored,
    check_total,
    fault_of,
    files_in,
    read_file,
    shown_as,
)
from allod.advisories.intake_git import GIT
from allod.errors import InvalidInput


def files_of(path: Path, ignored: Ignored) -> Iterator[Found]:
    """Everything that is to be read below or in `path`.

    Raises:
        InvalidInput: `bad-archive`: it is damaged, leads out of itself, is a bomb, or cannot be
            read; `too-large`; `not-found`.
    """
    try:
        if path.is_dir():
            yield from _directory(path, ignored)
        else:
            with path.open("rb") as file:
                yield from files_in(path, file, ignored)
    except FileNotFoundError as error:
        raise InvalidInput("not-found", f"cannot import {path}: it is not there") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise InvalidInput("bad-archive", f"cannot read {error.filename or path}: {why}") from error


def _directory(root: Path, ignored: Ignored) -> Iterator[Found]:
    """All of a directory: one below it that cannot be listed would take its records away."""
    total = files = 0
    for directory, directories, names in os.walk(root, onerror=_unreadable):
        links = {one for one in directories if Path(directory, one).is_symlink()}
        directories[:] = sorted(one for one in directories if one != GIT and one not in links)
        for name in sorted([*names, *links]):
            path = Path(directory, name)
            if name in links or name.lower().endswith((*READ, *PACKED)):
                for found in _found(path, shown_as(path.relative_to(root).as_posix()), ignored):
                    total += len(found.data)
                    files += 1
                    check_total(root, total, files)
                    yield found
            else:
                ignored.files += name != GIT


def _unreadable(error: OSError) -> NoReturn:
    raise error


def _found(path: Path, shown: str, ignored: Ignored) -> Iterator[Found]:
    """A file of a directory, or those in it."""
    packed = path.name.lower().endswith(PACKED)
    try:
        with _opened(path) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                yield Found(shown, fault=fault_of(shown, "it is no plain file"))
            elif packed:
                for one in files_in(path, file, ignored):
                    yield replace(one, path=f"{shown}/{one.path}")
            else:
                yield read_file(file, shown)
    except OSError as error:
        if packed and not path.is_symlink():
            raise
        why = "it is a link" if path.is_symlink() else error.strerror or str(error)
        yield Found(shown, fault=fault_of(shown, why))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A file that is no link; a pipe is not waited for."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags), "rb") as file:
        yield file
