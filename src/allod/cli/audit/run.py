"""One audit, from the anchor to the findings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from allod.audit.authority import AuthorityAudit, Named, Roles
from allod.audit.findings import Finding
from allod.audit.reading import KeyRing
from allod.audit.receipts import KnownEntries
from allod.audit.releases import Single
from allod.cli.audit.documents import Documents
from allod.cli.audit.ground import Ground, answer, settle, when
from allod.cli.audit.logs import LogAudit, open_log
from allod.cli.audit.reports import ActivityRun
from allod.cli.audit.source import Source
from allod.cli.audit.state import FINDINGS, AuditDirectory, EntryTable, State
from allod.cli.audit.workers import Reader, Workers
from allod.domain.ids import FleetId
from allod.errors import AllodError
from allod.tlog.checkpoint import SignedCheckpoint
from allod.tlog.known import KnownLog, parse_known
from allod.trust.metadata import ROOT
from allod.wire.codec import instant
from allod.wire.log import ACTIVITY, AUTHORITY, AlarmEntry, RefusalEntry
from allod.wire.trust import Log

if TYPE_CHECKING:
    from allod.trust.floors import Floors

_PAUSE: Final = 0.5  #: seconds between two looks for witnesses
MANY: Final = 20_000  #: new entries of a log from which on other processes help


class LogProof(NamedTuple):
    """What was proved of a log."""

    origin: str
    entries: int
    fresh: int  #: of them, read now
    root: str
    witnesses: list[tuple[str, str]]  #: name, and when it vouched
    proved: bool
    counts: dict[str, int]


@dataclass(slots=True)
class Result:
    """What an audit found and proved.

    Attributes:
        findings: those that are new; see `earlier`.
        earlier: those that an audit before this one found already.
        seen: all that this audit found, whether it is new or not.
        unchecked: what could not be checked, in words.
        notes: what there is nothing to check of, in words.
        said: refusals and alarms that the server logged; its own word.
    """

    fleet: FleetId
    source: str
    at: str
    since: str
    logs: list[LogProof] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    earlier: list[Finding] = field(default_factory=list)
    seen: list[Finding] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    singletons: list[Single] = field(default_factory=list)
    said: list[RefusalEntry | AlarmEntry] = field(default_factory=list)


@dataclass(slots=True)
class Audit:
    """One run.

    Args:
        source: where from.
        directory: what it keeps.
        state: of the last one.
        floors: what the owner's machine has verified by itself, if this is it.
        now: when it is made.
        progress: called with numbers of entries and documents that are done.
        copy: the source is a copy of some moment, which may be long ago, and accuses nobody by it.
        patience: seconds that witnesses have for a checkpoint that is new.

    Attributes:
        older: the copy is older than what was verified before; nothing is kept of it.
    """

    source: Source
    fleet: FleetId
    directory: AuditDirectory
    state: State
    floors: Floors | None
    now: datetime
    progress: Callable[[int], None]
    copy: bool = False
    patience: float = 0.0
    older: bool = False
    result: Result = field(init=False)
    _ground: Ground = field(init=False)
    _table: EntryTable = field(init=False)
    _staff: Workers = field(init=False)
    _known: dict[str, KnownEntries] = field(default_factory=dict)

    def run(self) -> Result:
        """Check everything, keep what the next audit goes on from, and say what came of it.

        Raises:
            Untrusted: the anchor does not fit the source: nothing can be said.
            Unavailable: the source cannot be reached, lacks roots, or names no log.
        """
        self.result = Result(
            self.fleet, self.source.name, instant(self.now), self.state.since or instant(self.now)
        )
        self._ground, findings, self.result.unchecked = settle(self.source, self.fleet, self.floors)
        self.state.since = self.state.since or when(self._ground.first)
        before = deepcopy(self.state)
        self.result.since = self.state.since
        self.result.findings += findings
        reader = Reader(self.fleet, KeyRing(self._ground.candidates))
        with closing(self.directory.table()) as self._table, Workers(reader) as self._staff:
            self._authority()
            self._activity()
        if self.older or not all(log.proved for log in self.result.logs):
            before.findings, self.state = self.state.findings, before  # what was read is not kept
        self._conclude()
        return self.result

    # -- authority -------------------------------------------------------------------------------

    def _authority(self) -> None:
        lost = self._lost_roots()
        if lost:
            says = f"root {max(lost)} counted in the log before, and is not served"
            self.result.findings.append(Finding("root-withheld", ROOT, says))
            self.result.unchecked.append("the authority log: who held its roles is not known")
            return
        roles = Roles()
        documents = Documents(self.source, self.state.releases)
        logs = self._ground.logs(AUTHORITY)
        for log in logs:
            roles = self._one_authority(log, roles, documents, last=log == logs[-1])
        if self._proved(AUTHORITY):
            self.result.findings += documents.findings.all
        self._count(documents.counts)

    def _lost_roots(self) -> set[int]:
        """Roots that an earlier audit judged by, and that are not served now."""
        counted = [roles.newest.get(ROOT) for roles in self.state.roles.values()]
        versions = {root.version for root in counted if root is not None}
        return versions - self._ground.roots.keys()

    def _one_authority(self, log: Log, before: Roles, documents: Documents, *, last: bool) -> Roles:
        begun = self.state.roles.get(log.origin)
        if begun is None:
            begun = before.succeeded()
        opened = self._open(log, last=last)
        if opened is None:
            return begun
        whole = log.follows is None and self._ground.whole(AUTHORITY)
        scratch = opened.known is None
        begun = before.succeeded() if scratch else begun
        audit = AuthorityAudit(self.fleet, log.origin, {**self._ground.roots}, begun, whole=whole)
        table = self._table.of(log.origin)
        known = self._drain(opened, self._judged(opened, audit, table, documents))
        if known is not None and last:
            answer(self.source, audit.finish(self._ground.served))
        table.close()
        self._known[log.origin] = KnownEntries(
            opened.signed.checkpoint, opened.entries().nodes, self._table.of(log.origin)
        )
        self._say(opened, known, {"judged": audit.judged, "counting": audit.counting})
        if known is not None:
            self.result.findings += audit.findings.all
            self.state.roles[log.origin] = audit.roles
        return audit.roles

    def _judged(
        self,
        opened: LogAudit,
        audit: AuthorityAudit,
        table: EntryTable,
        documents: Documents,
    ) -> Iterator[int]:
        """Judge entries, and compare the files that they name."""

        def named() -> Iterator[Named]:
            for entries in opened.read(self._staff):
                found = answer(self.source, audit.take(entries))
                table.add((one.role, one.version, one.at) for one in found if one.newest)
                self.progress(len(entries))
                yield from found

        for one, digest in documents.digests(named(), self._staff):
            audit.compared(one, digest)
            yield 1

    # -- activity --------------------------------------------------------------------------------

    def _activity(self) -> None:
        logs = self._ground.logs(ACTIVITY)
        if not logs:
            self.result.notes.append("the owner names no log of what devices do")
            return
        roots = {version: root.data for version, root in self._ground.roots.items()}
        run = ActivityRun(
            self.source,
            self.fleet,
            self.state,
            self._known,
            self._again,
            self.progress,
            whole=self._ground.whole(ACTIVITY),
        )
        run.bindings(roots)
        for log in logs:
            last = log == logs[-1]
            opened = self._open(log, last=last)
            if opened is None:
                if log.origin not in self.state.logs:
                    run.audit.whole = False  # what stood in it is nowhere else
                continue
            known = self._drain(opened, run.entries(opened, self._staff))
            if last and known is not None:
                known = self._catch_up(run, opened, known)
            self._say(opened, known, run.audit.counts)
        run.finish()
        if self._proved(ACTIVITY):
            self.result.findings += run.audit.findings.all
        self.result.said += run.audit.said
        self.result.unchecked += list(run.unchecked)
        self._count(run.counts)

    def _again(self, origin: str) -> KnownEntries | None:
        """What is served of an authority log now."""
        log = next(log for log in self._ground.logs(AUTHORITY) if log.origin == origin)
        opened = open_log(self.source, self.fleet, log, None)
        return opened.entries() if isinstance(opened, LogAudit) else None

    def _catch_up(self, run: ActivityRun, opened: LogAudit, known: KnownLog) -> KnownLog:
        """Reports that came while the log was read: they stand in its newest checkpoint."""
        run.rest(self._staff)
        if not run.open:
            return known
        again = open_log(self.source, self.fleet, opened.log, known)
        if isinstance(again, LogAudit) and again.fresh > 0:
            more = self._drain(again, run.entries(again, self._staff))
            opened.findings.take(again.findings.all)
            opened.signed = again.signed
            return known if more is None else more
        return known

    # -- both ------------------------------------------------------------------------------------

    def _open(self, log: Log, *, last: bool) -> LogAudit | None:
        text = self.state.logs.get(log.origin)
        known = None if text is None else parse_known(text.encode())
        opened = open_log(self.source, self.fleet, log, known)
        if isinstance(opened, Finding):
            self.result.findings.append(opened)
            return None
        if opened is None:
            if last:
                says = "the log's checkpoint is not served"
                self.result.findings.append(Finding("withheld", log.origin, says))
            else:
                self.result.notes.append(
                    f"{log.origin} is not served any more; the owner named a successor"
                )
            return None
        if last:
            now = None if self.copy else self.now
            opened = self._awaited(opened)
            opened.check_witnesses(self._ground.statement.witnesses, now)
        opened.check_genesis()
        if opened.fresh > MANY:
            self._staff.start()
        return opened

    def _awaited(self, opened: LogAudit) -> LogAudit:
        """The log under a checkpoint that its witnesses had time to cosign."""
        terms = self._ground.statement.witnesses
        limit = time.monotonic() + self.patience
        while not opened.vouched_by(terms) and time.monotonic() < limit:
            time.sleep(_PAUSE)
            again = open_log(self.source, self.fleet, opened.log, opened.known)
            if isinstance(again, LogAudit):
                opened = again
        return opened

    def _drain(self, opened: LogAudit, steps: Iterable[int]) -> KnownLog | None:
        """Carry the steps out, and prove that what they read is the log."""
        try:
            for _ in steps:
                pass
        except AllodError as error:
            if error.code not in {"bad-tile", "withheld"}:
                raise
            opened.findings.found(error.code, opened.log.origin, error.message)
            return None
        known = opened.finish(self.directory)
        if known is not None:
            for seen in self._verified_before(opened):
                if self.copy and seen.size > opened.signed.size:
                    self.older = True
                    self.result.unchecked.append(
                        f"{opened.log.origin}: this copy has {opened.signed.size} entries, and "
                        f"{seen.size} were verified before; whether they agree is not seen from it"
                    )
                else:
                    opened.check_before(seen, self.directory)
            self.state.logs[opened.log.origin] = known.encode().decode()
        return known

    def _verified_before(self, opened: LogAudit) -> Iterator[SignedCheckpoint]:
        origin = opened.log.origin
        text = self.state.logs.get(origin)
        if text is not None and opened.known is None:
            yield parse_known(text.encode()).signed
        floor = None if self.floors is None else self.floors.log_floor(origin)
        if floor is not None:
            yield floor

    def _say(self, opened: LogAudit, known: KnownLog | None, counts: Mapping[str, int]) -> None:
        begun = 0 if opened.known is None else opened.known.signed.size
        self.result.findings += opened.findings.all
        self.result.logs.append(
            LogProof(
                opened.log.origin,
                opened.signed.size,
                opened.signed.size - begun,
                opened.signed.root.hex(),
                opened.witnesses,
                known is not None,
                {**counts, "channels": opened.channels},
            )
        )

    def _proved(self, name: str) -> bool:
        """Whether the entries that were read are those of the logs; else they say nothing."""
        return all(log.proved for log in self.result.logs if f"/{name}" in log.origin)

    def _count(self, counts: Mapping[str, int]) -> None:
        for name, number in counts.items():
            self.result.counts[name] = self.result.counts.get(name, 0) + number

    def _conclude(self) -> None:
        """What is new, what was known; keep it for the next audit."""
        before = {_place(one) for one in self.state.findings}
        found = list(dict.fromkeys(self.result.findings))
        self.result.earlier = list(self.state.findings)
        self.result.seen = found
        self.result.findings = [one for one in found if _place(one) not in before]
        self.result.singletons = self.state.releases.singletons()
        self.state.findings = [*self.state.findings, *self.result.findings][:FINDINGS]
        self.state.at = self.result.at
        self.directory.save(self.state)


def _place(finding: Finding) -> tuple[str, str, int | None, str]:
    return finding.code, finding.subject, finding.index, finding.says
