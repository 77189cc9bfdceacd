"""A fleet with devices of one group, a rollout over them, and what they report of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Software
from allod.domain.ids import Digest, ProviderName, Purl, Version, group_scope, parse_group, sha256
from allod.domain.rollout import Rollout, Stage
from allod.server import keys
from allod.testing.server import ServerRig, SimulatedDevice
from allod.wire.codec import instant
from allod.wire.report import (
    ChangeReport,
    ConfigurationOnDevice,
    PackageReport,
    ReleaseOnDevice,
)
from allod.wire.rollout_state import RolloutState

PACKAGE = Purl("pkg:generic/acme/toaster")
OLD, NEW = sha256(b"toaster 1"), sha256(b"toaster 2")
SCOPE = group_scope(parse_group("kitchen"))


def order(digest: Digest, version: str, level: Level = Level.ACTIVE) -> ReleaseOrder:
    """A release that is wanted."""
    return ReleaseOrder(ProviderName("acme"), Version(version), digest, level)


def entry(plan: Rollout | None) -> PackageEntry:
    """Toaster 2, and before it toaster 1."""
    after = Software(releases=(order(NEW, "2"), order(OLD, "1", Level.INSTALLED)))
    return PackageEntry(software=after, rollout=plan)


@dataclass
class RolloutRig:
    """A rollout, as a test speaks of it."""

    rig: ServerRig
    devices: dict[str, SimulatedDevice] = field(default_factory=dict)

    def name_gate_key(self) -> None:
        """The owner names the server's gate key, as `allod init` does."""
        key = keys.public_key(keys.load_signer(self.rig.settings.layout, "gate"))
        people = self.rig.server.fleets.need(self.rig.fleet).document.people
        self.rig.change(self.rig.simulator.set_fleet(gate_key=key, people=people))

    def bind(self, *names: str) -> None:
        """Bind devices; each is known by its name from now on."""
        for name in names:
            self.devices[name] = self.rig.bound(name, uses=len(names) + 99, invite=f"invite-{name}")

    def plan(self, *stages: Stage, id: str = "r1", **fields: Any) -> Rollout:  # noqa: A002
        """A plan whose first stage is due now."""
        before = Software(releases=(order(OLD, "1"),))
        return Rollout(id, stages, before=before, **fields)

    def stage(self, percent: float = 0.0, *, canaries: Iterable[str] = (), **fields: Any) -> Stage:
        """A stage; `after` hours from now."""
        after = timedelta(hours=fields.pop("after", 0))
        named = frozenset(self.devices[one].id for one in canaries)
        return Stage(self.rig.clock.moment + after, percent, named, **fields)

    def order(self, plan: Rollout | None) -> None:
        """Publish it."""
        self.rig.change(self.rig.simulator.set_packages(SCOPE, {PACKAGE: entry(plan)}))

    def says(
        self,
        name: str,
        digest: Digest = NEW,
        *,
        changed: bool = False,
        failed: bool = False,
        reverted: bool = False,
        healthy: bool | None = True,
        configuration: Digest | None = None,
        **fields: Any,
    ) -> bytes:
        """What a device hands in: this release runs; perhaps as of now, or another failed."""
        now = instant(self.rig.clock.moment)
        changes = []
        if changed:
            change = ChangeReport(at=now, package=PACKAGE, what="activated", after=digest)
            changes.append(change)
        if reverted:
            change = ChangeReport(
                at=now, package=PACKAGE, what="reverted", after=NEW, outcome="reverted", why="sick"
            )
            changes.append(change)
        package = PackageReport(
            package=PACKAGE,
            state="idle",
            releases=[
                ReleaseOnDevice(
                    provider="acme",
                    version="2" if digest == NEW else "1",
                    digest=digest,
                    level="active",
                ),
                ReleaseOnDevice(
                    provider="acme",
                    version="1" if digest == NEW else "2",
                    digest=OLD if digest == NEW else NEW,
                    level="installed",
                ),
            ],
            configuration=ConfigurationOnDevice(digest=configuration),
            failed=[NEW] if failed else [],
            healthy=healthy,
        )
        device = self.devices[name]
        report = device.report(**{"at": now, "packages": [package], "changes": changes, **fields})
        self.rig.server.receive_report(self.rig.fleet, device.id, report)
        return report

    def look(self, **span: float) -> RolloutState:
        """Let time pass, let the controller look, and ask how the rollout stands."""
        self.rig.clock.pass_time(**span)
        self.rig.server.rollouts.look(self.rig.fleet)
        return self.rig.server.rollouts.show(self.rig.fleet, "r1")

    def gate(self, number: int) -> bytes | None:
        """The gate of a stage, as devices get it."""
        path = self.rig.server.stores.layout.fleet(self.rig.fleet).served(f"gates/r1/{number}.json")
        assert path is not None
        return path.read_bytes() if path.exists() else None
