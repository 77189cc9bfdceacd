"""Desired state: what an owner wants to be true of a group or a device (docs/spec/desired-state.md).

Values only; what they mean together is in `resolution`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from allod.domain.foreign import ForeignDevice
from allod.domain.ids import (
    DeviceId,
    Digest,
    FleetId,
    GroupName,
    ProviderName,
    Purl,
    Scope,
    Version,
)
from allod.domain.release import HealthCheck

if TYPE_CHECKING:
    from allod.domain.approval import Approval
    from allod.domain.condition import Term
    from allod.domain.rollout import Rollout

OWNER = "owner"  #: the manager who is no delegation


class Level(StrEnum):
    """How far a release is wanted on the device; each includes the ones before."""

    TRANSFERRED = "transferred"
    INSTALLED = "installed"
    ACTIVE = "active"


class When(StrEnum):
    """When an activation may happen."""

    NOW = "now"
    RESTART = "restart"
    WINDOW = "window"


class DriftPolicy(StrEnum):
    """What happens with what was changed behind the owner's back, after it is reported."""

    REPORT = "report"
    HEAL = "heal"


@dataclass(frozen=True, slots=True)
class ReleaseOrder:
    """One release in a package's list."""

    provider: ProviderName
    version: Version
    digest: Digest  #: of the OCI manifest
    level: Level
    when: When = When.NOW


@dataclass(frozen=True, slots=True)
class Software:
    """Who decides on a package's releases, and, if the owner does, which."""

    manager: str = OWNER  #: "owner" or a delegation's id
    releases: tuple[ReleaseOrder, ...] = ()

    @property
    def active(self) -> ReleaseOrder | None:
        """The release that is to run, if any."""
        return next((order for order in self.releases if order.level is Level.ACTIVE), None)


@dataclass(frozen=True, slots=True)
class ConfigurationOrder:
    """Who decides on a package's configuration, and, if the owner does, which document."""

    manager: str = OWNER
    digest: Digest | None = None  #: None: the release's default holds
    size: int = 0
    media_type: str = "application/json"
    when: When = When.NOW


@dataclass(frozen=True, slots=True)
class Accepts:
    """What the owner takes on by name, also where a delegate manages."""

    access: frozenset[str] = frozenset()
    constraints: frozenset[str] = frozenset()
    one_way: frozenset[Digest] = frozenset()  #: releases whose data can't be taken back


@dataclass(frozen=True, slots=True)
class ChangeNote:
    """What is signed along with a change: its number in the fleet's history, and why."""

    number: int
    id: str
    at: datetime
    by: str = ""
    message: str = ""
    ticket: str = ""


@dataclass(frozen=True, slots=True)
class PackageEntry:
    """What a scope says of one package (or of all under a purl pattern)."""

    software: Software | None = None  #: None: this scope does not name the software
    configuration: ConfigurationOrder | None = None  #: None: nor the configuration
    together: tuple[Purl, ...] = ()
    health: tuple[HealthCheck, ...] = ()
    accepts: Accepts = field(default_factory=Accepts)
    overrides: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()  #: names of device secrets granted to the package
    rollout: Rollout | None = None  #: what the entry says holds only where its plan has come to
    approvals: tuple[bytes, ...] = ()  #: DSSE envelopes, as they were signed
    approved: tuple[Approval, ...] = ()  #: those of them that hold; never read from a document
    change: ChangeNote | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time in which activations that wait for one may happen (UTC)."""

    days: frozenset[int]  #: 0 Monday … 6 Sunday
    start: int  #: minutes after midnight
    minutes: int  #: its length


@dataclass(frozen=True, slots=True)
class Settings:
    """A scope's settings; None or empty: the scope does not set it."""

    windows: tuple[Window, ...] | None = None
    drift: DriftPolicy | None = None
    retention_releases: int | None = None  #: earlier releases kept per package after commit
    health: tuple[HealthCheck, ...] | None = None  #: the owner's own, for every package
    bandwidth: int | None = None  #: bytes per second
    override_inhibitors: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Restart:
    """A restart of the device: done once between `at` and `latest`, never repeated."""

    id: str
    at: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """What only the owner's document of one device can say of it."""

    epoch: int
    status: str = "active"  #: "active", "retired", or "foreign": only on record
    groups: tuple[GroupName, ...] | None = None  #: None: the invite's
    label: str = ""
    replaces: DeviceId | None = None
    foreign: ForeignDevice | None = None  #: what is on record of a device that no agent runs on


@dataclass(frozen=True, slots=True)
class StateDocument:
    """A scope's desired state. Entries that could not be read stand in `unreadable`."""

    fleet: FleetId
    scope: Scope
    packages: Mapping[str, PackageEntry] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)  #: key -> reason
    settings: Settings = field(default_factory=Settings)
    restarts: tuple[Restart, ...] = ()
    hold: str | None = None  #: why nothing may change; None: no hold
    terms: tuple[Term, ...] = ()  #: that hold in this scope for whoever decides, the owner too
    author: str = OWNER  #: or the id of the delegation whose document it is
    device: DeviceRecord | None = None  #: only where scope.kind is "devices"
    change: ChangeNote | None = None  #: the last change of the document
