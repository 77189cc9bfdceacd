"""What a plan depends on besides packages, and what of it holds an activation up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from allod.domain.desired import When
from allod.domain.ids import Digest, ProviderName, Purl
from allod.domain.judgement import ProviderLimits
from allod.domain.observed import Facts, Grounds, Inhibition
from allod.domain.resolution import Resolved
from allod.domain.window import is_open, next_opening


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a plan depends on besides packages."""

    now: datetime  #: the time that the device decides by
    boot: str
    facts: Facts = field(default_factory=Facts)
    inhibitions: tuple[Inhibition, ...] = ()
    withdrawn: Mapping[Digest, str] = field(default_factory=dict)  #: why
    providers: Mapping[ProviderName, ProviderLimits] = field(default_factory=dict)
    documents: frozenset[Digest] = frozenset()  #: configuration documents that are on the device
    grounds: Mapping[Purl, Grounds] = field(default_factory=dict)
    witnessed: datetime | None = None  #: time of the newest evidence of freshness


def gate(
    whens: Iterable[When], resolved: Resolved, around: Surroundings, *, booted: bool
) -> tuple[str, datetime | None]:
    """What an activation has to wait for, and until when if time alone will tell; empty: nothing."""
    if resolved.holds:
        return resolved.holds[0], None
    if booted or When.RESTART in whens:
        return "", None
    if When.WINDOW in whens and not is_open(resolved.windows, around.now):
        opening = next_opening(resolved.windows, around.now)
        if opening is None:
            return "window: no scope sets one", None
        return f"window: opens {opening:%Y-%m-%dT%H:%M:%SZ}", opening
    return busy(around.inhibitions, resolved.override_inhibitors), None


def busy(inhibitions: Iterable[Inhibition], overridden: frozenset[str]) -> str:
    """Who must not be disturbed, in words; empty: nobody. '*' overrides whoever it is."""
    if "*" in overridden:
        return ""
    return next(
        (f"busy: {one.name}: {one.why}" for one in inhibitions if one.name not in overridden),
        "",
    )
