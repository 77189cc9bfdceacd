"""Payloads of releases, good and hostile, and a transport over a dictionary."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from allod.domain.ids import Digest, ProviderName, Purl, Version, sha256
from allod.domain.release import Kind, Layer, Release
from allod.errors import Unavailable
from allod.wire.oci import TREE_LAYER

PACKAGE = Purl("pkg:generic/acme/toaster")


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of an archive, whatever it claims to be."""

    name: str
    content: bytes = b""
    mode: int = 0o644
    kind: bytes = tarfile.REGTYPE
    target: str = ""


def directory(name: str, mode: int = 0o755) -> Item:
    """A directory."""
    return Item(name, mode=mode, kind=tarfile.DIRTYPE)


def link(name: str, target: str) -> Item:
    """A symbolic link."""
    return Item(name, mode=0o777, kind=tarfile.SYMTYPE, target=target)


def archive(items: Iterable[Item]) -> bytes:
    """The items as a tar archive, in the order given."""
    parts = []
    for item in items:
        info = tarfile.TarInfo(item.name)
        info.mode, info.type, info.linkname = item.mode, item.kind, item.target
        info.size = len(item.content)
        padding = bytes(-len(item.content) % tarfile.BLOCKSIZE)
        parts += [info.tobuf(tarfile.PAX_FORMAT), item.content, padding]
    return b"".join([*parts, bytes(2 * tarfile.BLOCKSIZE)])


@dataclass(frozen=True, slots=True)
class Payload:
    """A release of one layer, and the layer's bytes."""

    release: Release
    digest: Digest  #: that stands for its manifest
    data: bytes

    def open(self) -> Mapping[Layer, BinaryIO]:
        """As an installer wants it."""
        return {self.release.layers[0]: io.BytesIO(self.data)}


def payload(items: Iterable[Item] = (), *, data: bytes | None = None, **fields: Any) -> Payload:
    """A release with these items, or with `data` as its whole layer."""
    known = tuple(items)
    packed = gzip.compress(archive(known), 6, mtime=0) if data is None else data
    layer = Layer(sha256(packed), len(packed), TREE_LAYER)
    given: dict[str, Any] = {
        "package": PACKAGE,
        "version": Version("1.0"),
        "provider": ProviderName("acme"),
        "kind": Kind.TREE,
        "installed_size": sum(len(item.content) for item in known),
        "layers": (layer,),
        **fields,
    }
    return Payload(Release(**given), sha256(b"manifest of " + packed), packed)


@dataclass
class MemoryTransport:
    """A `Transport` over a dictionary, which counts, and fails as it is told.

    Attributes:
        files: path -> bytes.
        cut: a stream ends early after this many bytes, once.
        asked: every path that was asked for.
        sent: bytes that were handed out.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    piece: int = 64 * 1024
    cut: int | None = None
    asked: list[str] = field(default_factory=list)
    sent: int = 0

    def get(self, path: str, *, cap: int) -> bytes | None:
        """The file, or None."""
        self.asked.append(path)
        data = self.files.get(path)
        if data is not None and len(data) > cap:
            raise Unavailable("too-large", f"cannot take {path}: more than {cap} bytes")
        self.sent += len(data or b"")
        return data

    def stream(self, path: str, *, offset: int = 0) -> AbstractContextManager[Iterator[bytes]]:
        """The file from `offset` on."""
        self.asked.append(path)
        return self._stream(path, offset)

    @contextmanager
    def _stream(self, path: str, offset: int) -> Iterator[Iterator[bytes]]:
        if path not in self.files:
            raise Unavailable("not-found", f"cannot find {path}")
        yield self._pieces(self.files[path], offset)

    def _pieces(self, data: bytes, offset: int) -> Iterator[bytes]:
        end = len(data)
        if self.cut is not None:
            end, self.cut = min(end, offset + self.cut), None
        for start in range(offset, end, self.piece):
            part = data[start : min(end, start + self.piece)]
            self.sent += len(part)
            yield part

    def post(self, path: str, body: bytes) -> bytes:
        """Keep what was handed in."""
        self.files[path] = body
        return b"{}"
