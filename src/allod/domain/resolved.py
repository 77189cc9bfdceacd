"""What documents mean for one device, as values: made by `resolution`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from allod.domain.approval import Approval
from allod.domain.condition import Term
from allod.domain.delegation import Channel
from allod.domain.desired import (
    OWNER,
    Accepts,
    ConfigurationOrder,
    DriftPolicy,
    ReleaseOrder,
    Restart,
    Software,
    Window,
)
from allod.domain.ids import Purl, Scope
from allod.domain.release import HealthCheck
from allod.domain.rollout import Rollout

DEFAULT_RETENTION: Final = 1  #: earlier releases kept after commit, unless the owner says otherwise


@dataclass(frozen=True, slots=True)
class ResolvedSoftware:
    """Which releases of a package are wanted, by whose word, and where that stands."""

    scope: Scope
    releases: tuple[ReleaseOrder, ...]
    accepts: Accepts
    overrides: frozenset[str]
    together: tuple[Purl, ...]
    change: str  #: id of the change that last touched the entry; empty: unknown
    manager: str = OWNER  #: or a delegation's id
    terms: tuple[Term, ...] = ()  #: that every change of it is held to
    approved: tuple[Approval, ...] = ()
    channel: Channel | None = None  #: that the word came from
    rollout: Rollout | None = None  #: that the entry is part of

    @property
    def active(self) -> ReleaseOrder | None:
        """The release that is to run, if any."""
        return Software(OWNER, self.releases).active


@dataclass(frozen=True, slots=True)
class ResolvedConfiguration:
    """Which configuration document is wanted, by whose word, and where that stands."""

    scope: Scope
    order: ConfigurationOrder
    change: str
    manager: str = OWNER
    terms: tuple[Term, ...] = ()
    overrides: frozenset[str] = frozenset()
    approved: tuple[Approval, ...] = ()
    rollout: Rollout | None = None


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Why nobody's word counts for this half of a package; it stays as it is."""

    code: str
    reason: str
    scope: Scope | None = None
    manager: str = OWNER


@dataclass(frozen=True, slots=True)
class ResolvedRestart:
    """A restart of the machine that is ordered, by whose word."""

    scope: Scope
    restart: Restart
    manager: str = OWNER
    terms: tuple[Term, ...] = ()  #: that it is held to

    @property
    def attempt(self) -> str:
        """By which an answer of somebody at the device is known."""
        return f"restart|{self.manager}|{self.scope}|{self.restart.id}"


@dataclass(frozen=True, slots=True)
class ResolvedPackage:
    """What is wanted of one package."""

    package: Purl
    software: ResolvedSoftware | Unresolved
    configuration: ResolvedConfiguration | Unresolved
    health: tuple[HealthCheck, ...] = ()  #: the owner's own, from the deciding entries and scopes
    secrets: frozenset[str] = frozenset()  #: granted by the deciding entries


@dataclass(frozen=True, slots=True)
class Resolved:
    """Everything that the owner's documents mean for one device."""

    packages: Mapping[Purl, ResolvedPackage] = field(default_factory=dict)
    windows: tuple[Window, ...] = ()
    drift: DriftPolicy = DriftPolicy.REPORT
    retention: int = DEFAULT_RETENTION
    bandwidth: int | None = None  #: bytes per second
    override_inhibitors: frozenset[str] = frozenset()
    holds: tuple[str, ...] = ()  #: why nothing may change; empty: it may
    restart_orders: tuple[ResolvedRestart, ...] = ()
    unreadable: tuple[tuple[Scope, str, str], ...] = ()  #: scope, key, reason
    terms: tuple[Term, ...] = ()  #: of all scopes, for what concerns the device as a whole

    @property
    def restarts(self) -> tuple[tuple[Scope, Restart], ...]:
        """The restarts that are ordered, whoever orders them."""
        return tuple((one.scope, one.restart) for one in self.restart_orders)
