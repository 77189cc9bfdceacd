"""The controller of rollouts: it opens gates, or it halts. It decides nothing that was not signed.

1. What is to be opened, and when, stands in published documents; who succeeded, in devices'
   signed reports; both are read again after a restart. Pauses and halts are kept as files.
2. A gate is durable before anybody is told of it, and never before the signed time.
3. Whatever the controller does, a device has the last word: it checks plan, time, gate and the
   canaries' reports itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec
import structlog
from securesystemslib.signer import Signer

from allod.domain.ids import FleetId
from allod.domain.rollout_course import Done, Halt, Open, Verdict, Wait
from allod.errors import AllodError, Conflict, InvalidInput, Refused, Unavailable
from allod.server.events import AlarmRaised
from allod.server.services.alarms import Alarms
from allod.server.services.fleets import FleetState
from allod.server.services.publication import Publications
from allod.server.services.refresh import resigned
from allod.server.services.rollout_files import RolloutFiles
from allod.server.services.rollout_plans import Reading, read_rollouts, signed_versions
from allod.server.services.rollout_track import Taken, Tracked
from allod.trust.gates import ENVELOPE_CAP, make_gate, open_gate
from allod.trust.keys import from_key
from allod.wire.codec import encode, instant, parse_instant
from allod.wire.rollout_state import (
    RolloutList,
    RolloutState,
    State,
    Stop,
)

_WORDS: Final = 1000  #: characters that are kept of why; a record stays one that can be read
_PATIENCE: Final = 1.0  #: seconds that a question waits while another thread reads
_log = structlog.get_logger("allod.server.rollouts")


@dataclass(slots=True)
class _Course:
    """The rollouts of one fleet."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    reading_lock: threading.Lock = field(default_factory=threading.Lock)
    reading: Reading | None = None
    tracked: dict[str, Tracked] = field(default_factory=dict)
    late: list[Taken] | None = None  #: reports that came while it was being read


