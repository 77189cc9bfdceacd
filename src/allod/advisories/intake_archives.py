"""The files of an archive, or one file: read, never unpacked, and within bounds.

What is read is capped: in one file, in all of them, and in how much more comes out of an archive
than went in.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, cast

from allod.advisories.intake_git import GIT
from allod.errors import InvalidInput

FILE_CAP: Final = 64 * 1024 * 1024  #: bytes of one file
TOTAL_CAP: Final = 16 * 1024**3  #: bytes of all files of a source
FILES_CAP: Final = 2_000_000
_RATIO: Final = 200  #: how much more may come out of an archive than went in
_START: Final = 64 * 1024 * 1024  #: what may come out before that is asked
_HEADER_CAP: Final = 64 * 1024  #: bytes of one extended header of a tar
_DIRECTORY_CAP: Final = 32 * 1024 * 1024  #: bytes of a zip's list of members
_WINDOW: Final = 128 * 1024 * 1024  #: bytes of memory that zstd may ask for
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK"
_ZIP_FAULTS: Final = (
    zipfile.BadZipFile,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    struct.error,
)
READ: Final = (".json", ".csv", ".yaml", ".yml")  #: how names of data end
PACKED: Final = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.zst", ".json.gz", ".csv.gz")


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may hold something."""

    path: str  #: within the source, with '/'
    data: bytes = b""
    fault: InvalidInput | None = None  #: why it was not read


@dataclass(slots=True)
class Ignored:
    """How many files were left aside, as their names say that they are no data."""

    files: int = 0


def files_in(path: Path, file: BinaryIO, ignored: Ignored) -> Iterator[Found]:
    """Everything that is to be read in an archive; of a file that is none, the file.

    Raises:
        InvalidInput: `bad-archive`: it is damaged, leads out of itself, or is a bomb; `too-large`.
        OSError: it cannot be read.
    """
    head = file.read(4)
    file.seek(0)
    if head.startswith(_ZIP):
        yield from _zip(path, file, ignored)
    elif head.startswith((_ZSTD, _GZIP)):
        with _unpacked(path, file, head) as stream:
            start = stream.read(512)
            stream.again(start)
            if _is_tar(start):
                yield from _tar(path, stream, ignored)
            else:
                yield Found(path.with_suffix("").name, stream.read(FILE_CAP + 1))
    elif _is_tar(start := file.read(512)):
        file.seek(0)
        yield from _tar(path, file, ignored)
    else:
        yield Found(path.name, start + file.read(FILE_CAP + 1))


def _is_tar(start: bytes) -> bool:
    return start[257:262] == b"ustar"


def read_file(file: BinaryIO, shown: str) -> Found:
    """A plain file, if it is not too large."""
    data = file.read(FILE_CAP + 1)
    return capped(shown, data, len(data))


def capped(shown: str, data: bytes, size: int) -> Found:
    """A file, if it is not too large."""
    if size > FILE_CAP:
        why = f"{size} bytes, at most {FILE_CAP} are allowed"
        return Found(shown, fault=InvalidInput("too-large", f"cannot read {shown[:200]!r}: {why}"))
    return Found(shown, data)


def fault_of(shown: str, why: str) -> InvalidInput:
    """Why one file is not read."""
    return InvalidInput("bad-file", f"cannot read {shown[:200]!r}: {why}")


def _bad(path: Path, why: str) -> InvalidInput:
    return InvalidInput("bad-archive", f"cannot import {path}: {why}")


def check_total(path: Path, total: int, files: int) -> None:
    """Raises InvalidInput `too-large`."""
    if total > TOTAL_CAP or files > FILES_CAP:
        raise InvalidInput(
            "too-large",
            f"cannot import {path}: it has more than {FILES_CAP} files or {TOTAL_CAP} bytes",
        )


def shown_as(name: str) -> str:
    """A name of the system's as text, whatever its bytes are."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _inside(path: Path, name: str) -> str:
    """A member's name, if it stays inside of the archive."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or "\0" in name:
        raise _bad(path, f"its member {shown_as(name)[:200]!r} leads out of it")
    return shown_as("/".join(part for part in parts if part not in {"", "."}))


class _Tar(tarfile.TarFile):
    """Knows whether it came to its end, which a cut one never does."""

    ended = False


