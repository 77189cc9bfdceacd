"""A log in a directory: tiles as files that any web server can serve, and a lock of the kernel."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from allod import durable
from allod.errors import Conflict


class DirectoryLogStorage:
    """Implements `allod.server.log.ports.LogStorage`.

    Args:
        public: what is served lies here: `checkpoint` and `tile/…`.
        private: the lock, the head and the stages lie here.
    """

    def __init__(self, public: Path, private: Path) -> None:
        self._public = public
        self._private = private
        self._lock: int | None = None

    def hold(self) -> None:
        """See the port; the kernel lets go of the lock however the process ends."""
        if self._lock is not None:
            return
        durable.make_directory(self._public)
        durable.make_directory(self._private / "stages")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self._private / "lock", flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise self._refused("another process holds it") from error
        self._lock = fd

    def release(self) -> None:
        """See the port."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def head(self) -> str | None:
        """See the port."""
        data = _read(self._private / "head")
        return None if data is None else data.decode()

    def commit(self, old: str | None, new: str) -> None:
        """See the port."""
        self._require_held()
        if self.head() != old:
            raise self._refused("it has grown meanwhile")
        durable.write_atomic(self._private / "head", new.encode())

    def stage(self, name: str, data: bytes) -> None:
        """See the port."""
        self._require_held()
        stages = self._private / "stages"
        durable.write_atomic(stages / name, data)
        _empty(stages, keep=name)

    def staged(self, name: str) -> bytes | None:
        """See the port."""
        return _read(self._private / "stages" / name)

    def write(self, files: Mapping[str, bytes]) -> None:
        """See the port."""
        self._require_held()
        for path, data in files.items():
            target = self._public / path
            durable.make_directory(target.parent, mode=0o755)
            durable.write_atomic(target, data, mode=0o644)

    def remove_under(self, directories: Sequence[str]) -> None:
        """See the port."""
        self._require_held()
        for directory in directories:
            place = self._public / directory
            if place.is_dir():
                _empty(place)
                place.rmdir()
                durable.sync_directory(place.parent)

    def publish(self, checkpoint: bytes) -> None:
        """See the port."""
        self._require_held()
        durable.write_atomic(self._public / "checkpoint", checkpoint, mode=0o644)

    def published(self) -> bytes | None:
        """See the port."""
        return _read(self._public / "checkpoint")

    def read(self, path: str) -> bytes | None:
        """See the port."""
        return _read(self._public / path)

    def _require_held(self) -> None:
        if self._lock is None:
            raise self._refused("it is not held")

    def _refused(self, why: str) -> Conflict:
        return Conflict("log-in-use", f"cannot write the log in {self._public}: {why}")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _empty(directory: Path, keep: str = "") -> None:
    """Remove all files of a directory but one; what a crash leaves, the next call removes."""
    for path in sorted(directory.iterdir()):
        if path.name != keep:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
