"""The activity log against the documents that it names: bindings, and the chain of each device.

Order is the order of the log and of the devices' own numbers, never a time that somebody claims.
What is kept grows with the number of devices, not with the length of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from allod.audit.chain import Chain, Named
from allod.audit.findings import Findings
from allod.audit.reading import ActivityRead, Entry, Ignored
from allod.domain.ids import DeviceId, FleetId, sha256
from allod.errors import AllodError
from allod.trust.binding import verify_binding
from allod.trust.dsse import decode_envelope, payload_of
from allod.trust.report import verify_report
from allod.wire.api import BindingEntry as BindingDocument
from allod.wire.binding import BindingFile
from allod.wire.codec import decode, encode
from allod.wire.envelope import PublicKey
from allod.wire.log import AlarmEntry, BindingEntry, RefusalEntry, ReportEntry
from allod.wire.report import Authority, TrustState

_SAID: Final = 100  #: refusals and alarms of the server that are kept to be shown
_SURPLUS_TOLD: Final = 100


class Place(NamedTuple):
    """A device in one of its bindings."""

    device: str
    epoch: int

    def __str__(self) -> str:
        """As it is shown."""
        return self.device if self.epoch == 1 else f"{self.device} (binding {self.epoch})"

    @property
    def key(self) -> str:
        """As it is kept."""
        return f"{self.device}/{self.epoch}"

    @classmethod
    def of(cls, key: str) -> Place:
        """The inverse of `key`."""
        device, _, epoch = key.partition("/")
        return cls(device, int(epoch))


@dataclass(frozen=True, slots=True)
class Bound:
    """A binding record that holds: whose reports count, and under which key."""

    key: PublicKey
    digest: str  #: of the record's payload
    invite: str
    uses: int


class Run(NamedTuple):
    """A release that a report names."""

    package: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a verified report says, as far as an audit compares it."""

    sequence: int
    digest: str
    previous: str | None
    kind: str
    at: str  #: the device's claim; shown, and decides nothing
    trust: TrustState
    runs: tuple[Run, ...]
    receipts: tuple[Authority, ...]


def check_report(
    raw: bytes, key: PublicKey, fleet: FleetId, place: Place
) -> Said | tuple[str, str]:
    """Verify a report; what it says, or the digest of its payload and why it does not count."""
    try:
        signed = verify_report(
            raw, key, fleet=fleet, device=DeviceId(place.device), epoch=place.epoch
        ).value
    except AllodError as error:
        return _digest_of(raw), error.message
    report = signed.report
    return Said(
        report.sequence,
        signed.digest,
        report.previous,
        report.kind,
        report.at,
        report.trust,
        tuple(
            Run(package.package, release.version, release.digest)
            for package in report.packages
            for release in package.releases
        ),
        tuple(change.authority for change in report.changes if change.authority is not None),
    )


def _digest_of(raw: bytes) -> str:
    try:
        return sha256(payload_of(decode_envelope(raw, cap=len(raw))))
    except AllodError:
        return sha256(raw)