class _Member(tarfile.TarInfo):
    """A member whose extended headers can't fill the memory."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> _Member:
        made = super().frombuf(buf, encoding, errors)
        special = made.type not in (*tarfile.SUPPORTED_TYPES, tarfile.AREGTYPE) or made.type in {
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        }
        if special and made.size > _HEADER_CAP:
            raise tarfile.ReadError("an extended header is too large")
        return made

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Any:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            cast("_Tar", tar).ended = True
            raise


def _tar(path: Path, stream: Any, ignored: Ignored) -> Iterator[Found]:
    files = total = 0
    try:
        with _Tar.open(fileobj=stream, mode="r|", tarinfo=_Member) as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # else all stay in memory
                shown = _inside(path, member.name)
                files += 1
                total += member.size if member.isreg() else 0
                check_total(path, total, files)
                if member.isdir() or GIT in shown.split("/"):
                    continue
                if shown.lower().endswith(READ):
                    yield _of_tar(path, tar, member, shown)
                else:
                    ignored.files += 1
            if not tar.ended:
                raise _bad(path, "it is cut")
    except (tarfile.TarError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise _bad(path, str(error)[:200] or "it is damaged") from error


def _of_tar(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, shown: str) -> Found:
    if not member.isreg() or member.issparse():
        return Found(shown, fault=fault_of(shown, "it is a link or a special file"))
    if member.size > FILE_CAP:
        return capped(shown, b"", member.size)
    content = tar.extractfile(member)
    data = content.read() if content is not None else b""
    if len(data) != member.size:
        raise _bad(path, "it is cut")
    return Found(shown, data)


class _Bounded(io.RawIOBase):
    """A zip whose own directory, which is read at once, can't fill the memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1, /) -> bytes:
        if size > _DIRECTORY_CAP:
            raise ValueError("its directory is too large")
        return self._file.read(_DIRECTORY_CAP if size < 0 else size)


def _zip(path: Path, file: BinaryIO, ignored: Ignored) -> Iterator[Found]:
    files = total = 0
    packed = os.fstat(file.fileno()).st_size
    try:
        with zipfile.ZipFile(cast("IO[bytes]", _Bounded(file))) as archive:
            for member in archive.infolist():
                shown = _inside(path, member.filename)
                if member.filename.endswith("/") or GIT in shown.split("/"):
                    continue
                files += 1
                if not shown.lower().endswith(READ):
                    ignored.files += 1
                    continue
                found = _zipped(archive, member, shown)
                total += len(found.data)
                check_total(path, total, files)
                _check_ratio(path, packed, total)
                yield found
    except _ZIP_FAULTS as error:
        raise _bad(path, str(error)[:200] or "it is damaged") from error


def _zipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo, shown: str) -> Found:
    if stat.S_ISLNK(member.external_attr >> 16):
        return Found(shown, fault=fault_of(shown, "it is a link"))
    if member.file_size > FILE_CAP:
        return capped(shown, b"", member.file_size)
    try:
        with archive.open(member) as content:
            data = content.read(FILE_CAP + 1)
    except (*_ZIP_FAULTS, zlib.error, RuntimeError) as error:
        return Found(shown, fault=fault_of(shown, str(error)[:200]))
    return capped(shown, data, len(data))


def _check_ratio(path: Path, packed: int, total: int) -> None:
    if total > _START and total > packed * _RATIO:
        raise _bad(path, f"more than {_RATIO} times its size comes out of it")


class _Stream:
    """What comes out of a packed file, as long as it is not out of proportion to what went in."""

    def __init__(self, path: Path, source: BinaryIO, content: IO[bytes]) -> None:
        self._path = path
        self._source = source
        self._content = content
        self._total = 0
        self._ahead = b""

    def again(self, data: bytes) -> None:
        """Let `data` be read once more."""
        self._ahead = data

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end."""
        parts, self._ahead = [self._ahead[:size]], self._ahead[size:]
        left = size - len(parts[0])
        while left > 0 and (part := self._content.read(min(left, 1024 * 1024))):
            parts.append(part)
            left -= len(part)
            self._total += len(part)
            _check_ratio(self._path, self._source.tell(), self._total)
        return b"".join(parts)


@contextmanager
def _unpacked(path: Path, file: BinaryIO, head: bytes) -> Iterator[_Stream]:
    if head.startswith(_GZIP):
        try:
            with gzip.GzipFile(fileobj=file) as content:
                yield _Stream(path, file, cast("IO[bytes]", content))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _bad(path, str(error)[:200]) from error
        return
    try:
        import zstandard
    except ImportError as error:
        raise InvalidInput(
            "bad-archive", f"cannot import {path}: install allod[owner] to read zstd"
        ) from error
    try:
        with zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
            file, read_across_frames=True
        ) as content:
            yield _Stream(path, file, cast("IO[bytes]", content))
    except zstandard.ZstdError as error:
        raise _bad(path, str(error)[:200]) from error
