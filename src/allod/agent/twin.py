"""A small file kept twice, each copy with a checksum and a count, so that one heals the other.

Both copies are on the disk when `save` returns, so any single one of them holds the newest
content. A cut between the two leaves a newer and an older copy: the newer one wins.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from allod import durable
from allod.errors import AllodError

_MAGIC: Final = b"allod-twin 1 "
_COUNT_DIGITS: Final = 19


class Damaged(AllodError):
    """Both copies are unreadable, or one is and the other was never there."""


@dataclass(frozen=True, slots=True)
class Content:
    """What was read, and whether one copy had to be healed from the other."""

    data: bytes
    count: int
    healed: str = ""  #: name of the copy that was damaged; empty: none


@dataclass(frozen=True, slots=True)
class TwinFile:
    """The pair `<name>.1` and `<name>.2` in one directory."""

    directory: Path
    name: str

    @property
    def paths(self) -> tuple[Path, Path]:
        """Both copies, in the order in which they are written."""
        return self.directory / f"{self.name}.1", self.directory / f"{self.name}.2"

    def load(self) -> Content | None:
        """The newest whole copy; a damaged, missing or older other one is mended.

        Returns:
            None if neither copy was ever written.

        Raises:
            Damaged: `twin-damaged`, there is a copy and none can be read.
        """
        found: list[tuple[int, bytes] | None] = []
        present = False
        for path in self.paths:
            try:
                raw = path.read_bytes()
            except FileNotFoundError:
                found.append(None)
                continue
            except OSError:
                raw = b""
            present = True
            found.append(_open(raw))
        whole = [content for content in found if content is not None]
        if not whole:
            if not present:
                return None
            raise Damaged(
                "twin-damaged", f"cannot read {self.directory / self.name}: both copies are damaged"
            )
        count, data = max(whole)
        healed = ""
        for path, content in zip(self.paths, found, strict=True):
            if content != (count, data):
                # An older whole copy is the trace of a cut, not of damage.
                healed = path.name if content is None and not self._fresh(found) else healed
                durable.write_atomic(path, _seal(count, data))
        return Content(data, count, healed)

    def save(self, data: bytes) -> None:
        """Replace the content; both copies are durable when it returns.

        Raises:
            OSError: the disk refused; the old or the new content is what `load` finds.
        """
        try:
            before = self.load()
        except Damaged:
            before = None
        sealed = _seal(1 if before is None else before.count + 1, data)
        for path in self.paths:
            durable.write_atomic(path, sealed)

    def remove(self) -> None:
        """Forget it, durably."""
        for path in reversed(self.paths):
            durable.remove_file(path)

    def _fresh(self, found: list[tuple[int, bytes] | None]) -> bool:
        """Whether this is a cut within the very first `save`: copy 1 of count 1, no copy 2."""
        first, second = found
        return first is not None and first[0] == 1 and second is None and not self.paths[1].exists()


def _seal(count: int, data: bytes) -> bytes:
    head = f"{count:0{_COUNT_DIGITS}d} ".encode()
    return _MAGIC + hashlib.sha256(head + data).hexdigest().encode() + b" " + head + data


def _open(raw: bytes) -> tuple[int, bytes] | None:
    start = len(_MAGIC)
    checksum, body = raw[start : start + 64], raw[start + 65 :]
    if raw[:start] != _MAGIC or hashlib.sha256(body).hexdigest().encode() != checksum:
        return None
    digits = body[:_COUNT_DIGITS]
    if not digits.isdigit():
        return None
    return int(digits), body[_COUNT_DIGITS + 1 :]
