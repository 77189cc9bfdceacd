"""What was said in a simulated fleet, in plain values: the truth that devices are held against.

These are written down by whoever says them, at the moment at which they are signed, and are never
read back from a document; `fleet_paper` makes the documents, `fleet_law` and `fleet_oracle` say
what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

OWNER: Final = "owner"


@dataclass(frozen=True, slots=True)
class Rule:
    """A term: its name in documents, and what it says.

    `version`: same-minor or security; `access`: the names that are allowed; `soak`, `lease`:
    seconds; `window`: spans; `rate`: how many in how many seconds; `approvals`: kind and how many;
    `until`: a moment; `consent`: nothing. `scopes`, `packages` and `verbs` frame a delegation.
    """

    kind: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Span:
    """So many minutes from a minute of some days of the week on."""

    days: frozenset[int]
    start: int
    minutes: int


@dataclass(frozen=True, slots=True)
class Wish:
    """One release that somebody wants."""

    provider: str
    version: str
    digest: str
    level: str = "active"
    when: str = "now"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a rollout."""

    at: datetime
    percent: float
    canaries: frozenset[str] = frozenset()
    success: bool = False  #: whether the canaries' reports open it, beside the time
    bake: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """A rollout, and what is wanted where it has not come."""

    id: str
    stages: tuple[Stage, ...]
    before: tuple[Wish, ...]


@dataclass(frozen=True, slots=True)
class Vote:
    """Somebody's approval; `good`: of exactly this entry, and with their own key."""

    kind: str
    person: str
    good: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """What a page says of a package or of all under a pattern."""

    manager: str | None = None  #: of the software; None: not named here
    wishes: tuple[Wish, ...] = ()
    config_manager: str | None = None  #: None: the configuration is not named here
    config: str | None = None  #: None: the release's default
    config_when: str = "now"
    accepts: frozenset[str] = frozenset()
    overrides: frozenset[str] = frozenset()
    plan: Plan | None = None
    votes: tuple[Vote, ...] = ()
    change: str = ""  #: whose number makes an answer at the device this one's


@dataclass(frozen=True, slots=True)
class Reboot:
    """A restart of the machine that was ordered."""

    id: str
    at: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """A document of desired state."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    hold: str | None = None
    windows: tuple[Span, ...] = ()
    reboots: tuple[Reboot, ...] = ()
    rules: tuple[Rule, ...] = ()
    groups: tuple[str, ...] | None = None  #: of a device's page


@dataclass(frozen=True, slots=True)
class Grant:
    """A delegation."""

    id: str
    scopes: frozenset[str]
    packages: tuple[str, ...]
    verbs: frozenset[str]
    rules: tuple[Rule, ...] = ()
    follows: str | None = None  #: provider/channel


@dataclass(frozen=True, slots=True)
class Shelf:
    """A channel's document: package -> version, digest, what it mends."""

    provider: str
    channel: str
    sequence: int
    at: datetime
    expires: datetime
    releases: Mapping[str, tuple[str, str, tuple[str, ...]]]

    @property
    def name(self) -> str:
        """Which channel it is of."""
        return f"{self.provider}/{self.channel}"


@dataclass(frozen=True, slots=True)
class Ware:
    """A release as its provider made it."""

    package: str
    version: str
    provider: str
    digest: str
    access: frozenset[str] = frozenset()
    mends: tuple[str, ...] = ()
    sick: bool = False  #: it fails its health check
    forged: bool = False  #: its provider never signed it, or what is served is something else


@dataclass(frozen=True, slots=True)
class Known:
    """What a device has accepted, and when: which signed files, not what they say."""

    roles: Mapping[str, str]  #: role -> digest of its file
    decided: datetime  #: the time that it decided by
    channels: Mapping[str, str] = field(default_factory=dict)  #: channel -> digest
    gates: Mapping[str, frozenset[int]] = field(default_factory=dict)  #: shown, and lawful
    witnessed: datetime | None = None
