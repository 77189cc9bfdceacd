"""One whole device, run by run, and the owner who tells it what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from allod.agent.engine import Engine, EngineSettings
from allod.agent.engine_context import Outcome
from allod.agent.engine_ports import World
from allod.agent.engine_report import Reporter
from allod.agent.reporting import Ledger
from allod.agent.state_dir import StateDir, open_state
from allod.agent.view import View
from allod.domain.condition import Term, Verb
from allod.domain.delegation import Delegate, Delegation
from allod.domain.desired import (
    Accepts,
    ChangeNote,
    ConfigurationOrder,
    Level,
    PackageEntry,
    ReleaseOrder,
    Software,
    StateDocument,
    When,
)
from allod.domain.ids import (
    DeviceId,
    Digest,
    FleetId,
    GroupName,
    ProviderName,
    Purl,
    Scope,
    Version,
    group_scope,
    sha256,
)
from allod.domain.release import Kind, Release, Service
from allod.testing.agent import Hardware, make_hardware
from allod.testing.faults import Faults, Frail
from allod.testing.machine import START, FakeKey
from allod.tlog.lines import write_base64
from allod.tlog.merkle import EMPTY_ROOT
from allod.wire.report import Authority, Report, SeenCheckpoint, TrustState
from allod.wire.trust import FleetDocument, Withdrawal

FLEET: Final = FleetId("f" * 64)
DEVICE: Final = DeviceId("d" * 64)
KITCHEN: Final = GroupName("kitchen")
TOASTER: Final = Purl("pkg:generic/acme/toaster")
ACME: Final = ProviderName("acme")
_SPARED: Final = frozenset(
    {"now", "monotonic", "sleep", "boot_id", "name", "enforces_access", "facts", "uptime"}
)


def release_of(version: str, package: Purl = TOASTER, **fields: Any) -> Release:
    """A release with a service."""
    wanted: dict[str, Any] = {
        "package": package,
        "version": Version(version),
        "provider": ACME,
        "kind": Kind.TREE,
        "service": Service("app", ("bin/app", "{config}/config")),
    }
    return Release(**{**wanted, **fields})


@dataclass(slots=True)
class Owner:
    """Signs what should be true; here, only says it."""

    documents: dict[Scope, StateDocument] = field(default_factory=dict)
    groups: tuple[GroupName, ...] = (KITCHEN,)
    withdrawn: dict[Digest, str] = field(default_factory=dict)
    changes: int = 0
    drift: str = "heal"
    delegates: dict[str, Delegate] = field(default_factory=dict)
    gates: dict[str, frozenset[int]] = field(default_factory=dict)
    witnessed: datetime | None = None

    def note(self) -> ChangeNote:
        """The next change."""
        self.changes += 1
        return ChangeNote(self.changes, f"change-{self.changes}", START)

    def document(self, scope: Scope | None = None) -> StateDocument:
        """The document of a scope; an empty one if there is none."""
        scope = scope or group_scope(KITCHEN)
        return self.documents.get(scope) or StateDocument(FLEET, scope)

    def sign(self, package: Purl = TOASTER, *, scope: Scope | None = None, **fields: Any) -> None:
        """Replace fields of a package's entry."""
        document = self.document(scope)
        entry = document.packages.get(package, PackageEntry())
        values = {name: getattr(entry, name) for name in PackageEntry.__slots__}
        entry = PackageEntry(**{**values, "change": self.note(), **fields})
        self.replace(document, packages={**document.packages, str(package): entry})

    def replace(self, document: StateDocument, **fields: Any) -> None:
        """Replace fields of a document."""
        values = {name: getattr(document, name) for name in StateDocument.__slots__}
        self.documents[document.scope] = StateDocument(**{**values, **fields})

    def deploy(
        self,
        release: tuple[Release, Digest],
        *,
        level: Level = Level.ACTIVE,
        when: When = When.NOW,
        keep: tuple[tuple[Release, Digest], ...] = (),
        **fields: Any,
    ) -> None:
        """Order a release, with the access that it needs accepted."""
        orders = [_order(release, level, when)]
        orders += [_order(one, Level.INSTALLED, When.NOW) for one in keep]
        wanted = {"accepts": Accepts(access=release[0].access)} | fields
        self.sign(release[0].package, software=Software(releases=tuple(orders)), **wanted)

    def configure(
        self, document: Digest | None, package: Purl = TOASTER, when: When = When.NOW
    ) -> None:
        """Order a configuration."""
        self.sign(package, configuration=ConfigurationOrder(digest=document, when=when))

    def grant(
        self, name: str, *terms: Term, packages: tuple[str, ...] = (TOASTER,), **fields: Any
    ) -> None:
        """Let somebody decide on packages of the kitchen, by exact name or pattern."""
        scope = group_scope(KITCHEN)
        delegation = Delegation(
            name, frozenset({scope}), packages, fields.pop("verbs", frozenset(Verb)), terms
        )
        self.delegates[name] = Delegate(delegation, **fields)
        for package in packages:
            self.sign(Purl(package), software=Software(manager=name), accepts=Accepts())

    def speak(self, name: str, release: tuple[Release, Digest], when: When = When.NOW) -> None:
        """A delegate orders a release."""
        orders = Software(releases=(_order(release, Level.ACTIVE, when),))
        entry = PackageEntry(software=orders, change=self.note())
        self.write(name, packages={str(release[0].package): entry})

    def write(self, name: str, **fields: Any) -> None:
        """A delegate's document for the kitchen: what stands in it, and nothing else."""
        scope = group_scope(KITCHEN)
        document = StateDocument(FLEET, scope, author=name, **fields)
        delegation = self.delegates[name].delegation
        self.delegates[name] = Delegate(delegation, {scope: document})

    def view(self) -> View:
        """As a device accepts it."""
        return View(
            fleet_id=FLEET,
            device=DEVICE,
            epoch=1,
            fleet=msgspec.convert(
                {
                    "type": "allod.fleet",
                    "format": 1,
                    "fleet": FLEET,
                    "name": "home",
                    "defaults": {"drift": self.drift},
                },
                FleetDocument,
            ),
            groups=self.groups,
            documents=dict(self.documents),
            authorities={
                scope: self._authority(scope.target_path, "targets") for scope in self.documents
            },
            raw={},
            providers={},
            withdrawn={
                digest: Withdrawal(digest=digest, why=why) for digest, why in self.withdrawn.items()
            },
            trust=TrustState(root=1, trust=1, roles={}, time="2026-01-01T00:00:00Z"),
            accepted_at=START,
            delegates=dict(self.delegates),
            delegate_authorities={
                (name, scope): self._authority(f"by/{name}/{scope}.json", f"delegation-{name}")
                for name, delegate in self.delegates.items()
                for scope in delegate.delegation.scopes
            },
            gates=dict(self.gates),
            witnessed=self.witnessed,
        )

    def _authority(self, document: str, role: str) -> Authority:
        return Authority(
            document=document,
            digest=sha256(b""),
            role=role,
            version=self.changes,
            change=self.changes,
            log_index=self.changes,
            checkpoint=SeenCheckpoint(
                origin=f"allod.dev/log/{FLEET}/authority",
                size=self.changes + 1,
                root=write_base64(EMPTY_ROOT),
            ),
        )


