"""What was staged, written down: the measure for everything that is read again later."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from allod.agent.ports import Measurement
from allod.domain.ids import Digest

PIECE: Final = 256 * 1024
MAX_CHANGED: Final = 100
_HEAD: Final = "allod tree manifest 1"


@dataclass(frozen=True, slots=True)
class Line:
    """One file (digest), directory ('dir') or link ('link:TARGET') of a tree."""

    mode: int
    what: str

    def text(self, path: str) -> str:
        """The line as it is written; names hold no control characters."""
        return f"{self.mode:04o} {self.what} {path}"


def _head(release: Digest) -> str:
    return f"{_HEAD} {release}"


def encode(release: Digest, lines: dict[str, Line]) -> bytes:
    """The manifest as a file: whose it is, sorted lines, and the digest of all that stands before."""
    rows = [lines[path].text(path) for path in sorted(lines)]
    body = "\n".join([_head(release), *rows, ""]).encode()
    return body + hashlib.sha256(body).hexdigest().encode() + b"\n"


def tree_digest(manifest: bytes) -> Digest:
    """The digest of a tree that is as its manifest says."""
    return Digest("sha256:" + hashlib.sha256(manifest[:-65]).hexdigest())


def is_whole(manifest: bytes) -> bool:
    """Whether the file's own digest fits (a flipped bit is not taken for a changed tree)."""
    return hashlib.sha256(manifest[:-65]).hexdigest().encode() + b"\n" == manifest[-65:]


def _rows(manifest: bytes) -> dict[str, str]:
    """Path -> line; a link's target may hold spaces, so the paths are told apart by the kind."""
    return {_path_of(row): row for row in manifest[:-65].decode().split("\n")[1:-1]}


def _path_of(row: str) -> str:
    mode, kind, rest = row.split(" ", 2)
    del mode
    if kind.startswith("link:"):
        return rest[int(kind[5:]) :].removeprefix(" ")
    return rest


def link_line(target: str) -> str:
    """The 'what' of a link: its target with its length before it, so that it can be told apart."""
    return f"link:{len(target)} {target}"


def read_tree(root: int) -> Iterator[tuple[str, Line]]:
    """Every entry below the directory open at `root`, its content read through descriptors."""
    yield from _read_directory(root, "")


def _read_directory(directory: int, prefix: str) -> Iterator[tuple[str, Line]]:
    with os.scandir(directory) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        path = prefix + os.fsencode(name).decode("utf-8", "backslashreplace")
        try:
            line = _read_entry(directory, name)
        except OSError as error:
            yield path, Line(0, f"unreadable:{error.errno}")
            continue
        yield path, line
        if line.what == "dir":
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner = os.open(name, flags, dir_fd=directory)
            try:
                yield from _read_directory(inner, path + "/")
            finally:
                os.close(inner)


def _read_entry(directory: int, name: str) -> Line:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        return Line(0o777, link_line(os.readlink(name, dir_fd=directory)))
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return Line(mode, "dir")
    if not stat.S_ISREG(status.st_mode):
        return Line(mode, "special")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(name, flags, dir_fd=directory)
    with os.fdopen(fd, "rb", buffering=0) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
    return Line(mode, digest)


def measure(root: int, manifest: bytes, release: Digest) -> Measurement:
    """Read everything below `root` again and compare it with the manifest of this release."""
    hashing = hashlib.sha256(_head(release).encode() + b"\n")
    found: dict[str, str] = {path: line.text(path) for path, line in read_tree(root)}
    for path in sorted(found):
        hashing.update(found[path].encode("utf-8", "backslashreplace") + b"\n")
    digest = Digest("sha256:" + hashing.hexdigest())
    if not is_whole(manifest) or not manifest.startswith(_head(release).encode() + b"\n"):
        return Measurement(ok=False, digest=digest, changed=("(manifest)",))
    wanted = _rows(manifest)
    changed = sorted(
        path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path)
    )
    return Measurement(
        ok=not changed and digest == tree_digest(manifest),
        digest=digest,
        changed=tuple(changed[:MAX_CHANGED]),
    )
