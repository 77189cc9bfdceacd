"""Tables of logs. They are no projection: what they hold cannot be made again from other files.

So they stand apart from the tables of `schema`, in a database of their own, and only ever gain
columns and tables.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, LargeBinary, MetaData, String, Table, Text

log_metadata = MetaData()

logs = Table(
    "logs",
    log_metadata,
    Column("log", String(255), primary_key=True),
    Column("holder", String(255), nullable=False),
    Column("generation", BigInteger, nullable=False),  # counts who held it: the newest may write
    Column("until", Float, nullable=False),  # seconds since 1970
    Column("head", Text, nullable=True),
    Column("published", LargeBinary, nullable=True),
)

log_stages = Table(
    "log_stages",
    log_metadata,
    Column("log", String(255), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

log_files = Table(
    "log_files",
    log_metadata,
    Column("log", String(255), primary_key=True),
    Column("path", String(255), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)
