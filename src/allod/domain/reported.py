"""What a device says of itself in a verified report, and who it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from allod.domain.desired import Level
from allod.domain.foreign import ForeignDevice
from allod.domain.ids import DeviceId, Digest, GroupName, Purl, Scope, Version
from allod.domain.resolution import scopes_of


@dataclass(frozen=True, slots=True)
class ActualRelease:
    """One release that the device says it has."""

    version: Version
    digest: Digest
    level: Level
    intact: bool = True  #: its last measurement found every byte as staged
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PendingWork:
    """What the device says it is about to do."""

    what: str
    version: str = ""
    waits_for: str = ""
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class ActualPackage:
    """One package as the device reports it."""

    package: Purl
    state: str
    releases: tuple[ActualRelease, ...] = ()
    configuration: Digest | None = None
    configuration_intact: bool = True
    local: tuple[str, ...] = ()
    pending: tuple[PendingWork, ...] = ()
    failed: frozenset[Digest] = frozenset()
    healthy: bool | None = None
    constraints: tuple[str, ...] = ()

    @property
    def active(self) -> ActualRelease | None:
        """What runs."""
        return next((one for one in self.releases if one.level is Level.ACTIVE), None)


@dataclass(frozen=True, slots=True)
class Remark:
    """A refusal or an alarm: code, what it is about, and words."""

    code: str
    says: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Actual:
    """A device's newest report, verified."""

    heard: datetime  #: the earlier of the device's and the server's word for its time
    sequence: int
    roles: Mapping[str, int]
    packages: Mapping[Purl, ActualPackage]
    refusals: tuple[Remark, ...] = ()
    alarms: tuple[Remark, ...] = ()
    inhibitors: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    restarts: Mapping[str, str] = field(default_factory=dict)  #: id -> state
    changes: tuple[str, ...] = ()  #: since the report before, in words
    stale: bool = False
    logs: Mapping[str, str] = field(default_factory=dict)  #: origin -> size and root that it saw


@dataclass(frozen=True, slots=True)
class Member:
    """A device of the fleet, from its verified binding record and the owner's documents."""

    device: DeviceId
    epoch: int
    groups: tuple[GroupName, ...]
    label: str = ""
    retired: bool = False
    surplus: bool = False
    actual: Actual | None = None
    alarms: tuple[Remark, ...] = ()  #: found here or said by the server
    doubts: tuple[str, ...] = ()  #: why what it last said does not count for its state
    foreign: ForeignDevice | None = None  #: what is on record, where no agent of ours runs

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The scopes that speak to it, in order."""
        return scopes_of(self.device, self.groups)

    @property
    def shown(self) -> str:
        """Its label, or the beginning of its id."""
        return self.label or self.device[:12]
