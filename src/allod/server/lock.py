"""One process at a time writes to a server's directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from allod import durable
from allod.errors import Conflict
from allod.server.layout import FleetDirectory, ServerDirectory


@contextlib.contextmanager
def hold(layout: ServerDirectory) -> Iterator[None]:
    """Hold the directory's lock; the kernel lets go of it however the process ends.

    Raises:
        Conflict: `in-use`.
    """
    fd = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                "in-use",
                f"cannot use {layout.root}: a server is running on it; stop it first",
            ) from error
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def publishing(fleet: FleetDirectory) -> Iterator[None]:
    """Held while a fleet's published files change, or are listed by another process."""
    durable.make_directory(fleet.root)
    fd = os.open(fleet.root / ".publishing", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
