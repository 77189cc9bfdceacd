"""What a condition on changes is: the change, the facts, and what a term says of them.

The terms themselves are in `terms`, the one function that asks them in `decision`
(docs/spec/delegation.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final, NamedTuple, Protocol

from allod.domain.desired import Window
from allod.domain.ids import Purl, Scope
from allod.domain.release import Release


class Verb(StrEnum):
    """What a change does to a device."""

    TRANSFER = "transfer"
    INSTALL = "install"
    ACTIVATE = "activate"
    CONFIGURE = "configure"
    DELETE = "delete"
    RESTART = "restart"


#: Verbs after which something else runs: those that a calendar, a person or a pace may hold up.
DISTURBING: Final = frozenset({Verb.ACTIVATE, Verb.CONFIGURE, Verb.DELETE, Verb.RESTART})

#: The agent's own package: never covered by a pattern.
AGENT: Final = Purl("pkg:generic/allod/agent")


class Verdict(StrEnum):
    """What a term says of a change."""

    HOLDS = "holds"  #: the term does not stop it
    OVERRIDDEN = "overridden"  #: the owner set the term aside by name
    WAITS = "waits"  #: not yet: time or a person will tell
    REFUSES = "refuses"  #: never, as it stands


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one package on one device (or of the device itself, for a restart)."""

    verb: Verb
    scope: Scope  #: whose document orders it
    package: Purl
    release: Release | None = None  #: what is to come; None: nothing, or only configuration
    accepted: frozenset[str] = frozenset()  #: access that the owner took on by name
    overrides: frozenset[str] = frozenset()  #: terms that the owner set aside by name


@dataclass(frozen=True, slots=True)
class ChangeFacts:
    """What is known about a change where it is decided. None: not known."""

    running: Release | None = None  #: what runs now
    seen_since: datetime | None = None  #: since when the release is known (soak)
    witnessed: datetime | None = None  #: time of the newest evidence of freshness (lease)
    activated: tuple[datetime, ...] = ()  #: when this manager changed what runs of the package
    approved: Mapping[str, frozenset[str]] = field(default_factory=dict)  #: kind -> people
    consent: bool | None = None  #: of somebody at the device
    mends: frozenset[tuple[str, str]] = frozenset()  #: (source, flaw) that only the new one mends


class Reason(NamedTuple):
    """What one term said of a change, and by which fact."""

    code: str
    verdict: Verdict
    term: Term
    text: str = ""  #: the fact, with a place for each of `values`
    values: tuple[object, ...] = ()
    until: datetime | None = None  #: of WAITS: when to ask again; None: when something happens

    @property
    def fact(self) -> str:
        """What the term looked at, in words: made only where somebody reads them."""
        return self.text.format(*map(_shown, self.values))

    @property
    def says(self) -> str:
        """In words, for reports and people."""
        return f"{self.term.says}: {self.fact}" if self.fact else self.term.says


def _shown(value: object) -> object:
    if isinstance(value, frozenset):
        return ", ".join(sorted(map(str, value)))
    return moment(value) if isinstance(value, datetime) else value


class Term(Protocol):
    """One condition."""

    name: ClassVar[str]  #: by which it stands in documents and is overridden

    @property
    def says(self) -> str:
        """The condition, in words."""
        ...

    def judge(self, change: Change, facts: ChangeFacts, now: datetime) -> Reason:
        """What it says of a change."""
        ...


_UNITS: Final = ((604_800, "week"), (86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def span(seconds: int) -> str:
    """A length of time in its largest whole unit."""
    size, unit = next((one for one in _UNITS if seconds % one[0] == 0 and seconds), _UNITS[-1])
    count = seconds // size
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def moment(at: datetime) -> str:
    """A time to the second, UTC."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def window_text(window: Window) -> str:
    """A window as it is written in a command: `sun:02:00+2h`."""
    days = ",".join(_DAYS[day] for day in sorted(window.days))
    hours, minutes = divmod(window.minutes, 60)
    length = f"{hours}h" if not minutes else f"{window.minutes}m"
    return f"{days}:{window.start // 60:02d}:{window.start % 60:02d}+{length}"
