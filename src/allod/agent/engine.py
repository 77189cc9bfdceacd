"""The agent's one function: observe, authorise, plan, act, report (docs/explanation/architecture.md).

`recover` goes on with what a power cut interrupted, and needs neither network nor documents;
`converge` makes true what the owner's documents say, as far as it may happen now. Both may be
stopped at any point and run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from allod.agent.activation import Activations
from allod.agent.consent import take_in
from allod.agent.engine_acts import Actor, Findings
from allod.agent.engine_ask import put_questions
from allod.agent.engine_authority import receipt
from allod.agent.engine_context import Context, Outcome, arrived, wanted_of
from allod.agent.engine_drift import Warden
from allod.agent.engine_observe import observe, running_of, works
from allod.agent.engine_ports import World
from allod.agent.engine_reboot import RestartKeeper
from allod.agent.engine_restart import RestartBook
from allod.agent.engine_settle import Settler
from allod.agent.engine_steps import Bench
from allod.agent.engine_work import Carrier
from allod.agent.grounds import DEVICE, Beat, GroundsStore
from allod.agent.journal import JournalStore
from allod.agent.reporting import Ledger
from allod.agent.state_dir import StateDir
from allod.agent.view import View
from allod.domain.actions import Activate, Cancel
from allod.domain.desired import OWNER, DriftPolicy
from allod.domain.ids import Digest, Purl
from allod.domain.machine import Event, State
from allod.domain.observed import Inhibition, Observed
from allod.domain.plan import Plan, make_plan
from allod.domain.resolution import Resolved, ResolvedConfiguration, ResolvedSoftware
from allod.domain.restarts import RestartState
from allod.domain.surroundings import busy
from allod.errors import AllodError
from allod.wire.codec import instant, parse_instant
from allod.wire.report import ChangeReport

SELF: Final = Purl("pkg:generic/allod/agent")  #: the agent is a package under the same rules
MAX_ROUNDS: Final = 200  #: of planning in one run, and more for many packages; against a bug


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What whoever runs the machine decided."""

    bandwidth: int | None = None  #: bytes per second
    measure_seconds: float = 6 * 3600.0
    complain: bool = False
    background: bool = True  #: work at idle priority


