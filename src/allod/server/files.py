"""Small files on the disk, by `allod.durable`."""

from __future__ import annotations

from pathlib import Path

from allod import durable
from allod.errors import Conflict


class DurableFiles:
    """Implements `allod.server.ports.Files`."""

    def write(self, path: Path, data: bytes) -> None:
        """See the port."""
        durable.make_directory(path.parent)
        durable.write_atomic(path, data)

    def write_new(self, path: Path, data: bytes) -> None:
        """See the port."""
        if not path.exists():
            self.write(path, data)
            return
        if path.read_bytes() != data:
            raise Conflict(
                "published-already",
                f"cannot write {path.name}: it is there with other bytes, and what was published "
                "is never replaced",
            )
        durable.sync_directory(path.parent)

    def remove(self, path: Path) -> None:
        """See the port."""
        if path.parent.is_dir():
            durable.remove_file(path)
