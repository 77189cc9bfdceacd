"""The activity log against bindings and reports, device by device, some entries at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from allod.audit.activity import ActivityAudit, Place, Said
from allod.audit.chain import Named
from allod.audit.findings import KINDS
from allod.audit.receipts import (
    FALSE_RECEIPT,
    KnownEntries,
    check_logs,
    check_receipt,
    check_seen,
    read_seen,
)
from allod.cli.audit.logs import LogAudit
from allod.cli.audit.source import Source
from allod.cli.audit.state import State
from allod.cli.audit.workers import Reader, Report, Workers
from allod.domain.ids import FleetId
from allod.errors import AllodError
from allod.wire.report import Authority

WINDOW: Final = 16_384  #: entries whose reports are compared together
_BATCH: Final = 64
_REMEMBERED: Final = 4096
_SINCE: Final = "since report "


@dataclass(slots=True)
class ActivityRun:
    """Feeds an `ActivityAudit` from a source.

    Attributes:
        logs: of authority, by origin, as far as they were judged.
        again: what is served of such a log now.
        judged: origin -> entries that were judged.
        open: whether something is served that the log does not have, as far as it was read.
    """

    source: Source
    fleet: FleetId
    state: State
    logs: dict[str, KnownEntries]
    again: Callable[[str], KnownEntries | None]
    progress: Callable[[int], None]
    whole: bool
    audit: ActivityAudit = field(init=False)
    judged: dict[str, int] = field(init=False)
    counts: dict[str, int] = field(default_factory=lambda: {"reports": 0, "receipts": 0})
    unchecked: dict[str, None] = field(default_factory=dict)  #: in words, each once
    _held: set[tuple[object, ...]] = field(default_factory=set)
    _accused: set[tuple[str, str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._accused = {
            (one.code, one.subject, one.says.partition(": ")[2])
            for one in self.state.findings
            if one.says.startswith(_SINCE)
        }
        self.judged = {origin: known.checkpoint.size for origin, known in self.logs.items()}
        self.audit = ActivityAudit(
            self.fleet,
            "",
            self.whole,
            chains={Place.of(key): chain for key, chain in self.state.chains.items()},
            logged={Place.of(key): digest for key, digest in self.state.logged.items()},
        )

    @property
    def open(self) -> bool:
        """See the class."""
        return any(chain.open for chain in self.audit.chains.values()) or bool(
            self.whole and self.audit.bound.keys() - self.audit.logged.keys()
        )

    def bindings(self, roots: Mapping[int, bytes]) -> None:
        """Take every binding record that is served."""
        for document in self.source.bindings():
            self.audit.binding(document, roots)
            self.progress(1)
        self.audit.admitted()
        self.counts["bindings"] = len(self.audit.bound)
        self.counts["devices"] = len({place.device for place in self.audit.bound})

    def entries(self, opened: LogAudit, staff: Workers) -> Iterator[int]:
        """Take a log's entries, and compare the reports that they name."""
        self.audit.origin = opened.log.origin
        waiting: dict[Place, list[Named]] = {}
        many = 0
        for entries in opened.read(staff):
            for place, named in self.audit.take(entries).items():
                waiting.setdefault(place, []).extend(named)
                many += len(named)
            self.progress(len(entries))
            if many >= WINDOW:
                yield self._compare(waiting, staff)
                waiting, many = {}, 0
        yield self._compare(waiting, staff)

    def rest(self, staff: Workers) -> None:
        """Read what devices handed in after the last report that the log names."""
        self._compare({place: [] for place in sorted(self.audit.bound)}, staff)

    def finish(self) -> None:
        """Say what is open, and keep what the next audit needs."""
        self.audit.finish()
        self.state.chains = {place.key: chain for place, chain in self.audit.chains.items()}
        self.state.logged = {place.key: digest for place, digest in self.audit.logged.items()}

    def _compare(self, wanted: Mapping[Place, list[Named]], staff: Workers) -> int:
        """Compare the reports of several devices; of one device, up to the last that is named.

        Where none is named, all the rest is read.
        """
        places = [place for place in wanted if place in self.audit.bound]
        asked: deque[list[Report]] = deque()

        def jobs() -> Iterator[list[Report]]:
            for batch in _batches(
                report for place in places for report in self._served(place, wanted[place])
            ):
                asked.append(batch)
                yield batch

        waiting = deque(places)
        served: list[Said | tuple[str, str]] = []
        for batch in staff.ordered(Reader.reports, jobs()):
            for report, said in zip(asked.popleft(), batch, strict=True):
                while waiting[0] != report.place:
                    self._one(waiting.popleft(), wanted, served)
                    served = []
                served.append(said)
            self.progress(len(batch))
        for place in waiting:
            self._one(place, wanted, served)
            served = []
        return len(places)

    def _served(self, place: Place, named: Sequence[Named]) -> Iterator[Report]:
        """The reports of one device that are to be compared, as they are served."""
        chain = self.audit.chains.get(place)
        covered = 0 if chain is None else chain.covered
        first = min([covered, *(one.sequence - 1 for one in named)])
        last = max((one.sequence for one in named), default=None)
        key = self.audit.bound[place].key
        for sequence, raw in self.source.reports(place, first):
            if last is not None and sequence > last:
                return
            yield Report(raw, key, place)

    def _one(
        self,
        place: Place,
        wanted: Mapping[Place, list[Named]],
        served: Sequence[Said | tuple[str, str]],
    ) -> None:
        good = self.audit.reports(place, wanted[place], served)
        self.counts["reports"] += len(good)
        for said in good:
            self._check(place, said)
        if good and good[-1].sequence == self.audit.chains[place].covered:
            self.state.releases.reported(place, good[-1].runs)

    def _check(self, place: Place, said: Said) -> None:
        """Releases, receipts, and the checkpoints that the device saw."""
        where = f"report {said.sequence} of {place.device[:12]}"
        self.audit.findings.take(self.state.releases.named(said.runs, where))
        checks = [partial(self._seen, *one) for one in said.trust.logs.items()]
        checks += [partial(self._receipt, authority) for authority in said.receipts]
        for check in checks:
            try:
                check()
            except AllodError as error:
                self._accuse(place, said.sequence, error)

    def _accuse(self, place: Place, sequence: int, error: AllodError) -> None:
        """Say once what a device goes on to show in each of its reports."""
        code = error.code if error.code in KINDS else FALSE_RECEIPT
        if code == "bad-tile":
            self.unchecked[error.message] = None
            return
        accusation = (code, str(place), error.message)
        if accusation not in self._accused:
            self._accused.add(accusation)
            says = f"{_SINCE}{sequence}: {error.message}"
            self.audit.findings.found(code, str(place), says)

    def _seen(self, origin: str, text: str) -> None:
        """A checkpoint that a device holds; one of a log that is not served tells nothing."""
        if origin in self.logs and (origin, text) not in self._held:
            self._reach(origin, read_seen(text)[0])
            check_logs({origin: text}, self.logs)
            self._hold((origin, text))

    def _receipt(self, authority: Authority) -> None:
        seen = authority.checkpoint
        if seen is not None and seen.origin not in self.logs:
            return
        place = None if seen is None else (seen.origin, seen.size, seen.root)
        one = (place, authority.role, authority.version, authority.log_index)
        if one not in self._held:
            if seen is not None:
                self._reach(seen.origin, seen.size)
                if (authority.log_index or 0) >= self.judged[seen.origin]:
                    self.counts["laterReceipts"] = self.counts.get("laterReceipts", 0) + 1
                    return  # its entry came while this audit was under way
            if not check_receipt(authority, self.logs):
                return
            self._hold(one)
        self.counts["receipts"] += 1

    def _reach(self, origin: str, size: int) -> None:
        """Look again if a device saw more than there was when this audit began."""
        known = self.logs[origin]
        if size <= known.checkpoint.size:
            return
        newer = self.again(origin)
        if newer is not None and newer.checkpoint.size > known.checkpoint.size:
            check_seen(known.checkpoint.size, known.checkpoint.root, newer)
            self.logs[origin] = KnownEntries(newer.checkpoint, newer.nodes, known.counted)

    def _hold(self, place: tuple[object, ...]) -> None:
        """This very thing was found to hold; other devices may say the same."""
        if len(self._held) >= _REMEMBERED:
            self._held.clear()
        self._held.add(place)


def _batches(reports: Iterable[Report]) -> Iterator[list[Report]]:
    batch: list[Report] = []
    for report in reports:
        batch.append(report)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
