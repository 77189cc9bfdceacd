"""Connections to SQLite as all of the server uses them: write-ahead log, synchronous FULL."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=10000",
        "trusted_schema=OFF",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def open_sqlite(path: Path) -> sa.Engine:
    """An engine over one file, for several threads."""
    engine = sa.create_engine(
        f"sqlite+pysqlite:///{path}", connect_args={"check_same_thread": False}
    )
    sa.event.listen(engine, "connect", _prepare)
    return engine


@contextmanager
def immediate(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that holds the right to write from its beginning; durable when it ends."""
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()
