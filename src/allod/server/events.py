"""What happened to a fleet: the projection is written by these events, and by nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from allod.domain.ids import DeviceId, Digest, FleetId
from allod.wire.entry import ChangeNote
from allod.wire.proposal import ProposalState


@dataclass(frozen=True, slots=True)
class Published:
    """A publication of a fleet took place."""

    fleet: FleetId
    news: int
    at: datetime
    kind: str  #: genesis, change, refresh or restore
    roles: Mapping[str, int]  #: versions that it published
    targets: tuple[str, ...] = ()
    change: ChangeNote | None = None


@dataclass(frozen=True, slots=True)
class FleetRead:
    """The newest verified documents say this of the fleet."""

    fleet: FleetId
    name: str
    public: bool
    news: int
    trust: int
    versions: Mapping[str, int]
    restored: bool = False


@dataclass(frozen=True, slots=True)
class DeviceDocumented:
    """The owner's own document of a device says this of it."""

    fleet: FleetId
    device: DeviceId
    epoch: int
    status: str
    label: str
    groups: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Bound:
    """A binding record was verified and kept."""

    fleet: FleetId
    device: DeviceId
    epoch: int
    invite: str
    groups: tuple[str, ...]
    key: str  #: the device's public key as JSON
    received: datetime
    surplus: bool
    facts: Mapping[str, str] = field(default_factory=dict)
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Reported:
    """A report was verified and kept."""

    fleet: FleetId
    device: DeviceId
    epoch: int
    sequence: int
    digest: Digest  #: of the payload
    previous: str | None
    kind: str
    received: datetime
    agent: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    forked: bool = False
    head: str | None = None  #: digest of the newest report with changes, this one included


@dataclass(frozen=True, slots=True)
class AlarmRaised:
    """Something that the owner should look at."""

    fleet: FleetId
    code: str
    subject: str
    says: str
    since: datetime


@dataclass(frozen=True, slots=True)
class TokenIssued:
    """A named token of the API exists."""

    fleet: FleetId
    id: str
    name: str
    scopes: tuple[str, ...]
    hash: str  #: SHA-256 of the secret, hex
    created: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class TokenRevoked:
    """A named token of the API is gone."""

    fleet: FleetId
    id: str


@dataclass(frozen=True, slots=True)
class ReportForgotten:
    """An old heartbeat was removed."""

    fleet: FleetId
    device: DeviceId
    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class ProposalKept:
    """A proposal was kept, or has become another."""

    fleet: FleetId
    id: str
    author: str
    by: str
    at: str  #: as its author says
    message: str
    ticket: str
    state: ProposalState
    received: datetime
    packages: tuple[str, ...]
    approvals: int


@dataclass(frozen=True, slots=True)
class ChannelTaken:
    """A provider's channel document was logged and published."""

    fleet: FleetId
    provider: str
    channel: str
    sequence: int
    digest: Digest  #: of the payload
    at: datetime  #: as the provider says
    expires: datetime
    received: datetime
    news: int
    log: str | None = None  #: origin of the authority log that has it
    index: int | None = None  #: of its entry


Event = (
    Published
    | FleetRead
    | DeviceDocumented
    | Bound
    | Reported
    | AlarmRaised
    | TokenIssued
    | TokenRevoked
    | ReportForgotten
    | ProposalKept
    | ChannelTaken
)
