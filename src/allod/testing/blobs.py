"""Blobs in memory: the fake of `allod.server.ports.BlobStore`, under its contract suite."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator

from allod.domain.ids import Digest, sha256
from allod.errors import Conflict, InvalidInput


class MemoryBlobStore:
    """Implements the port; nothing is durable."""

    def __init__(self) -> None:
        self._blobs: dict[Digest, bytes] = {}
        self._uploads: dict[str, bytearray] = {}

    def size(self, digest: Digest) -> int | None:
        """See the port."""
        data = self._blobs.get(digest)
        return None if data is None else len(data)

    def read(
        self, digest: Digest, *, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """See the port."""
        if digest not in self._blobs:
            raise InvalidInput("not-found", f"cannot find the blob {digest}")
        data = self._blobs[digest][offset:]
        data = data if length is None else data[:length]
        return iter([data] if data else [])

    def put(self, digest: Digest, pieces: Iterable[bytes]) -> int:
        """See the port."""
        if digest not in self._blobs:
            self._store(digest, b"".join(pieces))
        return len(self._blobs[digest])

    def _store(self, digest: Digest, data: bytes) -> None:
        if sha256(data) != digest:
            raise InvalidInput("digest-mismatch", f"cannot store the blob {digest}: it differs")
        self._blobs[digest] = data

    def remove(self, digest: Digest) -> None:
        """See the port."""
        self._blobs.pop(digest, None)

    def digests(self) -> Iterator[Digest]:
        """See the port."""
        return iter(tuple(self._blobs))

    def begin(self) -> str:
        """See the port."""
        upload = secrets.token_hex(16)
        self._uploads[upload] = bytearray()
        return upload

    def _open(self, upload: str) -> bytearray:
        if upload not in self._uploads:
            raise InvalidInput("not-found", "cannot find the upload")
        return self._uploads[upload]

    def received(self, upload: str) -> int:
        """See the port."""
        return len(self._open(upload))

    def append(self, upload: str, piece: bytes, *, offset: int) -> int:
        """See the port."""
        data = self._open(upload)
        if len(data) != offset:
            raise Conflict("wrong-offset", "cannot add bytes there", received=len(data))
        data.extend(piece)
        return len(data)

    def finish(self, upload: str, digest: Digest) -> int:
        """See the port."""
        data = bytes(self._open(upload))
        del self._uploads[upload]
        self._store(digest, data)
        return len(data)

    def abort(self, upload: str) -> None:
        """See the port."""
        self._uploads.pop(upload, None)
