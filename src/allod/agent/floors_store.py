"""Step 5 of docs/explanation/acceptance.md on the disk: floors kept twice, and the cache of metadata beside them.

Floors begin with those of the invite and are never lost silently: one damaged copy is healed from
the other and reported; with both gone the device changes nothing (`floors-damaged`) and runs on.
A cached file that is lost or damaged costs a transfer and an alarm, never a first run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from allod import durable
from allod.agent.state_dir import StateDir
from allod.agent.twin import Damaged, TwinFile
from allod.domain.ids import FleetId
from allod.errors import InvalidInput, Untrusted
from allod.trust.effects import Keep
from allod.trust.floors import Floors, decode_floors, encode_floors
from allod.wire.report import Alarm

_FLOORS: Final = "floors"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~%-]{0,240}", re.ASCII)
_CHECKSUM: Final = 65  #: 64 hex digits and a line end stand before each cached file
_READ_CAP: Final = 64 * 1024 * 1024


class FloorsStore:
    """Keeps what `trust` asks to be kept, and remembers what it had to heal."""

    def __init__(self, state: StateDir) -> None:
        self._twin = TwinFile(state.floors, _FLOORS)
        self._state = state
        self.alarms: list[Alarm] = []

    def load(self, fleet: FleetId) -> Floors:
        """The floors of a bound device.

        Raises:
            Untrusted: `floors-damaged`; nothing may change until the owner binds the device anew.
        """
        try:
            content = self._twin.load()
            floors = None if content is None else decode_floors(content.data)
        except (Damaged, InvalidInput) as error:
            raise _damaged(self._state) from error
        if content is None or floors is None or floors.fleet != fleet:
            raise _damaged(self._state)
        if content.healed:
            says = f"a copy of the floors ({content.healed}) was damaged or gone, and was healed"
            self.alarms.append(Alarm(code="floors-healed", says=says))
        return floors

    def begin(self, floors: Floors) -> None:
        """Take the floors of an invite, in place of any there were, and drop the cache."""
        self.drop_cache()
        self._twin.save(encode_floors(floors))

    def keep(self, effect: Keep) -> None:
        """Make floors durable, then files; in this order, so that no file is ahead of its floor."""
        data = encode_floors(effect.floors)
        known = self._twin.load()
        if known is None or known.data != data:
            self._twin.save(data)
        for name, file in effect.files.items():
            checksum = hashlib.sha256(file).hexdigest().encode()
            durable.write_atomic(self._path(name), checksum + b"\n" + file)
        for name in effect.forget:
            durable.remove_file(self._path(name))

    def cached(self) -> Mapping[str, bytes]:
        """The cache, read file by file as it is asked for."""
        return _Cache(self)

    def drop_cache(self) -> None:
        """Remove every cached file."""
        for entry in list(os.scandir(self._state.tuf)):
            durable.remove_file(self._state.tuf / entry.name)

    def clear(self) -> None:
        """Forget floors and cache: the device is bound to nobody any more."""
        self.drop_cache()
        self._twin.remove()

    def read(self, name: str) -> bytes | None:
        """One cached file; damaged ones are an alarm and count as missing."""
        try:
            with self._path(name).open("rb") as file:
                raw = file.read(_READ_CAP)
        except (FileNotFoundError, InvalidInput):
            return None
        except OSError:
            raw = b""
        checksum, data = raw[: _CHECKSUM - 1], raw[_CHECKSUM:]
        if hashlib.sha256(data).hexdigest().encode() != checksum:
            alarm = Alarm(code="cache-damaged", says=f"the cached {name} was damaged")
            if alarm not in self.alarms:
                self.alarms.append(alarm)
            return None
        return data

    def names(self) -> list[str]:
        """The names of all cached files."""
        files = [entry.name for entry in os.scandir(self._state.tuf)]
        return sorted(unquote(name) for name in files if _NAME.fullmatch(name))

    def _path(self, name: str) -> Path:
        flat = quote(name, safe="")
        if _NAME.fullmatch(flat) is None:
            raise InvalidInput("bad-path", f"cannot keep a file under the name {name[:80]!r}")
        return self._state.tuf / flat


class _Cache(Mapping[str, bytes]):
    def __init__(self, store: FloorsStore) -> None:
        self._store = store

    def __getitem__(self, name: str) -> bytes:
        found = self._store.read(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.names())

    def __len__(self) -> int:
        return len(self._store.names())


def _damaged(state: StateDir) -> Untrusted:
    return Untrusted(
        "floors-damaged",
        f"cannot change anything: both copies of the floors in {state.floors} are damaged or gone; "
        "what is installed runs on; the owner has to bind the device anew ('allod-agent unbind')",
    )
