"""What is new about flaws of what runs: each flaw of each part is told once, and when it is gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from allod.advisories.finding import Finding, Level
from allod.cli.vulnerabilities.found import Line
from allod.cli.vulnerabilities.words import level_says
from allod.domain.ids import sha256
from allod.wire.codec import Document, instant

TOLD: Final = 100  #: that one look tells one by one; the worst
_BEGINNING: Final = 12  #: characters of a device's id that are kept
_DEVICES: Final = 100  #: that are named in one event
_Part = tuple[str, str, str]


class Known(Document, frozen=True, kw_only=True):
    """A flaw of a part that was told, and is there."""

    names: list[str]
    ecosystem: str
    name: str
    version: str
    level: str
    since: str
    devices: str  #: beginnings of the ids of those that have it
    count: int
    exploited: bool = False

    @property
    def part(self) -> _Part:
        """What has it."""
        return (self.ecosystem, self.name, self.version)


class FlawEvent(Document, frozen=True, kw_only=True):
    """What is told, to people and to hooks; the same `id`: the same event."""

    type: Literal["allod.flaw"] = "allod.flaw"
    format: Literal[1] = 1
    id: str
    fleet: str
    code: Literal["new-flaw", "flaw-exploited", "flaw-gone", "more-flaws"]
    event: Literal["found", "exploited", "gone", "more"]
    at: str
    says: str
    flaw: str = ""
    aliases: list[str] = []  # noqa: RUF012 - msgspec copies it
    level: str = "unknown"
    exploited: bool = False
    ecosystem: str = ""
    name: str = ""
    version: str = ""
    purl: str = ""
    fixed: list[str] = []  # noqa: RUF012
    releases: list[str] = []  # noqa: RUF012 - in the store, that have it no more
    where: list[str] = []  # noqa: RUF012
    devices: list[str] = []  # noqa: RUF012 - at most a hundred
    count: int = 0  #: of devices, or of more flaws


def step(
    known: Sequence[Known],
    lines: Iterable[Line],
    dark: frozenset[str],
    *,
    fleet: str,
    now: datetime,
) -> tuple[list[Known], tuple[FlawEvent, ...]]:
    """What is known after a look, and what is to be told, worst first.

    Args:
        known: after the look before.
        lines: that were found now.
        dark: devices of which not everything could be seen: what they had is not gone.
        fleet: whose it is.
        now: of the look.
    """
    before: dict[_Part, list[Known]] = {}
    for one in known:
        before.setdefault(one.part, []).append(one)
    hidden = {device[:_BEGINNING] for device in dark}
    after: list[Known] = []
    events: list[FlawEvent] = []
    seen: set[int] = set()
    for line, devices in _counting(lines):
        old = _same(before.get(line.part, ()), line.finding, seen)
        if old is not None:
            seen.add(id(old))
        exploited = line.finding.exploited is not None
        after.append(_known(line, devices, old, now))
        if old is None:
            events.append(_event(fleet, "found", line, devices, now))
        elif exploited and not old.exploited:
            events.append(_event(fleet, "exploited", line, devices, now))
    for one in known:
        if id(one) in seen:
            continue
        if hidden.isdisjoint(one.devices.split()):
            events.append(_gone(fleet, one, now))
        else:
            after.append(one)
    return after, _bounded(events, fleet, now)


def _counting(lines: Iterable[Line]) -> Iterator[tuple[Line, list[str]]]:
    """Those that count, one a flaw of a part, with all devices that have it."""
    found: dict[tuple[str, _Part], tuple[Line, set[str]]] = {}
    for line in lines:
        if line.finding.counts:
            key = (line.finding.id, line.part)
            entry = found.setdefault(key, (line, set()))
            entry[1].update(place.device for place in line.places)
    for line, devices in found.values():
        yield line, sorted(devices)


def _same(known: Iterable[Known], finding: Finding, seen: set[int]) -> Known | None:
    """The one that was told of it, under whichever of its names."""
    names = finding.names
    return next(
        (one for one in known if id(one) not in seen and not names.isdisjoint(one.names)), None
    )


def _known(line: Line, devices: list[str], old: Known | None, now: datetime) -> Known:
    finding, component = line.finding, line.finding.component
    return Known(
        names=sorted(finding.names),
        ecosystem=component.ecosystem,
        name=component.name,
        version=component.version,
        level=str(finding.level),
        since=instant(now) if old is None else old.since,
        devices=" ".join(device[:_BEGINNING] for device in devices),
        count=len(devices),
        exploited=finding.exploited is not None,
    )


_CODES: Final[Mapping[str, Literal["new-flaw", "flaw-exploited"]]] = {
    "found": "new-flaw",
    "exploited": "flaw-exploited",
}


def _event(
    fleet: str,
    event: Literal["found", "exploited"],
    line: Line,
    devices: list[str],
    now: datetime,
) -> FlawEvent:
    one, component = line.finding, line.finding.component
    part = f"{component.name} {component.version}"
    count = "1 device" if len(devices) == 1 else f"{len(devices)} devices"
    verb = "is in" if event == "found" else "is exploited, and in"
    known = ", known to be exploited," if one.exploited is not None and event == "found" else ""
    return FlawEvent(
        id=_id(fleet, event, one.id, line.part, now),
        fleet=fleet,
        code=_CODES[event],
        event=event,
        at=instant(now),
        says=f"{one.id} ({level_says(one.level)}){known} {verb} {part} on {count}",
        flaw=one.id,
        aliases=list(one.aliases),
        level=str(one.level),
        exploited=one.exploited is not None,
        ecosystem=component.ecosystem,
        name=component.name,
        version=component.version,
        purl=component.said.purl,
        fixed=list(one.fixed),
        releases=[release.shown for release in line.releases],
        where=list(dict.fromkeys(ware.name for ware in line.wares))[:_DEVICES],
        devices=devices[:_DEVICES],
        count=len(devices),
    )


def _gone(fleet: str, known: Known, now: datetime) -> FlawEvent:
    flaw = next((one for one in known.names if one.startswith("CVE-")), known.names[0])
    return FlawEvent(
        id=_id(fleet, "gone", flaw, known.part, now),
        fleet=fleet,
        code="flaw-gone",
        event="gone",
        at=instant(now),
        says=f"{flaw} is found no more: it was in {known.name} {known.version}",
        flaw=flaw,
        aliases=[one for one in known.names if one != flaw],
        level=known.level,
        exploited=known.exploited,
        ecosystem=known.ecosystem,
        name=known.name,
        version=known.version,
        count=known.count,
    )


def _id(fleet: str, event: str, flaw: str, part: _Part, now: datetime) -> str:
    said = "\0".join((fleet, event, flaw, *part, instant(now)))
    return sha256(said.encode()).removeprefix("sha256:")[:32]


def _bounded(events: list[FlawEvent], fleet: str, now: datetime) -> tuple[FlawEvent, ...]:
    """The worst are told one by one; how many more there are, in one."""
    order = tuple(str(level) for level in Level)
    worst = sorted(events, key=lambda one: (one.event == "gone", order.index(one.level)))
    told, more = worst[:TOLD], worst[TOLD:]
    if more:
        says = f"and {len(more)} more; 'allod vulnerabilities' shows them"
        last = FlawEvent(
            id=_id(fleet, "more", "", ("", "", ""), now),
            fleet=fleet,
            code="more-flaws",
            event="more",
            at=instant(now),
            says=says,
            count=len(more),
        )
        told.append(last)
    return tuple(told)


def unheard(known: Sequence[Known], lines: Iterable[Line]) -> Iterator[Line]:
    """The lines that `step` would tell as new."""
    before: dict[_Part, list[Known]] = {}
    for one in known:
        before.setdefault(one.part, []).append(one)
    for line in lines:
        if line.finding.counts and not _same(before.get(line.part, ()), line.finding, set()):
            yield line