@dataclass(slots=True)
class ActivityAudit:
    """Takes bindings, then entries in order, then the reports that they name.

    Attributes:
        bound: the bindings that hold, by device and epoch.
        chains: what is known of each device's reports.
        logged: bindings that the log has: place -> digest.
        whole: the fleet's first trust statement names the log, so everything stands in it.
    """

    fleet: FleetId
    origin: str
    whole: bool
    bound: dict[Place, Bound] = field(default_factory=dict)
    chains: dict[Place, Chain] = field(default_factory=dict)
    logged: dict[Place, str] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    counts: dict[str, int] = field(default_factory=dict)
    said: list[RefusalEntry | AlarmEntry] = field(default_factory=list)

    # -- bindings --------------------------------------------------------------------------------

    def binding(self, document: BindingDocument, roots: Mapping[int, bytes]) -> None:
        """Take a binding record that is served."""
        place = Place(document.device, document.epoch)
        file = encode(BindingFile(invite=document.invite, record=document.record))
        try:
            held = verify_binding(file, roots.get).value
            record = held.record
            if (record.device, record.epoch) != place or record.fleet != self.fleet:
                self.findings.found(
                    "binding-refused", str(place), "it is the record of another device"
                )
                return
        except AllodError as error:
            self.findings.found("binding-refused", str(place), error.message)
            return
        self.bound[place] = Bound(
            record.key, sha256(payload_of(document.record)), held.invite.id, held.invite.uses
        )

    def admitted(self) -> None:
        """Say which invites brought more devices than they allow."""
        devices: dict[str, set[str]] = {}
        uses: dict[str, int] = {}
        for place, bound in self.bound.items():
            devices.setdefault(bound.invite, set()).add(place.device)
            uses[bound.invite] = bound.uses
        for invite, found in sorted(devices.items())[:_SURPLUS_TOLD]:
            if len(found) > uses[invite]:
                says = f"{len(found)} devices came with it; it allows {uses[invite]}"
                self.findings.found("surplus-binding", f"invite {invite}", says)

    # -- entries ---------------------------------------------------------------------------------

    def take(self, entries: Iterable[Entry]) -> dict[Place, list[Named]]:
        """Take entries in order; returns the reports that they name."""
        named: dict[Place, list[Named]] = {}
        for one in entries:
            if isinstance(one, Ignored):
                self._count("ignored")
                self.findings.found("log-entry-ignored", self.origin, one.says, one.at)
            elif isinstance(one, ActivityRead):
                self._count(str(one.entry.__struct_config__.tag))
                match one.entry:
                    case BindingEntry():
                        self._binding(one.at, one.entry)
                    case ReportEntry():
                        place = Place(one.entry.device, one.entry.epoch)
                        named.setdefault(place, []).append(Named.of(one.at, one.entry))
                    case _:
                        self.said = [*self.said[1 - _SAID :], one.entry]
        for place, reports in named.items():
            chain = self._chain(place)
            for code, says, index in chain.take(reports):
                self.findings.found(code, str(place), says, index)
        return named

    def _binding(self, index: int, entry: BindingEntry) -> None:
        place = Place(entry.device, entry.epoch)
        known = self.logged.get(place)
        if known is not None and known != entry.digest:
            says = "the log has two binding records of one epoch: two machines have its key"
            self.findings.found("device-cloned", str(place), says, index)
            return
        self.logged[place] = entry.digest
        bound = self.bound.get(place)
        if bound is None:
            self.findings.found("withheld", str(place), "its binding record is not served", index)
        elif bound.digest != entry.digest:
            says = "the log names another binding record than is served"
            self.findings.found("mix-and-match", str(place), says, index)

    # -- documents -------------------------------------------------------------------------------

    def reports(
        self, place: Place, named: Iterable[Named], served: Iterable[Said | tuple[str, str]]
    ) -> list[Said]:
        """Compare the reports that the log names with those that are served.

        Args:
            place: whose they are.
            named: by the log, since the last time.
            served: in the order of their numbers, those in between as well.

        Returns:
            Those that count.
        """
        chain = self._chain(place)
        wanted = {one.digest: one for one in named}
        good: list[Said] = []
        for one in served:
            if isinstance(one, tuple):
                digest, why = one
                entry = wanted.pop(digest, None)
                self.findings.found(
                    "report-refused", str(place), why, None if entry is None else entry.at
                )
                continue
            entry = wanted.pop(one.digest, None)
            if entry is not None and (entry.sequence, entry.previous) != (
                one.sequence,
                one.previous,
            ):
                says = f"the log says that report {one.sequence} is number {entry.sequence}"
                self.findings.found("mix-and-match", str(place), says, entry.at)
            good.append(one)
            for code, says, index in chain.heard(one, logged=entry is not None):
                self.findings.found(code, str(place), says, index)
        for entry in wanted.values():
            says = f"report {entry.sequence} is named by the log, and not served"
            self.findings.found("withheld", str(place), says, entry.at)
        return good

    def finish(self) -> None:
        """Say what is still open at the end of the log."""
        for place in sorted(self.chains):
            chain = self.chains[place]
            if place not in self.bound:
                self.findings.found(
                    "unknown-device", str(place), "it has no binding record that holds"
                )
            for code, says, index in chain.finish():
                self.findings.found(code, str(place), says, index)
        if self.whole:
            for place in sorted(self.bound.keys() - self.logged.keys()):
                self.findings.found("unlogged-binding", str(place), "its binding is not in the log")

    def _chain(self, place: Place) -> Chain:
        """The chain; whole, if the log was there when the device was bound."""
        return self.chains.setdefault(place, Chain(whole=self.whole or place in self.logged))

    def _count(self, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1


def read_binding(data: bytes, cap: int) -> BindingDocument:
    """A binding record as a server keeps it. Raises InvalidInput."""
    return decode(data, BindingDocument, cap=cap, what="a binding record")
