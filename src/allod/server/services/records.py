"""The record of one publication: what took place, for history and for a rebuild."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from allod.domain.ids import FleetId, parse_digest
from allod.server.events import ChannelTaken, Event, Published
from allod.server.layout import FleetDirectory
from allod.wire.codec import Document, decode, instant, parse_instant
from allod.wire.entry import ChangeNote

_RECORD_CAP: Final = 4 * 1024 * 1024
Kind = Literal["genesis", "change", "refresh", "restore", "channel"]


class TakenChannel(Document, frozen=True, kw_only=True):
    """The provider's document that a publication of kind `channel` carried."""

    provider: str
    channel: str
    sequence: int
    digest: str  #: of its payload
    at: str
    expires: str
    log: str | None = None  #: origin of the log that has it
    index: int | None = None  #: of its entry


class Record(Document, frozen=True, kw_only=True):
    """`publications/<news>.json`: what was published, and when."""

    type: Literal["allod.publication"] = "allod.publication"
    format: Literal[1] = 1
    fleet: str
    news: int
    at: str
    kind: Kind
    roles: dict[str, int]
    targets: list[str]
    change: ChangeNote | None = None
    upload: str | None = None  #: digest of the upload, so that it is known when it comes again
    taken: TakenChannel | None = None


def newest_news(directory: FleetDirectory) -> int:
    """The highest counter of a publication that was recorded; 0 if there is none."""
    names = sorted((directory.root / "publications").glob("*.json"))
    return int(names[-1].stem) if names else 0


def read_record(directory: FleetDirectory, news: int) -> Record | None:
    """The record of a publication."""
    try:
        data = directory.publication(news).read_bytes()
    except FileNotFoundError:
        return None
    return decode(data, Record, cap=_RECORD_CAP, what=f"the record of publication {news}")


def make_record(
    state_news: int,
    fleet: FleetId,
    kind: Kind,
    now: datetime,
    *,
    roles: Mapping[str, int],
    targets: tuple[str, ...] = (),
    change: ChangeNote | None = None,
    upload: str | None = None,
) -> Record:
    """The record of the next publication after `state_news`."""
    return Record(
        fleet=fleet,
        news=state_news + 1,
        at=instant(now),
        kind=kind,
        roles=dict(roles),
        targets=list(targets),
        change=change,
        upload=upload,
    )


def record_events(record: Record) -> tuple[Event, ...]:
    """The events that a record tells of."""
    fleet, at = FleetId(record.fleet), parse_instant(record.at)
    published = Published(
        fleet,
        record.news,
        at,
        record.kind,
        record.roles,
        tuple(record.targets),
        record.change,
    )
    taken = record.taken
    if taken is None:
        return (published,)
    return (
        published,
        ChannelTaken(
            fleet,
            taken.provider,
            taken.channel,
            taken.sequence,
            parse_digest(taken.digest),
            parse_instant(taken.at),
            parse_instant(taken.expires),
            at,
            record.news,
            taken.log,
            taken.index,
        ),
    )
