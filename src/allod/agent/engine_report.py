"""The report of a run: what the device is and has, as it was found, and why it is so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import allod
from allod.agent.engine import Engine
from allod.agent.engine_context import Outcome
from allod.agent.engine_observe import works
from allod.agent.engine_ports import World
from allod.agent.reporting import Ledger
from allod.agent.view import View
from allod.domain.actions import Waiting
from allod.domain.desired import OWNER, Level
from allod.domain.ids import Digest, Purl, Scope, sha256
from allod.domain.machine import State
from allod.domain.observed import Observed
from allod.domain.release import ProbeKind, Release
from allod.domain.resolution import ResolvedPackage, ResolvedSoftware
from allod.wire.codec import encode, instant
from allod.wire.report import (
    Alarm,
    Boot,
    ConfigurationOnDevice,
    HostPackage,
    Inhibitor,
    Inventory,
    Measured,
    PackageReport,
    Pending,
    Refusal,
    ReleaseOnDevice,
    Report,
)

_LevelName = Literal["transferred", "installed", "active"]
_REFUSALS: Final = 256  #: that a report tells of, and of each:
_REASONS: Final = 32
_REASON: Final = 600  #: characters
INVENTORY_ROOM: Final = 512 * 1024  #: bytes of a report that are left to unmanaged software


@dataclass(frozen=True, slots=True)
class Reporter:
    """Makes reports.

    Args:
        world: the device.
        ledger: their chain.
        heartbeat: seconds after which a report that says nothing new is made all the same.
    """

    world: World
    ledger: Ledger
    heartbeat: float = 3600.0

    def report(self, engine: Engine, outcome: Outcome, view: View) -> Report | None:
        """Make the report of this run, if there is something to say; it is in the outbox then."""
        now = max(self.world.clock.now(), view.accepted_at)
        draft = self._content(engine, outcome, view, now)
        if not self.ledger.due(draft, now, self.heartbeat):
            return None
        return self.ledger.publish(lambda sequence, head: _numbered(draft, sequence, head))

    def _content(self, engine: Engine, outcome: Outcome, view: View, now: datetime) -> Report:
        state = self.ledger.state
        changes = list(self.ledger.pending())
        refusals, alarms = self._findings(outcome, view, now)
        packages = [
            _package(engine, outcome, package, observed)
            for package, observed in outcome.observed.items()
        ]
        return Report(
            fleet=view.fleet_id,
            device=view.device,
            epoch=view.epoch,
            sequence=0,
            previous=None,
            kind="change" if changes else "heartbeat",
            at=instant(now),
            agent=allod.__version__,
            boot=Boot(id=state.boot, count=state.boots),
            uptime=self.world.host.uptime(),
            facts=dict(self.world.host.facts()),
            trust=view.trust,
            packages=packages,
            inventory=self._inventory(),
            changes=changes,
            refusals=refusals,
            alarms=alarms,
            inhibitors=[
                Inhibitor(name=one.name, why=one.why, since=instant(one.since))
                for one in outcome.inhibitions
            ],
            restarts=outcome.restarts,
            constraints=self._constraints(packages, complain=engine.bench.complain),
            journey=state.journey,
        )

    def _constraints(self, packages: list[PackageReport], *, complain: bool) -> list[str]:
        """What limits the owner here: by releases, and by what holds no service to its access."""
        names = {name for package in packages for name in package.constraints}
        if not self.world.services.enforces_access or complain:
            names.add("access-not-enforced")
        return sorted(names)

    def _missing_access(self, outcome: Outcome) -> list[tuple[str, str]]:
        """In complain mode: what services use and their releases do not declare."""
        found = []
        for package, observed in outcome.observed.items():
            if observed.running is not None:
                names = sorted(self.world.services.missing_access(package))
                if names:
                    says = f"{package} uses what its release does not declare: {', '.join(names)}"
                    found.append(("access-missing", says[:1000]))
        return found

    def _findings(
        self, outcome: Outcome, view: View, now: datetime
    ) -> tuple[list[Refusal], list[Alarm]]:
        refused: dict[tuple[str, str], list[str]] = {}
        for finding in outcome.findings.refusals:
            reasons = refused.setdefault((finding.code, finding.subject), [])
            if finding.reason not in reasons:
                reasons.append(finding.reason)
        for scope, key, reason in outcome.resolved.unreadable:
            refused.setdefault(("unreadable-entry", f"{scope} {key}"), [reason])
        refused, left = _told(refused, outcome)
        said = [
            *([("refusals-left-out", f"{left} refusals more are not told")] if left else []),
            *outcome.findings.alarms,
            *self._missing_access(outcome),
            *((a.code, a.says) for a in self.ledger.alarms),
        ]
        names = {f"refusal {code} {subject}" for code, subject in refused}
        names |= {f"alarm {code} {says}" for code, says in said}
        since = self.ledger.since(frozenset(names), now)
        refusals = [
            Refusal(
                code=code,
                reasons=[reason[:_REASON] for reason in reasons[:_REASONS]],
                subject=subject,
                since=since[f"refusal {code} {subject}"],
            )
            for (code, subject), reasons in sorted(refused.items())
        ]
        alarms = [
            Alarm(code=code, says=says, since=since[f"alarm {code} {says}"]) for code, says in said
        ]
        return [*view.refusals, *refusals], [*view.alarms, *alarms]

    def _inventory(self) -> Inventory:
        """Software that Allod does not manage; whole only when it is not what was sent last."""
        software = self.world.host.software()
        dpkg, pip = list(software.dpkg), list(software.pip)
        digest = sha256(encode([dpkg, pip]))
        if digest == self.ledger.state.inventory:
            return Inventory(digest=digest)
        told = itertools.takewhile(_room_for(INVENTORY_ROOM), (*pip, *dpkg))
        count = sum(1 for _ in told)
        kept = dpkg[: max(0, count - len(pip))]
        return Inventory(
            digest=digest, dpkg=kept, pip=pip[:count], left_out=len(dpkg) + len(pip) - count
        )


def _room_for(room: int) -> Callable[[HostPackage], bool]:
    """Whether one more fits into so many bytes of a report."""
    used = 0

    def fits(package: HostPackage) -> bool:
        nonlocal used
        used += len(encode(package)) + 1
        return used <= room

    return fits


def _told(
    refused: dict[tuple[str, str], list[str]], outcome: Outcome
) -> tuple[dict[tuple[str, str], list[str]], int]:
    """As many as a report has room for, and how many are left: a delegate's come last."""

    def place(one: tuple[str, str]) -> tuple[bool, tuple[str, str]]:
        wanted = outcome.resolved.packages.get(Purl(one[1]))
        return _manager(wanted) != OWNER, one

    names = sorted(refused, key=place)
    return {name: refused[name] for name in names[:_REFUSALS]}, len(names[_REFUSALS:])


