"""A strict, streaming reader of tar+gzip layers (docs/spec/release.md, "Layers").

Python's own tarfile reads headers of any length into memory and knows many dialects. This
reader knows ustar with pax or GNU long names, files, directories and symbolic links, and
refuses the rest. It holds no more than `PIECE` bytes of payload at once.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO, Final, NoReturn

from allod.domain.release import Layer
from allod.errors import InvalidInput

BLOCK: Final = 512
PIECE: Final = 256 * 1024
HEADER_CAP: Final = 8 * 1024  #: bytes of a pax or GNU long-name record
PADDING_CAP: Final = 20 * BLOCK  #: zeros that may follow the two end blocks (one tar record)

_LENGTH_DIGITS: Final = 4  #: of a pax record, at most HEADER_CAP
_SIZE_DIGITS: Final = 15
_GNU_NAME: Final = b"L"
_GNU_LINK: Final = b"K"
_PAX: Final = b"x"
_PAX_GLOBAL: Final = b"g"


def refuse(says: str) -> NoReturn:
    """Raise InvalidInput `bad-payload`."""
    raise InvalidInput("bad-payload", f"cannot unpack the payload: {says}")


class Form(Enum):
    """What an entry is."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"


_FORMS: Final = {b"0": Form.FILE, b"\0": Form.FILE, b"5": Form.DIRECTORY, b"2": Form.LINK}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an archive; of a file, its content is then read from the archive."""

    form: Form
    name: str
    mode: int
    size: int
    target: str = ""  #: of a link


class _Inflated:
    """The bytes inside one gzip layer, whose own digest is taken on the way."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._gzip = zlib.decompressobj(wbits=31)
        self._hash = hashlib.sha256()
        self._ready = b""
        self.transferred = 0

    def _more(self) -> bool:
        """Fill `_ready`; False at the end of the gzip member."""
        while not self._ready:
            if self._gzip.eof:
                return False
            packed = self._gzip.unconsumed_tail
            if not packed:
                packed = self._source.read(PIECE)
                if not packed:
                    refuse("the gzip stream is cut short")
                self._hash.update(packed)
                self.transferred += len(packed)
            try:
                self._ready = self._gzip.decompress(packed, PIECE)
            except zlib.error as error:
                refuse(f"the gzip stream is damaged ({error})")
        return True

    def read(self, size: int) -> bytes:
        """At most `size` bytes; empty at the end."""
        if not self._ready and not self._more():
            return b""
        piece, self._ready = self._ready[:size], self._ready[size:]
        return piece

    def exactly(self, size: int, what: str) -> bytes:
        """`size` bytes (a small number)."""
        parts = []
        while size:
            piece = self.read(size)
            if not piece:
                refuse(f"it ends within {what}")
            parts.append(piece)
            size -= len(piece)
        return b"".join(parts)

    def finish(self, layer: Layer) -> None:
        """Nothing may follow, and the layer must be the one that was named (T15, T8)."""
        if self._gzip.unused_data or self._source.read(1):
            refuse("there are bytes after the end of the gzip stream")
        found = f"sha256:{self._hash.hexdigest()}"
        if self.transferred != layer.size or found != layer.digest:
            refuse(
                f"its bytes are not those of layer {layer.digest} "
                f"(found {self.transferred} bytes, {found})"
            )


