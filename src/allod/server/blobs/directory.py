"""Blobs as files: `sha256/<first two digits>/<hex>`, and uploads beside them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from allod import durable
from allod.domain.ids import Digest, parse_digest
from allod.errors import Conflict, InvalidInput

PIECE: Final = 256 * 1024
ABANDONED_SECONDS: Final = 86_400
_UPLOAD: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


def _absent(what: str) -> InvalidInput:
    return InvalidInput("not-found", f"cannot find {what}: the server does not have it")


class DirectoryBlobStore:
    """Implements `allod.server.ports.BlobStore` on one filesystem."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._uploads = directory / "uploads"
        self._appending = threading.Lock()

    def _path(self, digest: Digest) -> Path:
        name = parse_digest(digest).removeprefix("sha256:")
        return self._directory / "sha256" / name[:2] / name

    def _upload(self, upload: str) -> Path:
        if _UPLOAD.fullmatch(upload) is None:
            raise _absent("the upload")
        return self._uploads / upload

    def size(self, digest: Digest) -> int | None:
        """See the port."""
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def read(
        self, digest: Digest, *, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """See the port."""
        path = self._path(digest)
        if not path.is_file():
            raise _absent(f"the blob {digest}")
        return _pieces(path, offset, length)

    def put(self, digest: Digest, pieces: Iterable[bytes]) -> int:
        """See the port."""
        present = self.size(digest)
        if present is not None:
            return present
        upload = self.begin()
        try:
            with self._upload(upload).open("wb") as file:
                for piece in pieces:
                    file.write(piece)
            return self.finish(upload, digest)
        finally:
            self.abort(upload)

    def remove(self, digest: Digest) -> None:
        """See the port."""
        path = self._path(digest)
        if path.parent.is_dir():
            durable.remove_file(path)

    def digests(self) -> Iterator[Digest]:
        """See the port."""
        for path in (self._directory / "sha256").glob("??/*"):
            with contextlib.suppress(InvalidInput):
                yield parse_digest("sha256:" + path.name)

    def begin(self) -> str:
        """See the port. Uploads that nobody has touched for a day are thrown away here."""
        self._uploads.mkdir(mode=0o700, parents=True, exist_ok=True)
        upload = secrets.token_hex(16)
        self._upload(upload).touch(mode=0o600, exist_ok=False)
        self._sweep(self._upload(upload).stat().st_mtime - ABANDONED_SECONDS)
        return upload

    def _sweep(self, oldest: float) -> None:
        for path in self._uploads.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def received(self, upload: str) -> int:
        """See the port."""
        try:
            return self._upload(upload).stat().st_size
        except FileNotFoundError as error:
            raise _absent("the upload") from error

    def append(self, upload: str, piece: bytes, *, offset: int) -> int:
        """See the port."""
        with self._appending:
            there = self.received(upload)
            if there != offset:
                raise Conflict(
                    "wrong-offset",
                    f"cannot add bytes at {offset}: {there} are there; go on from there",
                    received=there,
                )
            with self._upload(upload).open("ab") as file:
                file.write(piece)
            return there + len(piece)

    def finish(self, upload: str, digest: Digest) -> int:
        """See the port."""
        final, partial = self._path(digest), self._upload(upload)
        try:
            file = partial.open("rb")
        except FileNotFoundError as error:
            raise _absent("the upload") from error
        with file:
            found = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
            if found != digest:
                self.abort(upload)
                raise InvalidInput(
                    "digest-mismatch",
                    f"cannot store the blob {digest}: what came is {found}; send it again",
                )
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        durable.make_directory(final.parent)
        partial.replace(final)
        durable.sync_directory(final.parent)
        return size

    def abort(self, upload: str) -> None:
        """See the port."""
        self._upload(upload).unlink(missing_ok=True)


def _pieces(path: Path, offset: int, length: int | None) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        left = length
        while left is None or left > 0:
            piece = file.read(PIECE if left is None else min(PIECE, left))
            if not piece:
                return
            left = None if left is None else left - len(piece)
            yield piece
