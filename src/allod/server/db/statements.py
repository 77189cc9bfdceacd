"""How events become statements, and rows become values again; the same for every database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from allod.server.db import schema
from allod.server.events import (
    AlarmRaised,
    Bound,
    ChannelTaken,
    DeviceDocumented,
    Event,
    FleetRead,
    ProposalKept,
    Published,
    Reported,
    ReportForgotten,
    TokenIssued,
    TokenRevoked,
)
from allod.server.ports import DeviceRow
from allod.wire.codec import shaped
from allod.wire.entry import ChangeNote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from allod.domain.ids import DeviceId, FleetId


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def _keep(table: sa.Table, **values: Any) -> sa.Insert:
    """Insert; the row that is there already stays."""
    return insert(table).values(**values).on_conflict_do_nothing()


def _replace(table: sa.Table, **values: Any) -> sa.Insert:
    """Insert; the row that is there already becomes this one."""
    keys = [column.name for column in table.primary_key]
    rest = {name: value for name, value in values.items() if name not in keys}
    return insert(table).values(**values).on_conflict_do_update(index_elements=keys, set_=rest)


def of(event: Event) -> Sequence[sa.Executable]:  # noqa: C901, PLR0911 - one case an event
    """The statements that bring `event` into the tables; applying them twice changes nothing."""
    match event:
        case Published():
            return [_publication(event)]
        case FleetRead():
            return [
                _replace(
                    schema.fleets,
                    fleet=event.fleet,
                    name=event.name,
                    public=event.public,
                    news=event.news,
                    trust=event.trust,
                    versions=dict(event.versions),
                    restored=event.restored,
                )
            ]
        case DeviceDocumented():
            return [_document(event)]
        case Bound():
            return [_binding(event)]
        case Reported():
            return _report(event)
        case AlarmRaised():
            return [
                _keep(
                    schema.alarms,
                    fleet=event.fleet,
                    code=event.code,
                    subject=event.subject,
                    says=event.says,
                    since=_text(event.since),
                )
            ]
        case TokenIssued():
            return [_token(event)]
        case TokenRevoked():
            table = schema.tokens
            return [sa.delete(table).where(table.c.fleet == event.fleet, table.c.id == event.id)]
        case ReportForgotten():
            return [_forgotten(event)]
        case ProposalKept():
            return [_replace(schema.proposals, **_row(event, packages=list(event.packages)))]
        case ChannelTaken():
            return [_replace(schema.channels, **_row(event))]


def _row(event: ProposalKept | ChannelTaken, **other: Any) -> dict[str, Any]:
    """The fields of an event as those of its row; times become text."""
    values = {name: getattr(event, name) for name in event.__slots__}
    times = {name: _text(value) for name, value in values.items() if isinstance(value, datetime)}
    return {**values, **times, **other}


def _publication(event: Published) -> sa.Insert:
    return _replace(
        schema.publications,
        fleet=event.fleet,
        news=event.news,
        at=_text(event.at),
        kind=event.kind,
        roles=dict(event.roles),
        targets=list(event.targets),
        change=None if event.change is None else msgspec.to_builtins(event.change),
    )


def _document(event: DeviceDocumented) -> sa.Insert:
    return _replace(
        schema.documents,
        fleet=event.fleet,
        device=event.device,
        epoch=event.epoch,
        status=event.status,
        label=event.label,
        groups=None if event.groups is None else list(event.groups),
    )


def _binding(event: Bound) -> sa.Insert:
    return _keep(
        schema.bindings,
        fleet=event.fleet,
        device=event.device,
        epoch=event.epoch,
        invite=event.invite,
        groups=list(event.groups),
        key=event.key,
        received=_text(event.received),
        surplus=event.surplus,
        facts=dict(event.facts),
        agent=event.agent,
    )


def _report(event: Reported) -> list[sa.Executable]:
    row = _keep(
        schema.reports,
        fleet=event.fleet,
        device=event.device,
        epoch=event.epoch,
        sequence=event.sequence,
        digest=event.digest,
        previous=event.previous,
        kind=event.kind,
        received=_text(event.received),
        agent=event.agent,
        facts=dict(event.facts),
        forked=event.forked,
        head=event.head,
    )
    if not event.forked:
        return [row]
    table = schema.reports
    same = sa.and_(
        table.c.fleet == event.fleet,
        table.c.device == event.device,
        table.c.epoch == event.epoch,
        table.c.sequence == event.sequence,
    )
    return [row, sa.update(table).where(same).values(forked=True)]


def _forgotten(event: ReportForgotten) -> sa.Delete:
    table = schema.reports
    return sa.delete(table).where(
        table.c.fleet == event.fleet,
        table.c.device == event.device,
        table.c.epoch == event.epoch,
        table.c.sequence == event.sequence,
    )


def _token(event: TokenIssued) -> sa.Insert:
    return _replace(
        schema.tokens,
        fleet=event.fleet,
        id=event.id,
        name=event.name,
        scopes=list(event.scopes),
        hash=event.hash,
        created=_text(event.created),
        expires=_text(event.expires),
    )


def select_reports(fleet: FleetId, device: DeviceId) -> sa.Select[Any]:
    """All reports of a device."""
    table = schema.reports
    return sa.select(table).where(table.c.fleet == fleet, table.c.device == device)


def select_devices(fleet: FleetId) -> sa.Select[Any]:
    """Every device with its newest binding, newest report, and what the owner says of it."""
    bound, told, said = schema.bindings, schema.reports, schema.documents
    other = schema.bindings.alias()
    newest_epoch = (
        sa.select(sa.func.max(other.c.epoch))
        .where(other.c.fleet == bound.c.fleet, other.c.device == bound.c.device)
        .scalar_subquery()
    )
    mine = sa.and_(
        told.c.fleet == bound.c.fleet,
        told.c.device == bound.c.device,
        told.c.epoch == bound.c.epoch,
    )
    newest = sa.select(told.c.sequence).where(mine).order_by(told.c.sequence.desc()).limit(1)
    received = sa.select(told.c.received).where(mine).order_by(told.c.sequence.desc()).limit(1)
    agent = sa.select(told.c.agent).where(mine).order_by(told.c.sequence.desc()).limit(1)
    facts = sa.select(told.c.facts).where(mine).order_by(told.c.sequence.desc()).limit(1)
    forks = sa.select(told.c.forked).where(mine, told.c.forked.is_(True)).exists()
    documented = sa.and_(said.c.fleet == bound.c.fleet, said.c.device == bound.c.device)
    return (
        sa.select(
            bound,
            newest.scalar_subquery().label("sequence"),
            received.scalar_subquery().label("reported"),
            agent.scalar_subquery().label("reported_agent"),
            facts.scalar_subquery().label("reported_facts"),
            forks.label("quarantined"),
            said.c.epoch.label("documented_epoch"),
            said.c.status,
            said.c.label,
            said.c.groups.label("documented_groups"),
        )
        .select_from(bound.outerjoin(said, documented))
        .where(bound.c.fleet == fleet, bound.c.epoch == newest_epoch)
    )


def device_row(row: sa.RowMapping) -> DeviceRow:
    """A row of `select_devices`; a document of a lower epoch than the binding does not count."""
    counts = row["documented_epoch"] is not None and row["documented_epoch"] >= row["epoch"]
    groups = row["documented_groups"] if counts else None
    return DeviceRow(
        device=row["device"],
        epoch=row["epoch"],
        invite=row["invite"],
        key=row["key"],
        groups=tuple(row["groups"] if groups is None else groups),
        surplus=row["surplus"],
        facts=row["facts"] if row["reported_facts"] is None else row["reported_facts"],
        agent=row["reported_agent"] or row["agent"],
        label=row["label"] or "",
        status=row["status"] if counts else "active",
        documented_epoch=row["documented_epoch"] or 0,
        quarantined=bool(row["quarantined"]),
        sequence=row["sequence"] or 0,
        reported=None if row["reported"] is None else _moment(row["reported"]),
        bound=_moment(row["received"]),
    )


def documented(row: sa.RowMapping) -> DeviceDocumented:
    """A row of what the owner's documents say of single devices."""
    groups = None if row["groups"] is None else tuple(row["groups"])
    return DeviceDocumented(**{**row, "groups": groups})