class LayerReader:
    """Reads one layer: iterate over the entries, and read each file before going on."""

    def __init__(self, layer: Layer, source: BinaryIO) -> None:
        self._layer = layer
        self._bytes = _Inflated(source)
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        """The entries in order; after the last the layer is verified whole."""
        long_name: str | None = None
        long_link: str | None = None
        long_size: int | None = None
        while True:
            if self._left or self._padding:
                refuse("an entry was not read whole")
            header = self._bytes.exactly(BLOCK, "a header")
            if header == bytes(BLOCK):
                self._end()
                return
            kind, size = header[156:157], _checked(header)
            if kind in {_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK}:
                record = self._record(size)
                if kind == _GNU_NAME:
                    long_name = _text(record.rstrip(b"\0"))
                elif kind == _GNU_LINK:
                    long_link = _text(record.rstrip(b"\0"))
                else:
                    pax = _pax(record, everywhere=kind == _PAX_GLOBAL)
                    long_name = pax.get("path", long_name)
                    long_link = pax.get("linkpath", long_link)
                    long_size = int(pax["size"]) if "size" in pax else long_size
                continue
            entry = _entry(
                header, kind, size if long_size is None else long_size, long_name, long_link
            )
            long_name = long_link = long_size = None
            self._left = entry.size
            self._padding = -entry.size % BLOCK
            yield entry

    def content(self) -> Iterator[bytes]:
        """The content of the file that was just yielded, in pieces."""
        while self._left:
            piece = self._bytes.read(min(self._left, PIECE))
            if not piece:
                refuse("it ends within a file")
            self._left -= len(piece)
            yield piece
        if any(self._bytes.exactly(self._padding, "padding")):
            refuse("the padding after a file is not empty")
        self._padding = 0

    def _record(self, size: int) -> bytes:
        if size > HEADER_CAP:
            refuse(f"an extended header of {size} bytes is larger than {HEADER_CAP}")
        data = self._bytes.exactly(size, "an extended header")
        self._bytes.exactly(-size % BLOCK, "padding")
        return data

    def _end(self) -> None:
        if any(self._bytes.exactly(BLOCK, "the end")):
            refuse("a single empty block stands where two end the archive")
        rest = 0
        while piece := self._bytes.read(PIECE):
            rest += len(piece)
            if rest > PADDING_CAP or any(piece):
                refuse("there are bytes after the end of the archive")
        self._bytes.finish(self._layer)


def _number(field: bytes, what: str) -> int:
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if any(digit not in b"01234567" for digit in digits):
        refuse(f"a header has no plain octal number as its {what}")
    return int(digits, 8)


def _checked(header: bytes) -> int:
    """The size that a header states, once its checksum fits."""
    stated = _number(header[148:156], "checksum")
    if stated != sum(header[:148]) + 8 * 32 + sum(header[156:]):
        refuse("the checksum of a header is wrong")
    return _number(header[124:136], "size")


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        refuse(f"the name {raw[:80]!r} is not UTF-8")


def _pax(record: bytes, *, everywhere: bool) -> dict[str, str]:
    """Parse 'LENGTH KEY=VALUE' lines; of a global header nothing may matter."""
    found: dict[str, str] = {}
    while record:
        digits, space, _ = record.partition(b" ")
        length = int(digits) if space and digits.isdigit() and len(digits) <= _LENGTH_DIGITS else 0
        line = record[len(digits) + 1 : length]
        if length <= len(digits) + 2 or length > len(record) or not line.endswith(b"\n"):
            refuse("a pax header is malformed")
        key, equals, value = line[:-1].partition(b"=")
        name = key.decode("ascii", "replace")
        if not equals or name in found:
            refuse("a pax header is malformed")
        if name in {"path", "linkpath"} and not everywhere:
            found[name] = _text(value)
        elif name == "size" and not everywhere and value.isdigit() and len(value) <= _SIZE_DIGITS:
            found[name] = value.decode("ascii")
        elif name not in {"mtime", "atime", "ctime", "comment", "uid", "gid", "uname", "gname"}:
            refuse(f"the pax key {name[:40]!r} is not known here")
        record = record[length:]
    return found


def _entry(
    header: bytes, kind: bytes, size: int, long_name: str | None, long_link: str | None
) -> Entry:
    form = _FORMS.get(kind)
    name = long_name
    if name is None:
        short = header[:100].partition(b"\0")[0]
        prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
        name = _text(prefix + b"/" + short if prefix else short)
    if form is None:
        what = {b"1": "a hard link", b"3": "a device", b"4": "a device", b"6": "a pipe"}.get(
            kind, f"of the kind {kind!r}"
        )
        refuse(f"{name[:120]!r} is {what}; only files, directories and symbolic links are")
    if form is not Form.FILE and size:
        refuse(f"{name[:120]!r} is no file and has content")
    target = ""
    if form is Form.LINK:
        target = long_link if long_link is not None else _text(header[157:257].partition(b"\0")[0])
    elif form is Form.FILE and name.endswith("/"):
        refuse(f"the file {name[:120]!r} has the name of a directory")
    return Entry(form, name, _number(header[100:108], "mode"), size, target)