def _numbered(draft: Report, sequence: int, head: str | None) -> Report:
    fields = {name: getattr(draft, name) for name in Report.__struct_fields__}
    fields |= {"sequence": sequence, "previous": head}
    return Report(**{name: fields[name] for name in fields if name not in {"type", "format"}})


def _package(engine: Engine, outcome: Outcome, package: Purl, observed: Observed) -> PackageReport:
    wanted = outcome.resolved.packages.get(package)
    measure = engine.warden.measures.packages.get(package)
    running = observed.running
    measured: Mapping[str, Measured] = {} if measure is None else measure.releases
    releases = [
        _release(observed, digest, level, measured.get(digest))
        for digest, level in sorted(_levels(observed).items())
    ]
    release = observed.running_release
    waiting = [*outcome.plan.waiting, *outcome.findings.waiting]
    return PackageReport(
        package=package,
        state=_state(engine, package, observed),
        releases=releases,
        configuration=ConfigurationOnDevice(
            digest=None if running is None else running.configuration,
            measured=None if measure is None else measure.configuration,
            local=[] if measure is None else list(measure.local),
        ),
        manager=_manager(wanted),
        scope=None if (scope := _scope(wanted)) is None else str(scope),
        pending=[_pending(engine, one) for one in waiting if one.package == package],
        failed=sorted(
            {one.digest for one in observed.failed if one.digest and one.retry_at is None}
        ),
        healthy=_healthy(engine, package, observed),
        constraints=_constraints(engine, package, release),
    )


def _constraints(engine: Engine, package: Purl, release: Release | None) -> list[str]:
    """Those that the running release declares, and what its sandbox can't hold it to."""
    if release is None:
        return []
    unit = engine.bench.unit(package, release)
    left_open = () if unit is None else engine.bench.world.services.unenforced(unit)
    names = [one.id for one in release.constraints]
    services = engine.bench.world.services
    commands = any(check.kind is ProbeKind.COMMAND for check in release.health)
    if commands and services.enforces_access:
        left_open = (*left_open, "its health command runs outside of its sandbox")
    return sorted([*names, *(f"access-open: {says}" for says in left_open)])


def _levels(observed: Observed) -> dict[Digest, _LevelName]:
    names: dict[Level, _LevelName] = {
        Level.TRANSFERRED: "transferred",
        Level.INSTALLED: "installed",
        Level.ACTIVE: "active",
    }
    levels = {digest: names[level] for digest, level in observed.held.items()}
    if observed.running is not None:
        levels[observed.running.digest] = "active"
    return levels


def _release(
    observed: Observed, digest: Digest, level: _LevelName, measured: Measured | None
) -> ReleaseOnDevice:
    described = observed.described.get(digest)
    return ReleaseOnDevice(
        provider="" if described is None else described.provider,
        version="" if described is None else described.version,
        digest=digest,
        level=level,
        measured=measured,
    )


def _state(engine: Engine, package: Purl, observed: Observed) -> str:
    work = works(engine.bench).get(package)
    if work is not None:
        return work.state
    if observed.running is not None:
        return State.ACTIVE
    levels = set(observed.held.values())
    if Level.INSTALLED in levels:
        return State.INSTALLED
    return State.TRANSFERRED if levels else State.ABSENT


def _healthy(engine: Engine, package: Purl, observed: Observed) -> bool | None:
    """Whether its service runs; None: it has none."""
    release = observed.running_release
    if release is None or release.service is None:
        return None
    return engine.bench.world.services.state(package).running


def _manager(wanted: ResolvedPackage | None) -> str:
    return OWNER if wanted is None else wanted.software.manager


def _scope(wanted: ResolvedPackage | None) -> Scope | None:
    if wanted is None:
        return None
    half = wanted.software
    if isinstance(half, ResolvedSoftware) or half.scope is not None:
        return half.scope
    return wanted.configuration.scope


def _pending(engine: Engine, waiting: Waiting) -> Pending:
    progress = None
    if waiting.digest is not None and waiting.what in {"transfer", "install"}:
        progress = engine.bench.world.source.progress(waiting.package, waiting.digest)
    return Pending(
        what=waiting.what,
        version=waiting.version or None,
        digest=waiting.digest,
        waits_for=waiting.waits_for,
        until=None if waiting.until is None else instant(waiting.until),
        asks="consent" in waiting.codes,
        progress=progress,
    )
