"""Who allowed a change of a device: the signed document, its keys, and its place in the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from allod.audit.receipts import check_receipt
from allod.cli.device_log import FleetLog, fleet_log
from allod.cli.past import Past
from allod.cli.preview import read_state
from allod.domain.desired import ChangeNote, PackageEntry, StateDocument
from allod.domain.ids import Purl, is_pattern, parse_scope, pattern_covers, sha256
from allod.errors import AllodError
from allod.wire.codec import instant
from allod.wire.report import Authority

if TYPE_CHECKING:
    from allod.audit.explaining import Step
    from allod.cli.members import Device
    from allod.cli.picture import Picture


@dataclass(frozen=True, slots=True)
class Allowed:
    """The authority of one change, as far as it was verified here.

    Attributes:
        authority: as the device's signed report names it.
        note: of the change that wrote the package's entry.
        keys: ids of the keys that signed the role's file, with what is known of each.
        index: of the entry in the log, as this machine judged it; None: no log, or not there.
        size: of the first checkpoint under which this machine proved it.
        proved: whether the device's receipt fits the log.
        earlier: whether this machine proved that entry in a log that has been succeeded since.
        orders: whether the document orders what the device did; None: it could not be read.
        doubts: what does not fit.
    """

    authority: Authority
    note: ChangeNote | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    index: int | None = None
    size: int | None = None
    proved: bool = False
    earlier: bool = False
    orders: bool | None = None
    doubts: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        """For `--json`."""
        seen = self.authority.checkpoint
        note = self.note
        return {
            "document": self.authority.document,
            "digest": self.authority.digest,
            "role": self.authority.role,
            "version": self.authority.version,
            "delegation": self.authority.delegation,
            "reasons": list(self.authority.reasons),
            "orders": self.orders,
            "change": None
            if note is None
            else {
                "number": note.number,
                "id": note.id,
                "at": instant(note.at),
                "by": note.by,
                "message": note.message,
                "ticket": note.ticket,
            },
            "keys": [{"id": key, "name": name} for key, name in self.keys.items()],
            "log": {
                "index": self.authority.log_index,
                "checkpoint": None
                if seen is None
                else {"origin": seen.origin, "size": seen.size, "root": seen.root},
                "entry": self.index,
                "inForceSince": self.size,
                "proved": self.proved,
                "provedEarlier": self.earlier,
            },
            "doubts": list(self.doubts),
        }

    def words(self) -> Iterator[str]:
        """For people."""
        authority = self.authority
        note = self.note
        if note is not None:
            about = f": {note.message}" if note.message else ""
            ticket = f" [{note.ticket}]" if note.ticket else ""
            yield f"allowed by: {note.by or 'somebody'}, change {note.number}{about}{ticket}"
        for key, name in self.keys.items():
            yield f"signed by: {name or 'a key'} ({key[:16]})"
        yield f"under: {authority.document} in {authority.role} {authority.version}"
        seen = authority.checkpoint
        if authority.log_index is None or seen is None:
            yield "log: the device names no entry"
        else:
            word = "proved here" if self.proved else "NOT proved"
            if self.earlier:
                word = "proved here before another log followed that one"
            yield f"log: entry {authority.log_index} under a checkpoint of {seen.size} ({word})"
        yield from (f"! {says}" for says in self.doubts)


@dataclass
class Clerk:
    """Looks up who allowed what, in the files that this machine verifies.

    Args:
        picture: of the fleet.
        device: whose changes they are.
    """

    picture: Picture
    device: Device

    @cached_property
    def _past(self) -> Past:
        return Past(self.picture)

    @cached_property
    def _log(self) -> FleetLog:
        report = self.device.report
        return fleet_log(self.picture.base.view, () if report is None else (report,))

    def allowed(self, step: Step | None, package: Purl, running: str | None) -> Allowed | None:
        """Who allowed a step; None: its report names no authority."""
        authority = None if step is None else step.authority
        if step is None or authority is None:
            return None
        doubts: list[str] = []
        note, orders = None, None
        keys: dict[str, str] = {}
        try:
            document, keys = self._document(authority)
            entry = None if document is None else _entry(document, package)
            note = None if entry is None else entry.change
            if note is None and document is not None:
                note = document.change
            orders = _orders(entry, step, running)
            if orders is False:
                doubts.append("the document that the device names does not order this")
        except AllodError as error:
            doubts.append(error.message)
        return Allowed(
            authority,
            note,
            keys,
            **self._place(authority, doubts),
            orders=orders,
            doubts=tuple(doubts),
        )

    def _document(self, authority: Authority) -> tuple[StateDocument | None, dict[str, str]]:
        """The document as that version of the role listed it, and who signed the role."""
        signed = self._past.signed(authority.role, authority.version)
        if signed is None:
            return None, {}
        keys = {key: self._named(key) for key in sorted(signed.by)}
        info = signed.value.targets.get(authority.document)
        data = None if info is None else self._past.content(authority.document, info)
        if data is None or sha256(data) != authority.digest:
            return None, keys
        scope = parse_scope(authority.document.removeprefix("state/").removesuffix(".json"))
        return read_state(data, self.picture.base.fleet_id, scope), keys

    def _named(self, key: str) -> str:
        """What this machine calls a key."""
        for record in self.picture.fleet.keys.records():
            if record.id == key:
                where = "of this machine" if record.file is not None else "elsewhere"
                return f"{record.note or f'the {record.role} key'} {where}"
        return ""

    def _place(self, authority: Authority, doubts: list[str]) -> dict[str, Any]:
        """Where the file stands in the log, and whether the device's receipt fits it."""
        book, entries = self._log.book, self._log.entries
        if book is None or entries is None:
            return {}
        place = book.place(authority.role, authority.version)
        found: dict[str, Any] = {}
        if place is not None:
            found = {"index": place.index, "size": place.size or None}
        seen = authority.checkpoint
        if seen is not None and seen.origin in self._log.past:
            named = (authority.role, authority.version, seen.origin, authority.log_index)
            known = {(one.role, one.version, one.log, one.index) for one in book.past}
            return {**found, "earlier": named in known}
        try:
            found["proved"] = check_receipt(authority, entries)
        except AllodError as error:
            doubts.append(error.message)
        return found


def _entry(document: StateDocument, package: Purl) -> PackageEntry | None:
    """What the document says of a package: the exact entry before a pattern."""
    exact = document.packages.get(package)
    if exact is not None:
        return exact
    for key, entry in document.packages.items():
        if is_pattern(key) and pattern_covers(key, package):
            return entry
    return None


def _orders(entry: PackageEntry | None, step: Step, running: str | None) -> bool | None:
    """Whether an entry orders what was done; None: it is not known what to compare."""
    if entry is None:
        return None
    if step.change.what == "configured":
        order = entry.configuration
        return None if order is None else order.digest == step.change.after
    if entry.software is None:
        return None
    if running is None:
        return entry.software.active is None
    return any(order.digest == running for order in entry.software.releases)
