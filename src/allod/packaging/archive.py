"""A directory as one layer: tar in gzip, the same bytes for the same content, always.

Sorted by name; no times, no owners; modes are 0755 (directories, and files that their owner may
run) or 0644; hard links become files of their own; links must stay inside; devices, sockets and
pipes are refused, and so is every name that a device would refuse. What is read is checked again after reading: a tree that changes meanwhile
makes no release. Memory is constant, whatever the size.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import tarfile
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from allod.domain.ids import Digest
from allod.errors import Conflict, InvalidInput
from allod.packaging.extract import CarefulInfo, extract
from allod.packaging.ignore import Ignore, parse_ignore

MAX_ENTRIES: Final = 200_000
MAX_BYTES: Final = 64 * 1024**3  #: bytes of all files together
MAX_PATH: Final = 1024  #: bytes of one relative path
MAX_DEPTH: Final = 64
MAX_LINKS: Final = 40  #: links followed on the way to one place
PIECE: Final = 256 * 1024
#: Deflate of this level, wherever zlib itself is the same (docs/spec/release.md, "Reproducible").
_LEVEL: Final = 6
_GZIP_HEAD: Final = b"\x1f\x8b\x08\x00" + b"\x00\x00\x00\x00" + b"\x00\xff"
_NO_SIGNS: Final = frozenset({"Cc", "Cf", "Cs"})  #: control signs, visible or not


@dataclass(frozen=True, slots=True)
class Archive:
    """What was written."""

    digest: Digest  #: of the gzip stream
    size: int  #: bytes of the gzip stream
    content: Digest  #: of the tar inside: the same whatever zlib packed it
    installed_size: int  #: bytes of all files
    entries: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing of the tree."""

    path: str  #: relative, with '/'
    kind: bytes  #: tarfile's type: REGTYPE, DIRTYPE or SYMTYPE
    executable: bool = False
    size: int = 0
    target: str = ""


@dataclass(slots=True)
class GzipSink:
    """Packs into `out`, and knows both digests at the end."""

    out: BinaryIO
    size: int = 0
    _packed: hashlib._Hash = field(default_factory=hashlib.sha256)
    _content: hashlib._Hash = field(default_factory=hashlib.sha256)
    _crc: int = 0
    _length: int = 0
    _deflate: zlib._Compress = field(
        default_factory=lambda: zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    )

    def __post_init__(self) -> None:
        self._emit(_GZIP_HEAD)

    def write(self, data: bytes) -> None:
        """Take more of the content."""
        self._content.update(data)
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)
        self._emit(self._deflate.compress(data))

    def finish(self) -> tuple[Digest, Digest]:
        """Write the end; the digests of the stream and of the content."""
        self._emit(self._deflate.flush())
        self._emit(struct.pack("<II", self._crc, self._length & 0xFFFFFFFF))
        return (
            Digest("sha256:" + self._packed.hexdigest()),
            Digest("sha256:" + self._content.hexdigest()),
        )

    def _emit(self, data: bytes) -> None:
        self._packed.update(data)
        self.size += len(data)
        self.out.write(data)


def _bad(path: str, why: str) -> InvalidInput:
    return InvalidInput("bad-tree", f"cannot ship {path[:200]!r}: {why}", path=path[:200])


def entries(root: Path, ignore: Ignore | None = None) -> list[Entry]:
    """Everything of `root` that belongs to the release, parents first, sorted by name.

    Raises:
        InvalidInput: `bad-tree` with the path at fault, or `too-large`.
    """
    rules = parse_ignore() if ignore is None else ignore
    found: list[Entry] = []
    total = 0
    for entry in _walk(root, "", rules, 1):
        found.append(entry)
        total += entry.size
        if len(found) > MAX_ENTRIES or total > MAX_BYTES:
            raise InvalidInput(
                "too-large",
                f"cannot ship {root}: more than {MAX_ENTRIES} entries or {MAX_BYTES} bytes",
            )
    _check_together(found)
    return found


def _check_together(found: list[Entry]) -> None:
    """What only shows when all names are known: collisions by case, and where links end."""
    folded: dict[str, str] = {}
    for entry in found:
        plain = unicodedata.normalize("NFKC", entry.path).casefold()
        other = folded.setdefault(plain, entry.path)
        if other != entry.path:
            raise _bad(entry.path, f"its name differs from that of {other[:200]!r} only by case")
    links = {entry.path: entry.target for entry in found if entry.kind == tarfile.SYMTYPE}
    for path in links:
        _follow(path, links)


def _follow(path: str, links: Mapping[str, str]) -> None:
    """Walk along a link, through the links on its way; it must end inside the tree."""
    place = path.split("/")[:-1]
    ahead = links[path].split("/")[::-1]
    followed = 0
    while ahead:
        part = ahead.pop()
        if part in {"", "."}:
            continue
        if part == "..":
            if not place:
                raise _bad(path, f"the link leads out of the tree, to {links[path][:200]!r}")
            place.pop()
            continue
        place.append(part)
        onward = links.get("/".join(place))
        if onward is not None:
            followed += 1
            if followed > MAX_LINKS:
                raise _bad(path, "the link leads in a circle")
            place.pop()
            ahead.extend(onward.split("/")[::-1])


