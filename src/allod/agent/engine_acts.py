"""Acting: each action of a plan becomes a piece of work, and what went wrong becomes a finding."""

from __future__ import annotations

from dataclasses import dataclass, field

from allod.agent.engine_authority import changed_by, receipt
from allod.agent.engine_observe import running_of, works
from allod.agent.engine_steps import Bench, note_activation, record_of
from allod.agent.engine_work import Carrier
from allod.agent.journal import MemberRecord, Work
from allod.agent.view import View
from allod.domain.actions import (
    Action,
    Activate,
    Cancel,
    Delete,
    Describe,
    FetchDocument,
    Install,
    Member,
    Transfer,
    Waiting,
)
from allod.domain.ids import Digest, Purl
from allod.domain.judgement import Finding
from allod.domain.machine import Event, State
from allod.domain.resolution import Resolved, Unresolved
from allod.errors import AllodError, Unavailable


@dataclass(slots=True)
class Findings:
    """What a run has to tell besides its changes."""

    refusals: list[Finding] = field(default_factory=list)
    alarms: list[tuple[str, str]] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)

    def alarm(self, code: str, says: str) -> None:
        """Something that the owner should look at."""
        if (code, says) not in self.alarms:
            self.alarms.append((code, says))

    def failed(self, what: str, package: Purl, error: AllodError | OSError) -> None:
        """Something did not work: a refusal if it never will, else something to wait for."""
        if isinstance(error, Unavailable):
            self.waiting.append(Waiting(package, what, waits_for=error.message))
        elif isinstance(error, AllodError):
            self.refusals.append(Finding(error.code, package, error.message))
        else:
            self.alarm("disk", f"cannot {what} {package}: {error}")


class Actor:
    """Turns actions into work.

    Args:
        bench: what steps work on.
        carrier: carries work out.
        findings: where to tell what went wrong.
        view: for the authority of each change.
        resolved: what the documents mean.
    """

    def __init__(
        self, bench: Bench, carrier: Carrier, findings: Findings, view: View, resolved: Resolved
    ) -> None:
        self._bench = bench
        self._carrier = carrier
        self._findings = findings
        self._view = view
        self._resolved = resolved

    def act(self, action: Action) -> None:
        """Do it; failures end up in the findings, and nothing else is stopped by them."""
        source = self._bench.world.source
        try:
            match action:
                case Describe(package, order):
                    source.describe(package, order)
                case FetchDocument(package, digest, size):
                    source.document(digest, size)
                case Transfer(package, order):
                    member = self._of_software(package, order.digest, action.reasons)
                    self._simple(member, State.ABSENT, Event.TRANSFER)
                case Install(package, order, attempt):
                    member = self._of_software(package, order.digest, action.reasons, attempt)
                    self._simple(member, State.TRANSFERRED, Event.INSTALL)
                case Delete(package, digest):
                    member = self._of_software(package, digest, action.reasons)
                    self._simple(member, State.INSTALLED, Event.DELETE)
                case Cancel(package):
                    self._carrier.outcome(self._lead(package), Event.CANCEL)
                case Activate():
                    self._activate(action)
        except (AllodError, OSError) as error:
            self._findings.failed(_verb(action), _package(action), error)

    def _of_software(
        self, package: Purl, digest: Digest, reasons: tuple[str, ...], attempt: str = ""
    ) -> MemberRecord:
        """A part in a piece of work that changes nothing that runs."""
        half = self._resolved.packages[package].software
        authority = receipt(self._view, half, reasons)
        return MemberRecord(package=package, digest=digest, attempt=attempt, authority=authority)

    def _simple(self, member: MemberRecord, state: State, event: Event) -> None:
        boot = self._bench.world.clock.boot_id()
        ended = self._carrier.begin(Work(state=state, members=(member,), boot=boot), event)
        if ended.reason:
            self._tell(Purl(member.package), str(event), ended)

    def _tell(self, package: Purl, what: str, ended: Work) -> None:
        if ended.state is State.FAILED or ended.final:
            self._findings.refusals.append(Finding("failed", package, ended.reason))
        else:
            self._findings.waiting.append(Waiting(package, what, waits_for=ended.reason))

    def _lead(self, package: Purl) -> Purl:
        return works(self._bench)[package].lead

    def _activate(self, action: Activate) -> None:
        packages = {member.package for member in action.members}
        if action.booted:
            work = works(self._bench)[action.members[0].package]
            same = packages == {Purl(member.package) for member in work.members}
            event = Event.BOOT if same else Event.CANCEL
            self._report_end(self._carrier.outcome(work.lead, event))
            return
        members = tuple(self._member(member) for member in sorted(action.members, key=_name))
        for member in members:
            self._check(member)
        for member in members:
            secrets = self._resolved.packages[Purl(member.package)].secrets
            note_activation(self._bench, member, record_of(self._bench, member, secrets))
        boot = self._bench.world.clock.boot_id()
        work = Work(state=State.INSTALLED, members=members, boot=boot)
        event = Event.ARM if action.at_restart else Event.ACTIVATE
        self._report_end(self._carrier.begin(work, event))

    def _report_end(self, ended: Work) -> None:
        if ended.reason:
            for member in ended.members:
                self._tell(Purl(member.package), "activate", ended)

    def _check(self, member: MemberRecord) -> None:
        """Whether it could be configured so: known before anything is interrupted."""
        secrets = self._resolved.packages[Purl(member.package)].secrets
        record = record_of(self._bench, member, secrets)
        if record is not None:
            sheet = self._bench.sheet(Purl(member.package), record)
            self._bench.world.renderer.check(sheet)

    def _member(self, member: Member) -> MemberRecord:
        running = running_of(self._bench, member.package)
        journal = self._bench.journals.load(member.package)
        wanted = self._resolved.packages[member.package]
        same_release = running is not None and running.digest == member.digest
        half = wanted.configuration if same_release else wanted.software
        rollout = None if isinstance(half, Unresolved) else half.rollout
        return MemberRecord(
            package=member.package,
            digest=member.digest,
            configuration=member.configuration,
            attempt=member.attempt,
            number=max(journal.last_number, *self._numbers(member.package)) + 1,
            before=None if running is None else running.number,
            snapshot=member.snapshot,
            restore=member.restore,
            authority=receipt(self._view, half, member.reasons),
            managers=changed_by(
                wanted,
                software=not same_release,
                configuration=running is not None and running.configuration != member.configuration,
            ),
            retries=0 if rollout is None else rollout.retries,
        )

    def _numbers(self, package: Purl) -> tuple[int, ...]:
        return (0, 0, *self._bench.activations.numbers(package))


def _name(member: Member) -> str:
    return member.package


def _package(action: Action) -> Purl:
    return action.members[0].package if isinstance(action, Activate) else action.package


def _verb(action: Action) -> str:
    return type(action).__name__.lower()
