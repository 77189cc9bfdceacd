"""Where an audit reads from: a server, or a directory that `allod export` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from allod.audit.activity import Place, read_binding
from allod.domain.ids import DeviceId, FleetId, parse_device
from allod.errors import AllodError, InvalidInput, Untrusted
from allod.tlog.tiles import Tile
from allod.trust.binding import BINDING_CAP
from allod.wire.api import BindingEntry, BindingList, ReportList
from allod.wire.codec import encode
from allod.wire.report import REPORT_CAP

if TYPE_CHECKING:
    from allod.cli.client import ApiClient

REPORT_FILE_CAP: Final = REPORT_CAP * 4 // 3 + 4096
_RECORD_CAP: Final = 2 * BINDING_CAP


class Source(Protocol):
    """What is asked. Nothing that it answers is believed."""

    @property
    def name(self) -> str:
        """To show."""
        ...

    def file(self, path: str, cap: int) -> bytes | None:
        """A file of the fleet, relative to /f/<fleet>/; None: not there.

        Raises:
            Untrusted: `too-large`.
            Unavailable: the source cannot be reached.
        """
        ...

    def bindings(self) -> Iterator[BindingEntry]:
        """The binding records, of every binding."""
        ...

    def reports(self, place: Place, after: int) -> Iterator[tuple[int, bytes]]:
        """A device's reports by number, beyond `after`: what it signed, as it is kept."""
        ...


@dataclass(frozen=True, slots=True)
class ServerSource:
    """The fleet's server."""

    client: ApiClient

    @property
    def name(self) -> str:
        """See the port."""
        return self.client.location.url

    def file(self, path: str, cap: int) -> bytes | None:
        """See the port."""
        return self.client.file(path, cap=cap)

    def bindings(self) -> Iterator[BindingEntry]:
        """See the port."""
        after: str | None = None
        while True:
            query = f"?after={after}" if after is not None else ""
            page = self.client.get(f"bindings{query}", BindingList)
            for newest in page.bindings:
                if newest.epoch > 1:
                    device = parse_device(newest.device)
                    yield from self.client.get(f"devices/{device}/bindings", BindingList).bindings
                else:
                    yield newest
            if page.next is None or page.next == after:
                return
            after = page.next

    def reports(self, place: Place, after: int) -> Iterator[tuple[int, bytes]]:
        """See the port."""
        device = parse_device(place.device)
        while True:
            query = f"?after={after}&epoch={place.epoch}"
            page = self.client.get(f"devices/{device}/reports{query}", ReportList)
            for one in page.reports:
                yield one.sequence, encode(one.report)
            if page.next is None or page.next <= after:
                return
            after = page.next


def binding_path(device: str, epoch: int) -> str:
    """Where an export keeps a binding record, relative to /f/<fleet>/."""
    return f"bindings/{device}/{epoch}.json"


def report_path(device: str, epoch: int, sequence: int, digest: str) -> str:
    """Where an export keeps a report, relative to /f/<fleet>/."""
    return f"devices/{device}/reports/{epoch}/{sequence}.{digest.removeprefix('sha256:')}.json"


@dataclass(frozen=True, slots=True)
class ExportSource:
    """A directory that stands in for a server."""

    directory: Path
    fleet: FleetId

    @property
    def name(self) -> str:
        """See the port."""
        return str(self.directory)

    @property
    def _root(self) -> Path:
        return self.directory / "f" / self.fleet

    def file(self, path: str, cap: int) -> bytes | None:
        """See the port."""
        return _read(self._root.joinpath(*path.replace(":", "-").split("/")), cap)

    def bindings(self) -> Iterator[BindingEntry]:
        """See the port."""
        for path in sorted((self._root / "bindings").glob("*/*.json")):
            data = _read(path, _RECORD_CAP)
            if data is not None:
                yield read_binding(data, _RECORD_CAP)

    def reports(self, place: Place, after: int) -> Iterator[tuple[int, bytes]]:
        """See the port."""
        directory = self._root / "devices" / DeviceId(place.device) / "reports" / str(place.epoch)
        found: list[tuple[int, Path]] = []
        for path in directory.glob("*.*.json"):
            number = path.name.partition(".")[0]
            if number.isascii() and number.isdecimal() and int(number) > after:
                found.append((int(number), path))
        for sequence, path in sorted(found):
            data = _read(path, REPORT_FILE_CAP)
            if data is not None:
                yield sequence, data


def _read(path: Path, cap: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(cap + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    if len(data) > cap:
        raise Untrusted("too-large", f"cannot read {path}: more than {cap} bytes")
    return data


def fleet_in(directory: Path) -> FleetId:
    """The one fleet that an export is of.

    Raises:
        InvalidInput: `which-fleet`: there is none, or several.
    """
    from allod.domain.ids import parse_fleet

    found: list[FleetId] = []
    for path in sorted((directory / "f").glob("*")):
        try:
            found.append(parse_fleet(path.name))
        except AllodError:
            continue
    if len(found) != 1:
        raise InvalidInput(
            "which-fleet", f"cannot tell which fleet {directory} is of: give --fleet-id"
        )
    return found[0]


def read_tile(source: Source, prefix: str, tile: Tile) -> tuple[Tile, bytes] | None:
    """A tile at the width that is asked for, else the full one; None: neither is served."""
    data = source.file(f"{prefix}/{tile.path}", tile.cap)
    if data is None and tile != tile.full:
        tile = tile.full
        data = source.file(f"{prefix}/{tile.path}", tile.cap)
    return None if data is None else (tile, data)