class Engine:
    """Brings one device to what its owner wants.

    Args:
        state: its state directory, which nobody else changes meanwhile.
        world: all that it acts through.
        ledger: where changes are noted for the report.
        settings: what whoever runs the machine decided.
        own: the activation of the agent's package that this process runs from; None: none.
        rejected: the activation of the agent's package whose trial the supervisor has ended.
        findings: those of an earlier part of the same run.
    """

    def __init__(
        self,
        state: StateDir,
        world: World,
        ledger: Ledger,
        settings: EngineSettings | None = None,
        *,
        own: int | None = None,
        rejected: str = "",
        findings: Findings | None = None,
    ) -> None:
        self._settings = settings or EngineSettings()
        self._world = world
        self._ledger = ledger
        self._own = own
        self._rejected = rejected
        self._now = world.clock.now()
        journals = JournalStore(state)
        self.bench = Bench(state, world, journals, Activations(state), self._settings.complain)
        clock = world.clock
        self._grounds = GroundsStore(
            state.grounds, self._has_worked, lambda: Beat(clock.boot_id(), clock.monotonic())
        )
        self._settler = Settler(self.bench, ledger, self._grounds)
        self._carrier = Carrier(self.bench, self._settler, SELF, lambda: self._now)
        self._carrier.background = self._settings.background
        self.warden = Warden(self.bench, self._settings.measure_seconds)
        self._book = RestartBook(state.agent)
        self.findings = findings or Findings()

    # -- recovery

    def recover(self, view: View | None = None) -> None:
        """Bring what was interrupted to its end: start-up is recovery.

        Args:
            view: the last one that was accepted, for the owner's health checks.
        """
        self._look_at(view)
        for package in self.bench.journals.packages():
            try:
                self._carrier.recover(package)
                if package == SELF:
                    self._judge_trial()
            except (AllodError, OSError) as error:
                self.findings.failed("recover", package, error)
        for package in sorted(self.bench.journals.damaged):
            self.findings.alarm("journal-damaged", f"both copies of the journal of {package}")
        self._ensure_services()

    def _look_at(self, view: View | None) -> Resolved:
        """Take over what the documents say about how to work; the time is at least theirs."""
        self._now = self._world.clock.now()
        if view is None:
            return Resolved()
        self._now = max(self._now, view.accepted_at, parse_instant(view.trust.time))
        present = self.bench.journals.packages()
        resolved = wanted_of(view, present, self._now, self._rollouts_so_far())
        self._carrier.owner_checks = {
            package: wanted.health for package, wanted in resolved.packages.items()
        }
        limits = [limit for limit in (resolved.bandwidth, self._settings.bandwidth) if limit]
        self._carrier.bandwidth = min(limits, default=None)
        self._settler.retention = resolved.retention
        return resolved

    def _rollouts_so_far(self) -> frozenset[str]:
        try:
            return self._grounds.came(self._now)
        except OSError as error:
            self.findings.alarm("disk", f"cannot remember which rollouts have come: {error}")
            return frozenset()

    # -- convergence

    def converge(self, view: View) -> Outcome:
        """Do all that the owner's documents want and that may happen now."""
        boot = self._world.clock.boot_id()
        self._ledger.see_boot(boot)
        resolved = self._look_at(view)
        self._remember(view, resolved)
        context = Context(self._world, self._grounds, view, self.findings, self._now)
        actor = Actor(self.bench, self._carrier, self.findings, view, resolved)
        plan, observed = self._rounds(context, resolved, actor)
        outcome = Outcome(view.device, resolved, plan, observed, self.findings, context.inhibitions)
        outcome.handed_over = self._handed_over()
        self.findings.refusals.extend(plan.refusals)
        if not outcome.handed_over:
            self._look_after(view, resolved, context.inhibitions, boot)
            RestartKeeper(self._book, self._ledger, context, view).look(outcome, boot, self._now)
            self._keep_documents(resolved)
        outcome.observed = self._observe(resolved)
        context.tell_damage()
        self._ask(outcome)
        return outcome

    def _has_worked(self, package: Purl) -> bool:
        """Whether something must be remembered of a package."""
        if not package:
            return self._book.used
        return self.bench.journals.load(package).last_number > 0

    def _remember(self, view: View, resolved: Resolved) -> None:
        """What was answered, and which rollouts have come, before anything is done by it."""
        try:
            self._grounds.arrive(arrived(view, resolved, self._now), self._now)
            take_in(self.bench.state, self._grounds, self._ledger, self._now)
        except OSError as error:
            self.findings.alarm("disk", f"cannot remember what terms ask: {error}")

    def _ask(self, outcome: Outcome) -> None:
        try:
            put_questions(self.bench.state, outcome)
        except OSError as error:
            self.findings.alarm("disk", f"cannot ask whoever is at the device: {error}")

    def _rounds(
        self, context: Context, resolved: Resolved, actor: Actor
    ) -> tuple[Plan, Mapping[Purl, Observed]]:
        """Plan and act until nothing is left that could be done in this run."""
        tried: set[object] = set()
        most = MAX_ROUNDS + 4 * len(resolved.packages)
        for _ in range(most):
            observed = self._observe(resolved)
            documents = self._documents(resolved, observed)
            around = context.surroundings(resolved, observed, documents)
            plan = make_plan(resolved, observed, around)
            todo = [action for action in plan.actions if action not in tried]
            if not todo or self._handed_over():
                return plan, observed
            # The agent itself comes last: what follows it is the work of the next one.
            todo.sort(key=_is_self)
            for action in todo:
                tried.add(action)
                actor.act(action)
                if isinstance(action, Activate | Cancel):
                    break
        raise RuntimeError(f"no end after {most} rounds of planning")

    def _observe(self, resolved: Resolved) -> dict[Purl, Observed]:
        ordered: dict[Purl, tuple[Digest, ...]] = {}
        for package, wanted in resolved.packages.items():
            software = wanted.software
            releases = software.releases if isinstance(software, ResolvedSoftware) else ()
            ordered[package] = tuple(order.digest for order in releases)
        return observe(self.bench, ordered)

    def _documents(
        self, resolved: Resolved, observed: Mapping[Purl, Observed]
    ) -> frozenset[Digest]:
        """The configuration documents that are here, of those that are wanted or in use."""
        wanted: set[Digest] = set()
        for package, entry in observed.items():
            half = (
                resolved.packages[package].configuration if package in resolved.packages else None
            )
            if isinstance(half, ResolvedConfiguration) and half.order.digest is not None:
                wanted.add(half.order.digest)
            if entry.running is not None and entry.running.configuration is not None:
                wanted.add(entry.running.configuration)
        return frozenset(
            digest for digest in wanted if self._world.source.read_document(digest) is not None
        )

    def _keep_documents(self, resolved: Resolved) -> None:
        """Documents that are wanted, in use, or could be gone back to are kept; others are not."""
        keep: set[str] = set()
        for wanted in resolved.packages.values():
            if isinstance(wanted.configuration, ResolvedConfiguration):
                keep.add(wanted.configuration.order.digest or "")
        for package in self.bench.journals.packages():
            kept = self.bench.journals.load(package).activations.values()
            keep |= {record.configuration or "" for record in kept}
        self._world.source.keep_documents(Digest(digest) for digest in keep if digest)

    def _handed_over(self) -> bool:
        work = self.bench.journals.load(SELF).work
        if work is None or work.state is not State.PROBATION:
            return False
        return self.bench.activations.number(SELF) != self._own

    def prove(self) -> None:
        """This run was whole and verified: if it was a new agent's probation, it is over."""
        work = self.bench.journals.load(SELF).work
        if work is None or work.state is not State.PROBATION:
            return
        if self._own == work.members[0].number:
            self._carrier.outcome(SELF, Event.HEALTHY)

    def _judge_trial(self) -> None:
        """Take back a new agent that had no verified run before the supervisor lost patience."""
        work = self.bench.journals.load(SELF).work
        if work is None or work.state is not State.PROBATION:
            return
        number = work.members[0].number
        if self._own != number and self._rejected == f"activations/{number}":
            self._carrier.refuse(SELF, "the new agent had no verified run in its time")

    # -- looking after what runs

    def _look_after(
        self, view: View, resolved: Resolved, inhibitions: tuple[Inhibition, ...], boot: str
    ) -> None:
        self._ensure_services()
        for digest, entry in view.withdrawn.items():
            for package in self.bench.journals.packages():
                running = running_of(self.bench, package)
                if running is not None and running.digest == digest:
                    says = f"{package} runs a release that was withdrawn: {entry.why}"
                    self.findings.alarm("withdrawn-runs", says)
        self.warden.measure(self.bench.journals.packages(), self._now, boot)
        disturbed = busy(inhibitions, resolved.override_inhibitors)
        under_way = works(self.bench)
        for package in self.warden.drifted():
            self.findings.alarm("drift", f"something of {package} was changed on the device")
            if resolved.drift is not DriftPolicy.HEAL or disturbed or package in under_way:
                continue
            try:
                self.warden.heal(package, self._now, bandwidth=self._carrier.bandwidth)
                self._note_healed(package, view, resolved)
            except (AllodError, OSError) as error:
                self.findings.failed("heal", package, error)

    def _note_healed(self, package: Purl, view: View, resolved: Resolved) -> None:
        """It is again what the document wants that decides on the package."""
        wanted = resolved.packages.get(package)
        authority = None if wanted is None else receipt(view, wanted.software)
        change = ChangeReport(
            at=instant(self._now), package=package, what="healed", authority=authority
        )
        self._ledger.record(f"{package}#healed#{self._ledger.state.sequence}", change, path=None)

    def _ensure_services(self) -> None:
        """What should run and does not is started."""
        under_way = works(self.bench)
        for package in self.bench.journals.packages():
            running = running_of(self.bench, package)
            work = under_way.get(package)
            if running is None or (work is not None and work.state is not State.WAITING):
                continue
            try:
                release = self.bench.release(package, running.digest)
                unit = self.bench.unit(package, release)
                if unit is not None and not self._world.services.state(package).running:
                    self._world.services.start(unit)
                    says = f"the service of {package} did not run, and was started"
                    self.findings.alarm("service-started", says)
            except (AllodError, OSError) as error:
                self.findings.failed("start", package, error)

    # -- restarts

    def restart(self, outcome: Outcome) -> bool:
        """Do the scheduled restart that is due, if any: journalled first.

        Returns:
            whether the machine is about to restart.
        """
        if outcome.restart is None or outcome.handed_over:
            return False
        due, boot = outcome.restart, self._world.clock.boot_id()
        order = due.order
        # A restart counts before it is done: a cut between the two costs one, and repeats none.
        self._grounds.activate(DEVICE, due.key, (order.manager,), self._now)
        self._book.write(due.key, RestartState.BEGUN, boot, self._now, due.authority)
        self._world.restarter.restart(
            f"restart {order.restart.id}, ordered by {_name(order.manager)}"
        )
        return True


def _is_self(action: object) -> bool:
    members = action.members if isinstance(action, Activate) else ()
    return any(member.package == SELF for member in members)


def _name(manager: str) -> str:
    return "the owner" if manager == OWNER else manager
