"""Carrying out one piece of work: the shell around the update machine.

For every transition it writes the next state to the journal, performs the effect, and feeds the
outcome back, until nothing is under way. After a power cut `recover` feeds in what happened, and
the same code goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from allod.agent.background import run_idle
from allod.agent.engine_settle import Settler
from allod.agent.engine_steps import STEPS, Bench
from allod.agent.health import Watched, checks_of, watch
from allod.agent.journal import MemberRecord, Work, remember_failure
from allod.agent.ports import RunState, ServiceUnit
from allod.domain.ids import Digest, Purl
from allod.domain.machine import BETWEEN, REST, Effect, Event, State, step
from allod.domain.release import HealthCheck
from allod.errors import AllodError, InvalidInput, Refused, Untrusted

MAX_TRIES: Final = 3  #: how often an activation may be found interrupted before it goes back
MAX_ATTEMPTS: Final = 3  #: how often one is tried that failed for reasons of the machine
_BACK_OFF: Final = timedelta(minutes=1)
_SICK_BACK_OFF: Final = timedelta(minutes=5)  #: of what a rollout tries again; doubled each time
_LONGEST_BACK_OFF: Final = timedelta(days=1)

#: Outcomes that come from outside: nothing more happens now.
_PENDING: Final = None


class CannotGoBackError(AllodError):
    """An undo failed. What was journalled stays, and the next run tries again."""


class Carrier:
    """Carries out work.

    Args:
        bench: what steps work on.
        settler: keeps what follows from a piece of work.
        self_package: the agent's own package, whose probation ends elsewhere.
        decided_now: the time that the device decides by.
    """

    def __init__(
        self,
        bench: Bench,
        settler: Settler,
        self_package: Purl,
        decided_now: Callable[[], datetime],
    ) -> None:
        self._bench = bench
        self._settler = settler
        self._self = self_package
        self._now = decided_now
        self.owner_checks: Mapping[Purl, tuple[HealthCheck, ...]] = {}
        self.bandwidth: int | None = None
        self.background = True

    # -- the loop

    def begin(self, work: Work, event: Event) -> Work:
        """Start a piece of work with its first event; where it ended."""
        return self._feed(msgspec.structs.replace(work, serial=self._settler.serial), event)

    def outcome(self, package: Purl, event: Event) -> Work:
        """Feed in what happened to work that was left pending; where it ended."""
        work = self._bench.journals.load(package).work
        if work is None:
            raise RuntimeError(f"nothing is under way with {package}")
        return self._feed(work, event)

    def refuse(self, package: Purl, reason: str) -> Work:
        """Take back work on probation whose health was judged elsewhere; where it ended."""
        work = self._bench.journals.load(package).work
        if work is None:
            raise RuntimeError(f"nothing is under way with {package}")
        return self._feed(msgspec.structs.replace(work, reason=reason, final=True), Event.UNHEALTHY)

    def recover(self, package: Purl) -> Work | None:
        """Go on with what a power cut interrupted; None: nothing was."""
        work = self._bench.journals.load(package).work
        if work is None:
            return None
        if work.state in {State.ACTIVATING, State.PROBATION}:
            if package == self._self and work.state is State.PROBATION:
                return work  # judged by the run that it is on probation for
            work = msgspec.structs.replace(work, tries=work.tries + 1)
            if work.tries > MAX_TRIES:
                reason = f"interrupted {MAX_TRIES} times while it was {work.state}"
                work = msgspec.structs.replace(work, reason=reason, final=True)
                return self._feed(work, Event.GAVE_UP)
        return self._feed(work, self._done_before(work) or Event.INTERRUPTED)

    def _done_before(self, work: Work) -> Event | None:
        """Whether what was interrupted had come to its end, and only its outcome was not noted."""
        world = self._bench.world
        there = _releases(work)
        if work.state is State.TRANSFERRING and all(d in world.source.held(p) for p, d in there):
            return Event.FETCHED
        if work.state is State.INSTALLING and all(d in world.installer.staged(p) for p, d in there):
            return Event.STAGED
        return None

    def _feed(self, work: Work, event: Event | None) -> Work:
        while event is not None:
            after = step(work.state, event)
            fresh = (
                after.state in {State.ACTIVATING, State.WAITING} and event is not Event.INTERRUPTED
            )
            work = msgspec.structs.replace(work, state=after.state, step=0 if fresh else work.step)
            if after.state in REST:
                self._perform(after.effect, work)
                self._settle(work, event)
                return work
            self._save(work)
            work, event = self._perform(after.effect, work)
        return work

    def _save(self, work: Work) -> None:
        self._bench.journals.change(work.lead, work=work)

    def _settle(self, work: Work, event: Event) -> None:
        """Note what follows, then forget the work: in this order, so that nothing is lost."""
        if work.state is State.FAILED or (event is Event.CANCEL and work.reason):
            self._remember(work)
        self._settler.note(work, event, self._now())
        self._bench.journals.change(work.lead, work=None)
        self._settler.tidy(work)

    def _remember(self, work: Work) -> None:
        """So that it is not tried again, or not at once if the machine was to blame."""
        for member in work.members:
            journals, package = self._bench.journals, Purl(member.package)
            journal = journals.load(package)
            known = next((one for one in journal.failed if one.attempt == member.attempt), None)
            tries = 1 if known is None else known.tries + 1
            retry = None
            if not work.final and tries < MAX_ATTEMPTS:
                retry = self._now() + _BACK_OFF * 2**tries
            elif work.sick and tries <= member.retries:
                retry = self._now() + min(_SICK_BACK_OFF * 2 ** (tries - 1), _LONGEST_BACK_OFF)
            journals.save(
                package, remember_failure(journal, member, work.reason, self._now(), retry)
            )

    # -- effects

    def _perform(self, effect: Effect, work: Work) -> tuple[Work, Event | None]:
        handlers: dict[Effect, Callable[[Work], tuple[Work, Event | None]]] = {
            Effect.NONE: lambda same: (same, _PENDING),
            Effect.FETCH: self._fetch,
            Effect.STAGE: self._stage,
            Effect.UNSTAGE: self._unstage,
            Effect.PREPARE: self._prepare,
            Effect.UNPREPARE: self._unprepare,
            Effect.SWITCH: self._switch,
            Effect.WATCH: self._watch,
            Effect.COMMIT: self._commit,
            Effect.UNDO: self._undo,
            Effect.DELETE: self._delete,
        }
        return handlers[effect](work)

    def _fetch(self, work: Work) -> tuple[Work, Event]:
        source, bandwidth = self._bench.world.source, self.bandwidth

        def fetch() -> None:
            for package, digest in _releases(work):
                source.fetch(package, digest, bandwidth=bandwidth)

        try:
            self._quietly(fetch)
        except (AllodError, OSError) as error:
            if self._done_before(work) is None:
                return _failed(work, error), Event.FETCH_FAILED
        return work, Event.FETCHED

    def _stage(self, work: Work) -> tuple[Work, Event]:
        def stage() -> None:
            for package, digest in _releases(work):
                self._bench.restage(package, digest)

        try:
            self._quietly(stage)
        except (AllodError, OSError) as error:
            work = _failed(work, error)
            return work, Event.STAGE_REFUSED if work.final else Event.STAGE_FAILED
        return work, Event.STAGED

    def _quietly(self, work: Callable[[], None]) -> None:
        if self.background:
            run_idle(work)
        else:
            work()

    def _unstage(self, work: Work) -> tuple[Work, Event | None]:
        for package, digest in _releases(work):
            self._bench.world.installer.unstage(package, digest)
        return work, _PENDING

    def _unprepare(self, work: Work) -> tuple[Work, Event | None]:
        for member in work.members:
            STEPS[0].undo(self._bench, member)
        return work, _PENDING

    def _commit(self, work: Work) -> tuple[Work, Event]:
        self._settler.commit(work)
        return work, Event.COMMITTED

    def _delete(self, work: Work) -> tuple[Work, Event]:
        for package, digest in _releases(work):
            self._bench.world.installer.unstage(package, digest)
            self._bench.world.source.forget(package, digest)
        return work, Event.DELETED

    def _prepare(self, work: Work) -> tuple[Work, Event | None]:
        """For the next restart; what can't be prepared now is taken back."""
        try:
            for member in work.members:
                STEPS[0].do(self._bench, member)
            for member in work.members:
                number = None if member.digest is None else member.number
                self._bench.activations.arm(Purl(member.package), number)
        except (AllodError, OSError) as error:
            return _failed(work, error), Event.CANCEL
        return work, _PENDING

    def _switch(self, work: Work) -> tuple[Work, Event]:
        try:
            self._settler.count(work, self._now())
            for index in range(work.step, len(STEPS)):
                if index != work.step:
                    work = msgspec.structs.replace(work, step=index)
                    self._save(work)
                for member in work.members:
                    STEPS[index].do(self._bench, member)
        except (AllodError, OSError) as error:
            return _failed(work, error), Event.SWITCH_FAILED
        return work, Event.SWITCHED

    def _undo(self, work: Work) -> tuple[Work, Event]:
        for index in range(work.step, -1, -1):
            if index != work.step:
                work = msgspec.structs.replace(work, step=index)
                self._save(work)
            for member in reversed(work.members):
                try:
                    STEPS[index].undo(self._bench, member)
                except (AllodError, OSError) as error:
                    raise CannotGoBackError(
                        "cannot-go-back",
                        f"cannot take {member.package} back ({STEPS[index].name}): {error}; "
                        "the next run tries again",
                        package=member.package,
                    ) from error
        return work, Event.REVERTED

    def _watch(self, work: Work) -> tuple[Work, Event | None]:
        if self._self in {member.package for member in work.members}:
            return work, _PENDING
        try:
            watched = [self._watched(member) for member in work.members if member.digest]
            verdict = watch(
                watched, self._bench.world.clock, self._bench.world.probe, self._run_state
            )
        except (AllodError, OSError) as error:
            return _failed(work, error), Event.UNHEALTHY
        if verdict.healthy:
            return work, Event.HEALTHY
        reason = f"its health check failed: {verdict.detail}"
        return msgspec.structs.replace(work, reason=reason, final=True, sick=True), Event.UNHEALTHY

    def _watched(self, member: MemberRecord) -> Watched:
        package = Purl(member.package)
        release = self._bench.release(package, member.digest or "")
        checks = checks_of(release, self.owner_checks.get(package, ()))
        return Watched(self._bench.unit(package, release), checks)

    def _run_state(self, unit: ServiceUnit) -> RunState:
        return self._bench.world.services.state(unit.package)


def _failed(work: Work, error: AllodError | OSError) -> Work:
    """The work with why it failed; final if trying the same again can't help."""
    final = isinstance(error, InvalidInput | Refused | Untrusted)
    return msgspec.structs.replace(work, reason=str(error), final=final)


def _releases(work: Work) -> list[tuple[Purl, Digest]]:
    return [(Purl(one.package), Digest(one.digest)) for one in work.members if one.digest]


def is_between(work: Work | None) -> bool:
    """Whether what runs may be the old or the new, and only the journal knows."""
    return work is not None and work.state in BETWEEN