def _order(release: tuple[Release, Digest], level: Level, when: When) -> ReleaseOrder:
    description, digest = release
    return ReleaseOrder(description.provider, description.version, digest, level, when)


class FakeDevice:
    """A device; `run` is one run of its worker.

    Args:
        directory: its state directory.
    """

    def __init__(self, directory: Path) -> None:
        self.state: StateDir = open_state(directory)
        self.hardware: Hardware = make_hardware(self.state)
        self.server: list[bytes] = []  #: envelopes that were acknowledged
        self.own: int | None = None  #: the activation of the agent that the worker runs from
        self.rejected = ""  #: the one whose trial the supervisor ended
        self.settings = EngineSettings()
        self.engine: Engine | None = None
        self.outcome: Outcome | None = None
        self.report: Report | None = None
        self.last_view: View | None = None

    # -- the world

    def publish(
        self, version: str, package: Purl = TOASTER, **fields: Any
    ) -> tuple[Release, Digest]:
        """Make a release available; its digest."""
        payload = fields.pop("payload", f"payload of {package} {version}".encode())
        release = release_of(version, package, **fields)
        digest = sha256(f"{package}@{version}".encode() + payload)
        self.hardware.source.remote[digest] = (release, payload)
        return release, digest

    def publish_document(self, content: bytes) -> Digest:
        """Make a configuration document available; its digest."""
        digest = sha256(content)
        self.hardware.source.documents[digest] = content
        return digest

    def runs(self, package: Purl = TOASTER) -> tuple[Digest, str] | None:
        """What really runs: release and configuration."""
        return self.hardware.services.runs.get(package)

    def version(self, package: Purl = TOASTER) -> str | None:
        """The version that really runs."""
        found = self.runs(package)
        if found is None:
            return None
        return self.hardware.source.remote[found[0]][0].version

    def pass_time(self, **spans: float) -> None:
        """Let time pass."""
        span = timedelta(**spans)
        self.hardware.clock.wall += span
        self.hardware.clock.ticks += span.total_seconds()

    def reboot(self) -> None:
        """Restart the machine; its init system starts again what it is to run."""
        self.hardware.clock.boot += 1
        units = dict(self.hardware.services.units)
        self.hardware.services.runs.clear()
        for unit in units.values():
            self.hardware.services.units.pop(unit.package)
            self.hardware.services.start(unit)

    # -- the worker

    def world(self, faults: Faults | None = None) -> World:
        """All ports, each call of which may be struck."""
        ports: Mapping[str, Any] = self.hardware.ports()
        if faults is not None:
            ports = {name: Frail(port, faults, _SPARED) for name, port in ports.items()}
        return World(**ports)

    def run(self, view: View, faults: Faults | None = None) -> Outcome:
        """What the worker does: recover, converge, report, hand in, restart if it is due."""
        key: Any = FakeKey() if faults is None else Frail(FakeKey(), faults)
        self.report = None
        ledger = Ledger(self.state.reports, key)
        world = self.world(faults)
        engine = Engine(
            self.state, world, ledger, self.settings, own=self.own, rejected=self.rejected
        )
        self.engine = engine
        engine.recover(self.last_view)
        self.last_view = view
        outcome = engine.converge(view)
        self.outcome = outcome
        if not outcome.handed_over:
            engine.prove()
        self.report = Reporter(world, ledger).report(engine, outcome, view)
        ledger.deliver(self._post(faults))
        engine.restart(outcome)
        return outcome

    def _post(self, faults: Faults | None) -> Any:
        def post(envelope: bytes) -> bytes:
            if envelope not in self.server:
                self.server.append(envelope)
            return b""

        if faults is None:
            return post
        return lambda envelope: faults.call("Transport.post", lambda: post(envelope))

    def said(self) -> list[dict[str, Any]]:
        """All reports that the server has, in the order in which they came."""
        return [msgspec.json.decode(envelope.partition(b"\n")[2]) for envelope in self.server]
