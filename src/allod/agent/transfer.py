"""Blobs, from a transport into `blobs/`: resumable, capped, digested while they stream.

    blobs/partial/<hex>   what has come so far
    blobs/sha256/<hex>    whole; it has this name only after its digest was right and it was synced

Hashing runs in a thread beside reading and writing: hashlib lets go of the interpreter lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from allod.agent.files import RESERVE, names_in, need_space, no_space
from allod.agent.ports import Clock, Transport
from allod.domain.ids import Digest, sha256
from allod.durable import make_directory, remove_file, sync_directory
from allod.errors import Unavailable, Untrusted

PIECE: Final = 512 * 1024
_HEX: Final = 64
_FLUSH: Final = 16 * 1024 * 1024  #: bytes between two flushes of a running transfer
_AHEAD: Final = 4  #: pieces that may wait for the hasher

Progress = Callable[[int, int], None]  #: bytes there, bytes in all


class Bandwidth:
    """A cap in bytes per second, shared by everything that is given the same object."""

    def __init__(self, clock: Clock, rate: int | None) -> None:
        self._clock = clock
        self._rate = rate
        self._free_at = clock.monotonic()

    def spend(self, size: int) -> None:
        """Wait until `size` bytes more are allowed."""
        if not self._rate:
            return
        now = self._clock.monotonic()
        self._free_at = max(self._free_at, now) + size / self._rate
        if self._free_at > now:
            self._clock.sleep(self._free_at - now)


class _Hasher:
    """SHA-256 in a thread of its own."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._queue: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
        self._thread = threading.Thread(target=self._run, name="hasher", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (piece := self._queue.get()) is not None:
            self._hash.update(piece)

    def update(self, piece: bytes) -> None:
        """Hand in the next piece."""
        self._queue.put(piece)

    def finish(self) -> str:
        """The digest in hex, once all pieces are in; may be called again."""
        self._queue.put(None)
        self._thread.join()
        return self._hash.hexdigest()


class _Flusher:
    """Sends what was written on to the disk while more is coming, so that the end need not wait.

    It also keeps a large transfer from filling the memory of a small machine with unwritten pages.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._wanted = threading.Semaphore(0)
        self._over = False
        self._thread: threading.Thread | None = None
        self._since = 0

    def wrote(self, size: int) -> None:
        """Count, and begin flushing once it is worth it."""
        self._since += size
        if self._since >= _FLUSH:
            self._since = 0
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="flusher", daemon=True)
                self._thread.start()
            self._wanted.release()

    def _run(self) -> None:
        while True:
            self._wanted.acquire()
            while self._wanted.acquire(blocking=False):  # one flush for all that was asked
                pass
            if self._over:
                return
            with contextlib.suppress(OSError):  # the last fsync tells, and counts
                os.fdatasync(self._fd)

    def finish(self) -> None:
        """End it; the file is still open."""
        if self._thread is not None:
            self._over = True
            self._wanted.release()
            self._thread.join()


class Blobs:
    """The device's store of blobs.

    Args:
        directory: `blobs` of the state directory.
        reserve: bytes that stay free on its disk.
    """

    def __init__(self, directory: Path, *, reserve: int = RESERVE) -> None:
        self._whole = directory / "sha256"
        self._partial = directory / "partial"
        self._reserve = reserve

    def path(self, digest: Digest) -> Path:
        """Where the blob stands when it is whole."""
        return self._whole / digest.removeprefix("sha256:")

    def has(self, digest: Digest, size: int) -> bool:
        """Whether it is there whole. Its content is checked again where it is used."""
        try:
            return self.path(digest).lstat().st_size == size
        except FileNotFoundError:
            return False

    def arrived(self, digest: Digest) -> int:
        """Bytes of an unfinished transfer."""
        try:
            return self._part(digest).stat().st_size
        except FileNotFoundError:
            return 0

    def names(self) -> frozenset[Digest]:
        """All blobs that are whole."""
        return frozenset(
            Digest(f"sha256:{name}") for name in names_in(self._whole) if len(name) == _HEX
        )

    def discard(self, digest: Digest) -> None:
        """Remove it, whole or partial."""
        remove_file(self.path(digest))
        remove_file(self._part(digest))

    def prune(self, keep: frozenset[Digest]) -> None:
        """Remove every blob and every unfinished transfer that is not in `keep`."""
        for folder in (self._whole, self._partial):
            for name in names_in(folder):
                if Digest(f"sha256:{name}") not in keep:
                    remove_file(folder / name)

    def read(self, digest: Digest, *, cap: int) -> bytes | None:
        """A small blob, verified; None if it is not there or no longer what it was."""
        try:
            with self.path(digest).open("rb") as file:
                data = file.read(cap + 1)  # it may be a payload that somebody calls a description
        except FileNotFoundError:
            return None
        return data if len(data) <= cap and sha256(data) == digest else None

    def open(self, digest: Digest) -> BinaryIO:
        """A blob for reading, opened without following a link."""
        fd = os.open(self.path(digest), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return os.fdopen(fd, "rb", buffering=0)

    def put(self, data: bytes) -> Digest:
        """Store a small blob that was verified by other means, durably."""
        digest = sha256(data)
        if not self.has(digest, len(data)):
            with self._begin(digest, len(data)) as file:
                file.truncate(0)
                file.write(data)
                self._finish(file, digest)
        return digest

    def fetch(
        self,
        transport: Transport,
        path: str,
        digest: Digest,
        size: int,
        *,
        bandwidth: Bandwidth | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Have the blob whole; goes on where an earlier attempt ended.

        Raises:
            Unavailable: `truncated` (what came stays), `no-space`, or the transport's own.
            Untrusted: `wrong-digest`, `too-large`; nothing stays.
        """
        if self.has(digest, size):
            return
        resumed = 0 < self.arrived(digest) <= size
        try:
            self._attempt(transport, path, digest, size, bandwidth, progress)
        except Untrusted:
            self.discard(digest)
            if not resumed:
                raise
            self._attempt(transport, path, digest, size, bandwidth, progress)

    def _part(self, digest: Digest) -> Path:
        return self._partial / digest.removeprefix("sha256:")

    @contextlib.contextmanager
    def _begin(self, digest: Digest, size: int) -> Iterator[BinaryIO]:
        make_directory(self._partial)
        make_directory(self._whole)
        need_space(self._partial, max(0, size - self.arrived(digest)), reserve=self._reserve)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._part(digest), flags, 0o600)
        try:
            with os.fdopen(fd, "r+b", buffering=0) as file:
                yield file
        except OSError as error:
            failure = no_space(error)
            if failure is None:
                raise
            remove_file(self._part(digest))
            raise failure from error

    def _finish(self, file: BinaryIO, digest: Digest) -> None:
        os.fsync(file.fileno())
        self._part(digest).replace(self.path(digest))
        sync_directory(self._whole)
        sync_directory(self._partial)

    def _attempt(
        self,
        transport: Transport,
        path: str,
        digest: Digest,
        size: int,
        bandwidth: Bandwidth | None,
        progress: Progress | None,
    ) -> None:
        with self._begin(digest, size) as file:
            hasher, flusher = _Hasher(), _Flusher(file.fileno())
            try:
                there = self._again(file, hasher, size)
                if there < size:
                    with transport.stream(path, offset=there) as pieces:
                        for piece in _gathered(pieces):
                            there += len(piece)
                            if there > size:
                                raise Untrusted(
                                    "too-large",
                                    f"cannot take {digest}: more than its {size} bytes came",
                                )
                            hasher.update(piece)
                            _write(file, piece)
                            flusher.wrote(len(piece))
                            if progress is not None:
                                progress(there, size)
                            if bandwidth is not None:
                                bandwidth.spend(len(piece))
            finally:
                flusher.finish()
                found = hasher.finish()
            if there < size:
                raise Unavailable(
                    "truncated",
                    f"cannot take {digest} yet: {there} of {size} bytes came",
                    arrived=there,
                )
            if f"sha256:{found}" != digest:
                raise Untrusted(
                    "wrong-digest", f"cannot take {digest}: what came is sha256:{found}"
                )
            self._finish(file, digest)

    @staticmethod
    def _again(file: BinaryIO, hasher: _Hasher, size: int) -> int:
        """Hash what came earlier; more than the blob's size is thrown away."""
        there = os.fstat(file.fileno()).st_size
        if there > size:
            file.truncate(0)
            there = 0
        file.seek(0)
        while piece := file.read(PIECE):
            hasher.update(piece)
        return there


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of a quarter of a mebibyte at least, but the last."""
    waiting: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            waiting.append(piece)
            size += len(piece)
            if size >= PIECE // 4:
                yield waiting[0] if len(waiting) == 1 else b"".join(waiting)
                waiting, size = [], 0
    except Unavailable:
        if waiting:
            yield b"".join(waiting)
        raise
    if waiting:
        yield b"".join(waiting)


def _write(file: BinaryIO, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[file.write(view) :]
