"""What a plan is made of: actions, each of which the engine can carry out, and what waits."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from allod.domain.desired import ReleaseOrder
from allod.domain.ids import Digest, Purl


@dataclass(frozen=True, slots=True)
class Describe:
    """Fetch and verify a release's description."""

    package: Purl
    order: ReleaseOrder


@dataclass(frozen=True, slots=True)
class FetchDocument:
    """Fetch a configuration document."""

    package: Purl
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """Fetch a release's payload."""

    package: Purl
    order: ReleaseOrder
    reasons: tuple[str, ...] = field(default=(), compare=False)  #: what the terms said of it


@dataclass(frozen=True, slots=True)
class Install:
    """Stage a release beside what runs."""

    package: Purl
    order: ReleaseOrder
    attempt: str
    reasons: tuple[str, ...] = field(default=(), compare=False)  #: what the terms said of it


@dataclass(frozen=True, slots=True)
class Member:
    """One package's part in an activation."""

    package: Purl
    digest: Digest | None  #: what is to run; None: nothing
    configuration: Digest | None  #: None: the release's default
    attempt: str
    snapshot: bool = False  #: copy the data before
    restore: int | None = None  #: put back this copy of the data
    reasons: tuple[str, ...] = field(default=(), compare=False)  #: what the terms said of it


@dataclass(frozen=True, slots=True)
class Activate:
    """Switch a unit to what is wanted, now or at the next restart."""

    members: tuple[Member, ...]
    at_restart: bool = False
    booted: bool = False  #: it waited for a restart, and that took place


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take back what waits for the next restart: it is not wanted any more."""

    package: Purl


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a release: the list of whoever decides on it lacks it."""

    package: Purl
    digest: Digest
    reasons: tuple[str, ...] = field(default=(), compare=False)  #: what the terms said of it


Action = Describe | FetchDocument | Transfer | Install | Activate | Cancel | Delete


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is wanted and not yet true, and why not."""

    package: Purl
    what: str
    version: str = ""
    digest: Digest | None = None
    waits_for: str = ""
    until: datetime | None = None  #: when to look again; None: when something happens
    codes: tuple[str, ...] = ()  #: of the terms that it waits for, as `consent`
    attempt: str = ""  #: by which an answer of somebody at the device is known