def reported(row: sa.RowMapping) -> Reported:
    """A row of the reports."""
    return Reported(**{**row, "received": _moment(row["received"])})


def published(row: sa.RowMapping) -> Published:
    """A row of the publications."""
    change = row["change"]
    return Published(
        **{
            **row,
            "at": _moment(row["at"]),
            "targets": tuple(row["targets"]),
            "change": None if change is None else shaped(change, ChangeNote),
        }
    )


def alarm(row: sa.RowMapping) -> AlarmRaised:
    """A row of the alarms."""
    return AlarmRaised(**{**row, "since": _moment(row["since"])})


def token(row: sa.RowMapping) -> TokenIssued:
    """A row of the tokens."""
    return TokenIssued(
        **{
            **row,
            "scopes": tuple(row["scopes"]),
            "created": _moment(row["created"]),
            "expires": _moment(row["expires"]),
        }
    )


def proposal(row: sa.RowMapping) -> ProposalKept:
    """A row of the proposals."""
    return ProposalKept(
        **{**row, "received": _moment(row["received"]), "packages": tuple(row["packages"])}
    )


def channel(row: sa.RowMapping) -> ChannelTaken:
    """A row of the channels."""
    times = {name: _moment(row[name]) for name in ("at", "expires", "received")}
    return ChannelTaken(**{**row, **times})
