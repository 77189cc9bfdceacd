"""Taking one member out of a tar archive that nobody vouched for.

Python's own filter for this came with 3.11.4; Debian 12 has 3.11.2. Nothing is written outside of
the directory, no link leads out of it, and owners and times in the archive count for nothing.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path
from typing import Final

from allod.errors import InvalidInput

HEADER_CAP: Final = 1024 * 1024  #: bytes of one long name or other extension of a header
_EXTENSIONS: Final = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
_PERMITTED: Final = 0o755  #: of a file's mode; the owner may always read and write


class CarefulInfo(tarfile.TarInfo):
    """A member whose header does not fill the memory: Python reads its extensions whole."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENSIONS and self.size > HEADER_CAP:
            raise tarfile.ReadError(f"a header has {self.size} bytes")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found


def extract(tar: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    """Write `member` below the directory `into`. A later member replaces an earlier file.

    Raises:
        InvalidInput: `bad-archive`: it would get out, or is a special file.
        OSError: the disk refused.
        tarfile.TarError: the archive is damaged.
    """
    base = into.resolve()
    path = _inside(base, base / member.name, member)
    if path == base:
        if member.isdir():
            return
        raise _bad(member, "it has no name")
    if member.isdir():
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        return
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if path.is_symlink() or path.is_file():
        path.unlink()
    if member.isreg():
        _write(tar, member, path)
    elif member.issym():
        _inside(base, path.parent / member.linkname, member)
        path.symlink_to(member.linkname)
    elif member.islnk():
        first = _inside(base, base / member.linkname, member)
        if first.is_symlink() or not first.is_file():
            raise _bad(member, "it is a link to no file of the archive")
        path.hardlink_to(first)
    else:
        raise _bad(member, "it is a special file")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = tar.extractfile(member)
    if source is None:
        raise _bad(member, "it has no content")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        shutil.copyfileobj(source, file)
        os.fchmod(file.fileno(), member.mode & _PERMITTED | 0o600)


def _inside(base: Path, path: Path, member: tarfile.TarInfo) -> Path:
    """The path with the links on the way to it followed, if it lies below `base`."""
    names = (member.name, member.linkname)
    if any(name.startswith("/") or "\0" in name for name in names):
        raise _bad(member, "its path is absolute")
    whole = path.parent.resolve() / path.name
    if path.name in {"", ".", ".."}:
        whole = path.resolve()
    if not whole.resolve().is_relative_to(base) or not whole.is_relative_to(base):
        raise _bad(member, "it leads out of the archive")
    return whole


def _bad(member: tarfile.TarInfo, why: str) -> InvalidInput:
    return InvalidInput("bad-archive", f"cannot unpack {member.name[:200]!r}: {why}")