def _walk(root: Path, prefix: str, rules: Ignore, depth: int) -> Iterator[Entry]:
    if depth > MAX_DEPTH:
        raise _bad(prefix, f"directories are nested deeper than {MAX_DEPTH}")
    try:
        listing = sorted(os.scandir(root / prefix), key=lambda one: os.fsencode(one.name))
    except OSError as error:
        raise _bad(prefix or str(root), error.strerror or "it cannot be read") from error
    for item in listing:
        path = prefix + item.name
        directory = item.is_dir(follow_symlinks=False)
        if rules.leaves_out(path, directory=directory):
            continue
        _check_name(path)
        if directory:
            yield Entry(path, tarfile.DIRTYPE, executable=True)
            yield from _walk(root, path + "/", rules, depth + 1)
        elif item.is_symlink():
            yield Entry(path, tarfile.SYMTYPE, target=_link(root, path))
        elif item.is_file(follow_symlinks=False):
            status = item.stat(follow_symlinks=False)
            executable = bool(status.st_mode & stat.S_IXUSR)
            yield Entry(path, tarfile.REGTYPE, executable, status.st_size)
        else:
            raise _bad(path, "it is neither a file, a directory nor a link")


def _check_name(path: str) -> None:
    try:
        length = len(path.encode("utf-8"))
    except UnicodeEncodeError:
        raise _bad(path.encode("utf-8", "replace").decode(), "its name is not UTF-8") from None
    odd = "\\" in path or any(unicodedata.category(sign) in _NO_SIGNS for sign in path)
    if length > MAX_PATH or odd:
        raise _bad(path, f"its path has control signs, '\\', or more than {MAX_PATH} bytes")


def _link(root: Path, path: str) -> str:
    target = str((root / path).readlink())
    _check_name(target)
    if target.startswith("/"):
        raise _bad(path, f"the link leads out of the tree, to {target[:200]!r}")
    return target


def write_archive(
    root: Path,
    out: BinaryIO,
    *,
    ignore: Ignore | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Archive:
    """Write what `entries` finds into `out`; `progress` hears of every piece that was read.

    Raises:
        InvalidInput: `bad-tree`, `too-large`.
        Conflict: `changed-while-reading`.
    """
    found = entries(root, ignore)
    sink = GzipSink(out)
    for entry in found:
        sink.write(_header(entry))
        if entry.kind == tarfile.REGTYPE:
            _copy(root, entry, sink, progress)
    sink.write(bytes(2 * tarfile.BLOCKSIZE))
    digest, content = sink.finish()
    return Archive(digest, sink.size, content, sum(entry.size for entry in found), len(found))


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.path)
    info.type = entry.kind
    info.size = entry.size
    info.mode = 0o755 if entry.executable else 0o644
    if entry.kind == tarfile.SYMTYPE:
        info.linkname, info.mode = entry.target, 0o777
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _copy(root: Path, entry: Entry, sink: GzipSink, progress: Callable[[int], None]) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        fd = os.open(root / entry.path, flags)
    except OSError as error:
        raise _bad(entry.path, error.strerror or "it cannot be read") from error
    with os.fdopen(fd, "rb") as file:
        before = os.fstat(fd)
        left = entry.size
        while left and (piece := file.read(min(PIECE, left))):
            sink.write(piece)
            progress(len(piece))
            left -= len(piece)
        after = os.fstat(fd)
        moved = (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size)
        if left or moved or after.st_size != entry.size or not stat.S_ISREG(after.st_mode):
            raise Conflict(
                "changed-while-reading",
                f"cannot ship {entry.path[:200]!r}: it changed while it was read; build again",
            )
    sink.write(bytes(-entry.size % tarfile.BLOCKSIZE))


def unpack(archive: BinaryIO, into: Path, *, cap: int = MAX_BYTES) -> None:
    """Unpack a tar, packed or not, into the empty directory `into`, trusting nothing in it.

    Raises:
        InvalidInput: `bad-archive` (escapes, special files, damage), `too-large`.
    """
    total = count = 0
    try:
        with tarfile.open(fileobj=archive, mode="r|*", tarinfo=CarefulInfo) as tar:
            for info in tar:
                total += info.size if info.isreg() else 0
                count += 1
                if total > cap or count > MAX_ENTRIES:
                    raise InvalidInput(
                        "too-large",
                        f"cannot unpack: more than {cap} bytes or {MAX_ENTRIES} entries",
                    )
                extract(tar, info, into)
    except (tarfile.TarError, zlib.error, EOFError, OSError, UnicodeError) as error:
        raise InvalidInput("bad-archive", f"cannot unpack: {error}") from error
