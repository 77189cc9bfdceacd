"""The projection in SQLite, by SQLAlchemy Core: write-ahead log, synchronous FULL, one writer."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from allod.domain.foreign import FOREIGN
from allod.errors import Unavailable
from allod.server.db import schema, statements
from allod.server.db.connection import immediate, open_sqlite
from allod.server.events import (
    AlarmRaised,
    ChannelTaken,
    DeviceDocumented,
    Event,
    FleetRead,
    ProposalKept,
    Published,
    Reported,
    TokenIssued,
)
from allod.server.ports import DeviceRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allod.domain.ids import DeviceId, FleetId

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


class SqliteDatabase:
    """Implements `allod.server.ports.Database` in one file.

    Raises:
        Unavailable: `database-damaged`, `database-newer`.
    """

    def __init__(self, path: Path) -> None:
        self._writing = threading.Lock()
        self._engine = open_sqlite(path)
        try:
            with self._transaction() as connection:
                config = Config()
                config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except sa.exc.DatabaseError as error:
            self.close()
            raise Unavailable(
                "database-damaged",
                f"cannot use {path}: {error.orig}; with the server stopped, 'allod server rebuild' "
                "makes it again from the signed files",
            ) from error
        except CommandError as error:
            self.close()
            raise Unavailable(
                "database-newer",
                f"cannot use {path}: a newer version of allod wrote it; install that version, or "
                "run 'allod server rebuild'",
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with self._writing, immediate(self._engine) as connection:
            yield connection

    def _rows(self, query: sa.Select[Any]) -> list[sa.RowMapping]:
        with self._engine.connect() as connection:
            return list(connection.execute(query).mappings())

    def apply(self, *events: Event) -> None:
        """See the port."""
        with self._transaction() as connection:
            for event in events:
                for statement in statements.of(event):
                    connection.execute(statement)

    def forget(self, fleet: FleetId) -> None:
        """See the port."""
        with self._transaction() as connection:
            for table in schema.metadata.sorted_tables:
                connection.execute(sa.delete(table).where(table.c.fleet == fleet))

    def fleets(self) -> tuple[FleetRead, ...]:
        """See the port."""
        query = sa.select(schema.fleets).order_by(schema.fleets.c.fleet)
        return tuple(FleetRead(**row) for row in self._rows(query))

    def fleet(self, fleet: FleetId) -> FleetRead | None:
        """See the port."""
        rows = self._rows(sa.select(schema.fleets).where(schema.fleets.c.fleet == fleet))
        return FleetRead(**rows[0]) if rows else None

    def publications(self, fleet: FleetId, *, after: int, limit: int) -> tuple[Published, ...]:
        """See the port."""
        table = schema.publications
        query = (
            sa.select(table)
            .where(table.c.fleet == fleet, table.c.news > after)
            .order_by(table.c.news)
            .limit(limit)
        )
        return tuple(statements.published(row) for row in self._rows(query))

    def devices(self, fleet: FleetId, *, after: str, limit: int) -> tuple[DeviceRow, ...]:
        """See the port."""
        query = statements.select_devices(fleet).where(schema.bindings.c.device > after)
        rows = self._rows(query.order_by(schema.bindings.c.device).limit(limit))
        return tuple(statements.device_row(row) for row in rows)

    def device(self, fleet: FleetId, device: DeviceId) -> DeviceRow | None:
        """See the port."""
        query = statements.select_devices(fleet).where(schema.bindings.c.device == device)
        rows = self._rows(query)
        return statements.device_row(rows[0]) if rows else None

    def retired(self, fleet: FleetId) -> frozenset[DeviceId]:
        """See the port."""
        said, bound = schema.documents, schema.bindings
        newer = sa.exists().where(
            bound.c.fleet == fleet, bound.c.device == said.c.device, bound.c.epoch > said.c.epoch
        )
        query = sa.select(said.c.device).where(
            said.c.fleet == fleet, said.c.status == "retired", ~newer
        )
        return frozenset(row["device"] for row in self._rows(query))

    def recorded(self, fleet: FleetId, *, after: str, limit: int) -> tuple[DeviceDocumented, ...]:
        """See the port."""
        said = schema.documents
        query = sa.select(said).where(
            said.c.fleet == fleet, said.c.status == FOREIGN, said.c.device > after
        )
        rows = self._rows(query.order_by(said.c.device).limit(limit))
        return tuple(statements.documented(row) for row in rows)

    def device_count(self, fleet: FleetId) -> int:
        """See the port."""
        table = schema.bindings
        count = sa.func.count(sa.distinct(table.c.device)).label("devices")
        return int(self._rows(sa.select(count).where(table.c.fleet == fleet))[0]["devices"])

    def uses(self, fleet: FleetId, invite: str) -> frozenset[DeviceId]:
        """See the port."""
        table = schema.bindings
        query = sa.select(table.c.device).where(
            table.c.fleet == fleet, table.c.invite == invite, table.c.surplus.is_(False)
        )
        return frozenset(row["device"] for row in self._rows(query))

    def surplus(self, fleet: FleetId, invite: str) -> int:
        """See the port."""
        table = schema.bindings
        query = sa.select(sa.func.count(sa.distinct(table.c.device)).label("many")).where(
            table.c.fleet == fleet, table.c.invite == invite, table.c.surplus.is_(True)
        )
        return int(self._rows(query)[0]["many"])

    def reports(
        self, fleet: FleetId, device: DeviceId, *, after: int, limit: int, epoch: int | None = None
    ) -> tuple[Reported, ...]:
        """See the port."""
        table = schema.reports
        query = statements.select_reports(fleet, device).where(table.c.sequence > after)
        if epoch is not None:
            query = query.where(table.c.epoch == epoch)
        query = query.order_by(table.c.epoch, table.c.sequence, table.c.digest).limit(limit)
        return tuple(statements.reported(row) for row in self._rows(query))

    def report(
        self, fleet: FleetId, device: DeviceId, epoch: int, sequence: int
    ) -> tuple[Reported, ...]:
        """See the port."""
        table = schema.reports
        query = statements.select_reports(fleet, device).where(
            table.c.epoch == epoch, table.c.sequence == sequence
        )
        return tuple(statements.reported(row) for row in self._rows(query))

    def newest_report(self, fleet: FleetId, device: DeviceId, epoch: int) -> Reported | None:
        """See the port."""
        table = schema.reports
        query = statements.select_reports(fleet, device).where(table.c.epoch == epoch)
        rows = self._rows(query.order_by(table.c.sequence.desc()).limit(1))
        return statements.reported(rows[0]) if rows else None

    def has_report(self, fleet: FleetId, device: DeviceId, epoch: int, digest: str) -> bool:
        """See the port."""
        table = schema.reports
        query = statements.select_reports(fleet, device).where(
            table.c.epoch == epoch, table.c.digest == digest
        )
        return bool(self._rows(query.limit(1)))

    def old_heartbeats(
        self, fleet: FleetId, device: DeviceId, *, keep: int
    ) -> tuple[Reported, ...]:
        """See the port."""
        table = schema.reports
        query = statements.select_reports(fleet, device).where(
            table.c.kind == "heartbeat", table.c.forked.is_(False)
        )
        query = query.order_by(table.c.epoch.desc(), table.c.sequence.desc())
        return tuple(statements.reported(row) for row in self._rows(query.limit(1000).offset(keep)))

    def alarms(self, fleet: FleetId) -> tuple[AlarmRaised, ...]:
        """See the port."""
        table = schema.alarms
        query = sa.select(table).where(table.c.fleet == fleet)
        rows = self._rows(query.order_by(table.c.since, table.c.code, table.c.subject))
        return tuple(statements.alarm(row) for row in rows)

    def proposals(
        self, fleet: FleetId, *, state: str | None = None, after: str = "", limit: int
    ) -> tuple[ProposalKept, ...]:
        """See the port."""
        table = schema.proposals
        query = sa.select(table).where(table.c.fleet == fleet, table.c.id > after)
        if state is not None:
            query = query.where(table.c.state == state)
        return tuple(
            statements.proposal(row) for row in self._rows(query.order_by(table.c.id).limit(limit))
        )

    def channels(self, fleet: FleetId) -> tuple[ChannelTaken, ...]:
        """See the port."""
        table, other = schema.channels, schema.channels.alias()
        newer = sa.exists().where(
            other.c.fleet == fleet,
            other.c.provider == table.c.provider,
            other.c.channel == table.c.channel,
            other.c.sequence > table.c.sequence,
        )
        query = sa.select(table).where(table.c.fleet == fleet, ~newer)
        rows = self._rows(query.order_by(table.c.provider, table.c.channel))
        return tuple(statements.channel(row) for row in rows)

    def tokens(self, fleet: FleetId) -> tuple[TokenIssued, ...]:
        """See the port."""
        table = schema.tokens
        query = sa.select(table).where(table.c.fleet == fleet)
        return tuple(
            statements.token(row) for row in self._rows(query.order_by(table.c.name, table.c.id))
        )

    def token(self, hash_: str) -> TokenIssued | None:
        """See the port."""
        rows = self._rows(sa.select(schema.tokens).where(schema.tokens.c.hash == hash_))
        return statements.token(rows[0]) if rows else None

    def close(self) -> None:
        """See the port."""
        self._engine.dispose()