class Rollouts:
    """The use case.

    Args:
        publications: of the server; opening a gate is news.
        alarms: a halt is one.
        gate_key: signs gates.
    """

    def __init__(self, publications: Publications, alarms: Alarms, gate_key: Signer) -> None:
        self._publications = publications
        self._stores = publications.stores
        self._alarms = alarms
        self._gate_key = gate_key
        self._files = RolloutFiles(self._stores)
        self._courses: dict[str, _Course] = {}

    # Reports.

    def taken(self, fleet: FleetId, taken: Taken) -> None:
        """Take a report that was verified and kept, once. Never raises: the report is received."""
        course = self._courses.get(fleet)
        if course is None:
            return  # read later, with all the others
        try:
            with course.lock:
                if course.late is not None:
                    course.late.append(taken)
                for tracked in course.tracked.values():
                    tracked.take(taken)
        except Exception as error:  # noqa: BLE001 - the report is received all the same
            _log.error("report-not-counted", fleet=fleet, device=taken.row.device, exc_info=error)

    # What time and reports bring about.

    def __call__(self) -> None:
        """Look at every fleet; one that cannot be looked at does not stop the others."""
        for state in self._publications.fleets.all():
            try:
                self.look(state.fleet)
            except (AllodError, OSError) as error:
                _log.error("rollouts-failed", fleet=state.fleet, exc_info=error)

    def look(self, fleet: FleetId) -> None:
        """Open what is to be opened in one fleet, halt what is to halt, and tell of it."""
        state = self._publications.fleets.need(fleet)
        if state.restored:
            return
        course = self._read(state)
        news = False
        for name in sorted(course.tracked):
            with course.lock:
                tracked = course.tracked[name]
                halt = self._step(state, course, tracked)
                news = news or tracked.open_stages > max(1, tracked.record.told)
            if halt is not None:
                self._alarm(fleet, tracked, halt)
        if news:
            self._tell(fleet, course)

    def _step(self, state: FleetState, course: _Course, tracked: Tracked) -> Stop | None:
        """One look at one rollout; what comes back is a halt to be told."""
        now = self._stores.clock.now()
        self._begin(state.fleet, tracked, now)
        if tracked.record.paused is not None or tracked.record.halted is not None:
            return None
        verdict: Verdict | None = self._verdict(course, tracked, now)
        if isinstance(verdict, Open) and verdict.stage > 0:
            verdict = self._open(state, tracked, verdict.stage, now)
        if not isinstance(verdict, Halt):
            return None
        stop = Stop(at=instant(now), code=verdict.code, says=verdict.says[:_WORDS])
        record = tracked.record
        self._keep(state.fleet, tracked, halted=stop, halts=record.halts + 1)
        return stop

    def _verdict(self, course: _Course, tracked: Tracked, now: datetime) -> Verdict:
        withdrawn = {} if course.reading is None else course.reading.withdrawn
        digest = tracked.rollout.digest
        if digest is not None and digest in withdrawn:
            return Halt("withdrawn", f"the release was withdrawn: {withdrawn[digest]}")
        return tracked.judge(now)

    def _begin(self, fleet: FleetId, tracked: Tracked, now: datetime) -> None:
        """The first stage has no gate: devices begin when its time has come, and so does this."""
        first = tracked.counts[0]
        if first.opened is None and now >= tracked.rollout.plan.stages[0].at:
            self._keep(fleet, tracked, begun=instant(now))
            first.opened = parse_instant(instant(now))

    def _open(
        self, state: FleetState, tracked: Tracked, number: int, now: datetime
    ) -> Verdict | None:
        """Write the gate of a stage, if a device would let it pass; None: it is open."""
        rollout, fleet = tracked.rollout, state.fleet
        named = state.document.gate_key
        if named is None or named != from_key(self._gate_key.public_key):
            return Wait("fleet.json does not name this server's gate key")
        proofs = tracked.proofs(number) if rollout.plan.stages[number].needs == "success" else []
        raw = make_gate(fleet, rollout.id, number, now, [self._gate_key], proofs)
        if len(raw) > ENVELOPE_CAP:
            return Halt("gate-too-large", "the canaries' reports are larger than a gate may be")
        try:
            wanted = [(rollout.package, rollout.after)]
            open_gate(raw, state.document, rollout.id, number, wanted)
        except AllodError as error:
            _log.warning("gate-not-good", fleet=fleet, rollout=rollout.id, exc_info=error)
            return Wait(error.message)
        self._stores.files.write(self._publications.directory(fleet).gate(rollout.id, number), raw)
        tracked.counts[number].opened = parse_instant(instant(now))
        _log.info("gate-opened", fleet=fleet, rollout=rollout.id, stage=number)
        return None

    def _alarm(self, fleet: FleetId, tracked: Tracked, stop: Stop) -> None:
        """Said once for every halt; after a crash again, which changes nothing."""
        name = tracked.rollout.id
        subject = name if tracked.record.halts == 1 else f"{name}/{tracked.record.halts}"
        says = f"the rollout {name} of {tracked.rollout.package} halted: {stop.says}"
        since = parse_instant(stop.at)
        self._alarms.raised(AlarmRaised(fleet, "rollout-halted", subject, says, since))

    def _tell(self, fleet: FleetId, course: _Course) -> None:
        """Make it news, so that devices ask; durable before it is noted as told."""
        publications = self._publications
        with publications.lock(fleet):
            publications.recover(fleet)
            state = publications.fleets.need(fleet)
            with course.lock:
                opened = {name: one.open_stages for name, one in course.tracked.items()}
            publications.carry_out(resigned(publications, state, "refresh"))
        with course.lock:
            for name, number in opened.items():
                tracked = course.tracked.get(name)
                if tracked is not None and number > tracked.record.told:
                    self._keep(fleet, tracked, told=number)

    def _keep(self, fleet: FleetId, tracked: Tracked, **changed: object) -> None:
        """Keep what changed of the record, durably, then know it."""
        record = msgspec.structs.replace(tracked.record, **changed)
        path = self._publications.directory(fleet).rollout(tracked.rollout.id)
        self._stores.files.write(path, encode(record))
        tracked.record = record

    # What documents, gates and reports say.

    def _read(self, state: FleetState, patience: float = -1) -> _Course:
        """The fleet's rollouts, read anew where its documents changed.

        In a large fleet that takes minutes, in which nothing opens. Whoever asks is told to come
        again, and keeps no thread from those who bring reports.
        """
        course = self._courses.setdefault(state.fleet, _Course())
        if not course.reading_lock.acquire(timeout=patience):
            raise Unavailable(
                "too-slow",
                "cannot tell of rollouts: what devices reported is being read; try again in 5 s",
                retry_after=5,
            )
        try:
            return self._renewed(state, course)
        finally:
            course.reading_lock.release()

    def _renewed(self, state: FleetState, course: _Course) -> _Course:
        known = course.reading
        if known is not None and known.versions == signed_versions(state.versions):
            return course
        reading = read_rollouts(self._publications.directory(state.fleet), state.versions)
        same = {
            name: one
            for name, one in course.tracked.items()
            if reading.rollouts.get(name) == one.rollout and one.members == reading.members
        }
        with course.lock:
            course.late = []
        fresh = [one for name, one in reading.rollouts.items() if name not in same]
        made = self._files.tracked(state.fleet, fresh, reading.members)
        with course.lock:
            for name, tracked in made.items():
                if name in course.tracked:  # a pause, a halt or a gate of meanwhile
                    tracked.go_on(course.tracked[name])
                for taken in course.late or ():
                    tracked.take(taken)
            course.reading, course.tracked, course.late = reading, {**same, **made}, None
        for tracked in made.values():
            if tracked.record.halted is not None:
                self._alarm(state.fleet, tracked, tracked.record.halted)
        return course

    # What people ask, and want.

    def list(self, fleet: FleetId) -> RolloutList:
        """All open rollouts. Raises InvalidInput `not-found`."""
        course = self._read(self._publications.fleets.need(fleet), _PATIENCE)
        with course.lock:
            states = [self._state(course, one) for _, one in sorted(course.tracked.items())]
        return RolloutList(rollouts=states)

    def show(self, fleet: FleetId, name: str) -> RolloutState:
        """One. Raises InvalidInput `not-found`."""
        with self._one(fleet, name) as (course, tracked):
            return self._state(course, tracked)

    def _state(self, course: _Course, tracked: Tracked) -> RolloutState:
        verdict = self._verdict(course, tracked, self._stores.clock.now())
        word: State = "running"
        if tracked.record.halted is not None:
            word = "halted"
        elif tracked.record.paused is not None:
            word = "paused"
        elif isinstance(verdict, Done):
            word = "done"
        why = verdict.says if isinstance(verdict, Wait | Halt) else ""
        return tracked.state(word, why, verdict.until if isinstance(verdict, Wait) else None)

    def pause(
        self, fleet: FleetId, name: str, why: str, by: str, delegation: str | None = None
    ) -> RolloutState:
        """Open no further gate until somebody resumes it; durable when it returns.

        Raises:
            InvalidInput: `not-found`.
            Refused: `forbidden`: it is another delegation's, or the owner's.
            Conflict: `already-paused`.
        """
        with self._one(fleet, name, delegation) as (course, tracked):
            if tracked.record.paused is not None:
                raise Conflict("already-paused", f"cannot pause {name}: it is paused")
            now = instant(self._stores.clock.now())
            self._keep(fleet, tracked, paused=Stop(at=now, says=why[:_WORDS], by=by))
            return self._state(course, tracked)

    def resume(
        self, fleet: FleetId, name: str, why: str, by: str, delegation: str | None = None
    ) -> RolloutState:
        """Go on after a pause or a halt: what failed is known, and timeouts begin anew.

        Raises:
            InvalidInput: `not-found`.
            Refused: `forbidden`.
            Conflict: `not-stopped`.
        """
        with self._one(fleet, name, delegation) as (course, tracked):
            record = tracked.record
            if record.paused is None and record.halted is None:
                raise Conflict("not-stopped", f"cannot resume {name}: it is not stopped")
            if record.halted is not None:
                now = instant(self._stores.clock.now())
                self._keep(
                    fleet,
                    tracked,
                    paused=None,
                    halted=None,
                    resumed=now,
                    forgiven=tracked.failed,
                )
            else:
                self._keep(fleet, tracked, paused=None)
            _log.info("rollout-resumed", fleet=fleet, rollout=name, by=by, why=why[:_WORDS])
            return self._state(course, tracked)

    @contextmanager
    def _one(
        self, fleet: FleetId, name: str, delegation: str | None = None
    ) -> Iterator[tuple[_Course, Tracked]]:
        course = self._read(self._publications.fleets.need(fleet), _PATIENCE)
        with course.lock:
            tracked = course.tracked.get(name)
            if tracked is None:
                raise InvalidInput("not-found", f"cannot find the rollout {name[:80]!r}: none open")
            if delegation is not None and tracked.rollout.author != delegation:
                raise Refused("forbidden", f"cannot touch {name}: {delegation} did not order it")
            yield course, tracked
