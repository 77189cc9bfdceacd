"""What a device has: the facts from which a plan is made. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from allod.domain.desired import Level
from allod.domain.ids import Digest, Purl
from allod.domain.release import Release


@dataclass(frozen=True, slots=True)
class Running:
    """What is active of a package: read from the device, not from intentions."""

    number: int  #: of the activation
    digest: Digest
    configuration: Digest | None  #: of the document; None: the release's default


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that did not work out."""

    attempt: str  #: what was tried: see `plan.attempt_of`
    digest: Digest
    reason: str
    at: datetime
    retry_at: datetime | None = None  #: None: not before something newer is signed
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Armed:
    """An activation that waits for the next restart of the machine."""

    attempt: str
    boot: str  #: the boot during which it was prepared
    packages: tuple[Purl, ...]  #: all that go together
    managers: frozenset[str] = frozenset()  #: by whose word


@dataclass(frozen=True, slots=True)
class Observed:
    """What the device has of one package."""

    package: Purl
    held: Mapping[Digest, Level] = field(default_factory=dict)  #: transferred or installed
    described: Mapping[Digest, Release] = field(default_factory=dict)
    running: Running | None = None
    failed: tuple[Failure, ...] = ()
    history: tuple[Digest, ...] = ()  #: releases that were active, newest first
    schema: int | None = None  #: under which its data is written; None: no data
    snapshots: Mapping[int, int] = field(default_factory=dict)  #: number -> schema
    armed: Armed | None = None
    stuck: str = ""  #: why an earlier piece of work could not be brought to its end yet
    #: Described, and not yet found to meet what the owner asks of its provider now.
    unvetted: frozenset[Digest] = frozenset()

    @property
    def running_release(self) -> Release | None:
        """The description of what runs."""
        return None if self.running is None else self.described.get(self.running.digest)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the device is, as far as releases ask."""

    hardware: frozenset[str] = frozenset()
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class Inhibition:
    """Somebody asks not to be disturbed."""

    name: str
    why: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a device remembers of a package besides what it has: facts for terms."""

    seen: Mapping[Digest, datetime] = field(default_factory=dict)  #: release -> known since
    activated: tuple[datetime, ...] = ()  #: when its present manager changed what runs
    consent: Mapping[str, bool] = field(default_factory=dict)  #: attempt -> what was answered
    #: release -> (source, flaw) that it mends and the running one has, by verifiers' evidence
    mends: Mapping[Digest, frozenset[tuple[str, str]]] = field(default_factory=dict)
