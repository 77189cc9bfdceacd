"""A directory instead of a server: a stick that `allod export` wrote.

It holds the server's addresses as files, with ':' as '-'. What the device has to say is left in
`outbox/`, for `allod device admit` to carry in. The stick is as little trusted as a server: no
link on it is followed, so nothing outside it can be read or written (attack 11, 43).
"""

from __future__ import annotations

import base64
import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

from allod import durable
from allod.agent.transport import server_path
from allod.domain.ids import FleetId, parse_device
from allod.errors import AllodError, InvalidInput, Unavailable
from allod.wire.codec import convert, parse_strict
from allod.wire.envelope import ENVELOPE_CAP, Envelope
from allod.wire.report import REPORT_CAP

_PIECE: Final = 512 * 1024
_REPORT: Final = re.compile(r"devices/([0-9a-f]{64})/reports", re.ASCII)


class StickTransport:
    """`Transport` over a directory."""

    def __init__(self, fleet: FleetId, directory: Path) -> None:
        self._fleet = fleet
        self._directory = directory

    def get(self, path: str, *, cap: int) -> bytes | None:
        """The file, or None if the stick has none."""
        fd = self._open(path)
        if fd is None:
            return None
        with os.fdopen(fd, "rb") as file:
            data = file.read(cap + 1)
        if len(data) > cap:
            raise Unavailable("too-large", f"cannot take {path}: more than {cap} bytes")
        return data

    def stream(self, path: str, *, offset: int = 0) -> AbstractContextManager[Iterator[bytes]]:
        """The file from `offset` on."""
        return self._streamed(path, offset)

    @contextmanager
    def _streamed(self, path: str, offset: int) -> Iterator[Iterator[bytes]]:
        fd = self._open(path)
        if fd is None:
            raise Unavailable("not-found", f"cannot find {path} in {self._directory}")
        with os.fdopen(fd, "rb", buffering=0) as file:
            file.seek(offset)
            yield iter(lambda: file.read(_PIECE), b"")

    def post(self, path: str, body: bytes) -> bytes:
        """Leave a statement in the outbox, durably."""
        place = self._outbox(path, body)
        try:
            for directory in reversed(place.relative_to(self._directory).parents):
                room = self._directory / directory
                durable.make_directory(room)
                if not stat.S_ISDIR(room.lstat().st_mode):
                    raise Unavailable("bad-stick", f"cannot use {room}: it is no directory")
            durable.write_atomic(place, body, mode=0o644)
        except OSError as error:
            raise Unavailable(
                "stick-full", f"cannot leave a statement on {self._directory}: {error.strerror}"
            ) from error
        return b""

    def close(self) -> None:
        """Nothing to give up."""

    def _outbox(self, path: str, body: bytes) -> Path:
        outbox = self._directory / "outbox"
        try:
            if path == "bindings":
                record = _payload(parse_strict(body, cap=ENVELOPE_CAP)["record"])
                return outbox / "bindings" / f"{parse_device(record['device'])}.json"
            match = _REPORT.fullmatch(path)
            if match is not None:
                sequence = _payload(parse_strict(body, cap=ENVELOPE_CAP))["sequence"]
                return outbox / "reports" / match.group(1) / f"{int(sequence)}.json"
        except (AllodError, LookupError, TypeError, ValueError) as error:
            raise InvalidInput("bad-document", f"cannot read what goes to {path}") from error
        raise Unavailable("not-found", f"cannot hand in {path} on a stick")

    def _open(self, path: str) -> int | None:
        """The file's descriptor, without following a link at any step below the directory."""
        names = server_path(self._fleet, path).replace(":", "-").split("/")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        at = -1
        try:
            at = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            for name in names[:-1]:
                inner = os.open(name, flags | os.O_DIRECTORY, dir_fd=at)
                os.close(at)
                at = inner
            fd = os.open(names[-1], flags, dir_fd=at)
        except OSError as error:
            if error.errno == errno.ENOENT and at >= 0:
                return None
            raise Unavailable(
                "bad-stick", f"cannot read {path} in {self._directory}: {error.strerror}"
            ) from error
        finally:
            if at >= 0:
                os.close(at)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise Unavailable("bad-stick", f"cannot read {path} in {self._directory}: no file")
        return fd


def _payload(envelope: Any) -> Any:
    payload = convert(envelope, Envelope).payload
    return parse_strict(base64.b64decode(payload, validate=True), cap=REPORT_CAP)
