"""Who allowed a change of a device: the signed document, its keys, and its place in the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import msgspec

from allod.audit.receipts import check_receipt
from allod.cli.approving import approval_text
from allod.cli.device_log import FleetLog, fleet_log
from allod.cli.past import Past
from allod.cli.preview import place_of, read_state
from allod.domain.approval import Approval
from allod.domain.desired import ChangeNote, PackageEntry, StateDocument
from allod.domain.ids import Purl, is_pattern, parse_provider, pattern_covers, sha256
from allod.errors import AllodError, Untrusted
from allod.trust.approvals import approved_entry
from allod.trust.channels import ENVELOPE_CAP, verify_channel
from allod.trust.floors import channel_role
from allod.wire.codec import instant
from allod.wire.report import Authority

_CHANNEL: Final = channel_role("")  #: how channels begin in the place of a role

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
        approved: who approved it, by signatures that were checked here.
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
    approved: tuple[Approval, ...] = ()
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
            "approvals": [
                {
                    "kind": one.kind,
                    "person": one.person,
                    "ticket": one.ticket,
                    "at": instant(one.at),
                    "message": one.message,
                }
                for one in self.approved
            ],
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
        if authority.delegation is not None:
            yield f"decided by: the delegation {authority.delegation}"
        for key, name in self.keys.items():
            yield f"signed by: {name or 'a key'} ({key[:16]})"
        for one in self.approved:
            yield approval_text(one)
        yield f"under: {authority.document} in {authority.role} {authority.version}"
        for reason in authority.reasons:
            yield f"term: {reason}"
        seen = authority.checkpoint
        if authority.log_index is None or seen is None:
            yield "log: the device names no entry"
        else:
            word = "proved here" if self.proved else "NOT proved"
            if self.earlier:
                word = "proved here before another log followed that one"
            yield f"log: entry {authority.log_index} under a checkpoint of {seen.size} ({word})"
        yield from (f"! {says}" for says in self.doubts)


@dataclass(frozen=True, slots=True)
class _Word:
    """What was found of the document that a device names."""

    note: ChangeNote | None = None
    keys: dict[str, str] = field(default_factory=dict)
    orders: bool | None = None
    approved: tuple[Approval, ...] = ()


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
        word = _Word()
        try:
            if authority.role.startswith(_CHANNEL):
                word = self._channel(authority, step, package, running)
            else:
                word = self._words(authority, step, package, running)
            if word.orders is False:
                doubts.append("the document that the device names does not order this")
            doubts += _unproved(authority, word.approved)
        except AllodError as error:
            doubts.append(error.message)
        return Allowed(
            authority,
            word.note,
            word.keys,
            **self._place(authority, doubts),
            orders=word.orders,
            approved=word.approved,
            doubts=tuple(doubts),
        )

    def _words(self, authority: Authority, step: Step, package: Purl, running: str | None) -> _Word:
        """What an entry of a document of desired state says, the owner's or a delegate's."""
        document, keys = self._document(authority)
        if document is None:
            return _Word(keys=keys)
        key, entry = _entry(document, package)
        note = document.change if entry is None or entry.change is None else entry.change
        approved: tuple[Approval, ...] = ()
        if entry is not None:
            people = self.picture.base.fleet_document
            held = approved_entry(key, entry, people, document.scope, document.author)
            approved = held.approved
        return _Word(note, keys, _orders(entry, step, running), approved)

    def _channel(
        self, authority: Authority, step: Step, package: Purl, running: str | None
    ) -> _Word:
        """What a provider's channel says, under the keys that the owner names now."""
        raw = self.picture.fleet.client.file(authority.document, cap=ENVELOPE_CAP)
        name = parse_provider(authority.role.removeprefix(_CHANNEL).partition("/")[0])
        provider = self.picture.base.providers.get(name)
        if raw is None or provider is None:
            return _Word()
        signed = verify_channel(raw, msgspec.structs.replace(provider, distrusted=None))
        if authority.digest not in {signed.value.digest, sha256(raw)}:
            raise Untrusted(
                "false-receipt",
                f"cannot follow {authority.document}: the device acted on another document",
            )
        keys = dict.fromkeys(sorted(signed.by), f"{name}'s key")
        found = signed.value.channel.packages.get(package)
        orders = None
        if found is not None and step.change.what != "configured" and running is not None:
            orders = found.digest == running
        return _Word(None, keys, orders)

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
        place = place_of(authority.document)
        if place is None:
            return None, keys
        author, scope = place
        return read_state(data, self.picture.base.fleet_id, scope, author), keys

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


def _entry(document: StateDocument, package: Purl) -> tuple[str, PackageEntry | None]:
    """What the document says of a package, and under which key: the exact entry first."""
    exact = document.packages.get(package)
    if exact is not None:
        return package, exact
    for key, entry in document.packages.items():
        if is_pattern(key) and pattern_covers(key, package):
            return key, entry
    return package, None


def _unproved(authority: Authority, approved: tuple[Approval, ...]) -> list[str]:
    """Approvals that the device names and that hold for nothing here."""
    here = {(one.kind, one.person) for one in approved}
    return [
        f"the approval by {one.person} as {one.kind} that the device names is not proved here: the "
        "owner may have removed them since"
        for one in authority.approvals
        if (one.kind, one.person) not in here
    ]


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
