"""Logs in a database, by SQLAlchemy Core: a lease decides who writes, a generation enforces it."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from allod.errors import Conflict
from allod.server.db.connection import immediate, open_sqlite
from allod.server.db.log_schema import log_files, log_metadata, log_stages, logs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from allod.domain.ids import FleetId
    from allod.server.ports import Clock

LEASE_SECONDS: Final = 30.0
_PIECE: Final = 500  #: rows of one statement


def open_log_database(path: Path) -> sa.Engine:
    """The database of logs in one SQLite file; missing tables are made."""
    engine = open_sqlite(path)
    with immediate(engine) as connection:
        log_metadata.create_all(connection)
    return engine


class SqlLogs:
    """The logs of all fleets in one database; gives the storage of one, by its place.

    Args:
        path: of the database.
        holder: the name of this process.
        clock: for the leases.
    """

    def __init__(self, path: Path, *, holder: str, clock: Clock) -> None:
        self._engine = open_log_database(path)
        self._holder = holder
        self._clock = clock

    def __call__(self, fleet: FleetId, place: str) -> SqlLogStorage:
        """Where a log lies."""
        return SqlLogStorage(
            self._engine, f"{fleet}/{place}", holder=self._holder, clock=self._clock
        )

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def logs_in(path: Path) -> tuple[str, ...]:
    """The logs of a database, as `<fleet>/<place>`; none if there is no database."""
    if not path.is_file():
        return ()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return tuple(name for (name,) in connection.execute("SELECT log FROM logs ORDER BY log"))


def copy_logs(path: Path, copy: Path) -> None:
    """Copy the database as of one moment, while others write it."""
    with (
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)


class SqlLogStorage:
    """Implements `allod.server.log.ports.LogStorage`.

    Who holds the log has a generation; every write checks, in its own transaction, that nobody
    has a higher one, and prolongs the lease. So the clock decides only when a log that was left
    behind may be taken over, never who writes it.

    Args:
        engine: of `open_log_database`.
        log: tells the logs in the database apart.
        holder: the name of this process. The same name takes over at once.
        clock: for the lease.
        lease: how long the log stays held after the last write.
    """

    def __init__(
        self,
        engine: sa.Engine,
        log: str,
        *,
        holder: str,
        clock: Clock,
        lease: float = LEASE_SECONDS,
    ) -> None:
        self._engine = engine
        self._log = log
        self._holder = holder
        self._clock = clock
        self._lease = lease
        self._generation: int | None = None

    def hold(self) -> None:
        """See the port."""
        now = self._clock.seconds()
        with _as_disk(), immediate(self._engine) as connection:
            row = connection.execute(sa.select(logs).where(self._this(logs))).mappings().first()
            if row is not None and row["generation"] == self._generation:
                return
            if row is not None and row["holder"] != self._holder and row["until"] > now:
                raise self._refused(f"{row['holder']} holds it")
            generation = 1 if row is None else row["generation"] + 1
            values = {
                "holder": self._holder,
                "generation": generation,
                "until": now + self._lease,
            }
            if row is None:
                connection.execute(sa.insert(logs).values(log=self._log, **values))
            else:
                connection.execute(sa.update(logs).where(self._this(logs)).values(**values))
        self._generation = generation

    def release(self) -> None:
        """See the port."""
        if self._generation is not None:
            with _as_disk(), immediate(self._engine) as connection:
                connection.execute(
                    sa.update(logs)
                    .where(self._this(logs), logs.c.generation == self._generation)
                    .values(until=0.0)
                )
            self._generation = None

    def head(self) -> str | None:
        """See the port."""
        head: str | None = self._value(logs.c.head, self._this(logs))
        return head

    def commit(self, old: str | None, new: str) -> None:
        """See the port."""
        with self._writing() as connection:
            done = connection.execute(
                sa.update(logs)
                .where(self._this(logs), logs.c.head.is_not_distinct_from(old))
                .values(head=new)
            )
            if done.rowcount != 1:
                raise self._refused("it has grown meanwhile")

    def stage(self, name: str, data: bytes) -> None:
        """See the port."""
        with self._writing() as connection:
            connection.execute(sa.delete(log_stages).where(self._this(log_stages)))
            connection.execute(sa.insert(log_stages).values(log=self._log, name=name, data=data))

    def staged(self, name: str) -> bytes | None:
        """See the port."""
        same = sa.and_(self._this(log_stages), log_stages.c.name == name)
        data: bytes | None = self._value(log_stages.c.data, same)
        return data

    def write(self, files: Mapping[str, bytes]) -> None:
        """See the port."""
        paths = list(files)
        with self._writing() as connection:
            for at in range(0, len(paths), _PIECE):
                part = paths[at : at + _PIECE]
                there = sa.and_(self._this(log_files), log_files.c.path.in_(part))
                connection.execute(sa.delete(log_files).where(there))
                rows = [{"log": self._log, "path": path, "data": files[path]} for path in part]
                connection.execute(sa.insert(log_files), rows)

    def remove_under(self, directories: Sequence[str]) -> None:
        """See the port."""
        with self._writing() as connection:
            for directory in directories:
                first, beyond = f"{directory}/", f"{directory}0"  # "0" follows "/"
                inside = sa.and_(log_files.c.path >= first, log_files.c.path < beyond)
                connection.execute(sa.delete(log_files).where(self._this(log_files), inside))

    def publish(self, checkpoint: bytes) -> None:
        """See the port."""
        with self._writing() as connection:
            connection.execute(sa.update(logs).where(self._this(logs)).values(published=checkpoint))

    def published(self) -> bytes | None:
        """See the port."""
        data: bytes | None = self._value(logs.c.published, self._this(logs))
        return data

    def read(self, path: str) -> bytes | None:
        """See the port."""
        same = sa.and_(self._this(log_files), log_files.c.path == path)
        data: bytes | None = self._value(log_files.c.data, same)
        return data

    def _this(self, table: sa.Table) -> sa.ColumnElement[bool]:
        return table.c.log == self._log

    def _value(self, column: sa.Column[Any], where: sa.ColumnElement[bool]) -> Any:
        with _as_disk(), self._engine.connect() as connection:
            return connection.execute(sa.select(column).where(where)).scalar_one_or_none()

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with _as_disk(), immediate(self._engine) as connection:
            held = connection.execute(
                sa.update(logs)
                .where(self._this(logs), logs.c.generation == self._generation)
                .values(until=self._clock.seconds() + self._lease)
            )
            if held.rowcount != 1:
                self._generation = None
                raise self._refused("it is not held, or another process took it over")
            yield connection

    def _refused(self, why: str) -> Conflict:
        return Conflict("log-in-use", f"cannot write the log {self._log}: {why}")


@contextmanager
def _as_disk() -> Iterator[None]:
    """What the database cannot do is an error of the disk, as it is with files."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise OSError(errno.EIO, f"the logs' database: {error}") from error
