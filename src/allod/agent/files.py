"""Trees of files: copied, exchanged and removed without following a link, durably.

Standard library only. A tree of the store is read-only, so removing one first makes its
directories writable again.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import stat
from pathlib import Path
from typing import Final

from allod.durable import sync_directory
from allod.errors import Unavailable

PIECE: Final = 1024 * 1024
RESERVE: Final = 32 * 1024 * 1024  #: bytes that Allod leaves free on every disk it writes to

SPARE_FILES: Final = 64  #: files that must still fit on a disk that counts them

_FICLONE: Final = 0x40049409
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def names_in(directory: Path) -> list[str]:
    """The names in a directory, sorted; none if it is not there."""
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries)
    except FileNotFoundError:
        return []


def need_space(directory: Path, size: int, *, reserve: int = RESERVE) -> None:
    """Make sure that `size` more bytes fit beside the reserve, and a few files.

    Raises:
        Unavailable: `no-space`.
    """
    disk = os.statvfs(directory)
    free = disk.f_bavail * disk.f_frsize
    if free < size + reserve or (disk.f_files and disk.f_favail < SPARE_FILES):
        raise Unavailable(
            "no-space",
            f"cannot write {size} bytes: the disk has {free} bytes free and {reserve} stay reserved; "
            "free some space",
            needed=size,
            free=free,
        )


def no_space(error: OSError) -> Unavailable | None:
    """`error` as the failure `no-space`, if that is what it says."""
    if error.errno not in _NO_SPACE:
        return None
    return Unavailable("no-space", "cannot write: the disk is full; free some space")


def open_directory(path: Path) -> int:
    """A descriptor of the directory `path`, which must not be a link."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def remove_tree(path: Path) -> None:
    """Remove everything below and at `path`; nothing there is fine. Durable."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        path.chmod(0o700)
        for found, directories, _, fd in os.fwalk(path, follow_symlinks=False):
            for name in directories:
                with contextlib.suppress(OSError):
                    if not stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                        (Path(found) / name).chmod(0o700)
        shutil.rmtree(path)
    else:
        path.unlink()
    sync_directory(path.parent)


def exchange(first: Path, second: Path) -> None:
    """Swap two names in one step, so that neither is ever missing. Durable.

    Raises:
        OSError: the filesystem cannot (EINVAL, ENOSYS), or a name is missing.
    """
    library = ctypes.CDLL(None, use_errno=True)
    swap = getattr(library, "renameat2", None)
    if swap is None:
        raise OSError(errno.ENOSYS, "renameat2 is missing")
    done = swap(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    if done != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(first))
    sync_directory(first.parent)
    if second.parent != first.parent:
        sync_directory(second.parent)


def replace_tree(new: Path, place: Path, aside: Path) -> None:
    """Put the tree `new` at `place`; what stood there is removed. Durable.

    Where names can't be exchanged, a power cut may leave `place` missing and `aside` there;
    `settle_tree` mends that.
    """
    if not os.path.lexists(place):
        new.rename(place)
        sync_directory(place.parent)
        return
    try:
        exchange(new, place)
    except OSError:
        place.rename(aside)
        new.rename(place)
        sync_directory(place.parent)
    remove_tree(aside)
    remove_tree(new)


def settle_tree(place: Path, aside: Path) -> None:
    """After a power cut within `replace_tree`: bring back what stood at `place`."""
    if not os.path.lexists(place) and os.path.lexists(aside):
        aside.rename(place)
        sync_directory(place.parent)
    remove_tree(aside)


def copy_file(source: int, target: int) -> None:
    """Copy what is open at `source` to `target`: shared blocks if the disk can, else bytes."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        while os.sendfile(target, source, None, PIECE):
            pass
    os.fsync(target)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a tree: files, directories, links as they are, with modes, owners and times.

    `target` must not be there. Sockets, pipes and devices are left out. Durable.

    Raises:
        Unavailable: `no-space`.
    """
    fd = open_directory(source)
    try:
        target.mkdir(mode=0o700)
        _copy_directory(fd, target)
    except OSError as error:
        failure = no_space(error)
        if failure is not None:
            raise failure from error
        raise
    finally:
        os.close(fd)
    sync_directory(target.parent)


def _copy_directory(source: int, target: Path) -> None:
    with os.scandir(source) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        place = target / name
        if stat.S_ISDIR(status.st_mode):
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner = os.open(name, flags, dir_fd=source)
            try:
                place.mkdir(mode=0o700)
                _copy_directory(inner, place)
            finally:
                os.close(inner)
        elif stat.S_ISLNK(status.st_mode):
            place.symlink_to(os.readlink(name, dir_fd=source))
            _own(place, status)
        elif stat.S_ISREG(status.st_mode):
            _copy_one(source, name, place, status)
    _own(target, os.fstat(source))
    sync_directory(target)


def _copy_one(directory: int, name: str, place: Path, status: os.stat_result) -> None:
    # Not waiting: what was a file when it was looked at may be a pipe by now.
    quick = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    source = os.open(name, quick, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(source).st_mode):
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(place, flags, 0o600)
        try:
            copy_file(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)
    _own(place, status)


def _own(place: Path, status: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(place, status.st_uid, status.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        place.chmod(stat.S_IMODE(status.st_mode))
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
