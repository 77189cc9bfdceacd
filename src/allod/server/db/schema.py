"""Tables of the projection. A change here needs a migration beside it.

Times are text (RFC 3339, UTC, microseconds), so that every database orders them alike.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

fleets = Table(
    "fleets",
    metadata,
    Column("fleet", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("public", Boolean, nullable=False),
    Column("news", BigInteger, nullable=False),
    Column("trust", BigInteger, nullable=False),
    Column("versions", JSON, nullable=False),
    Column("restored", Boolean, nullable=False),
)

publications = Table(
    "publications",
    metadata,
    Column("fleet", String(64), primary_key=True),
    Column("news", BigInteger, primary_key=True),
    Column("at", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("roles", JSON, nullable=False),
    Column("targets", JSON, nullable=False),
    Column("change", JSON, nullable=True),
)

documents = Table(
    "documents",
    metadata,
    Column("fleet", String(64), primary_key=True),
    Column("device", String(64), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("label", Text, nullable=False),
    Column("groups", JSON, nullable=True),
)

bindings = Table(
    "bindings",
    metadata,
    Column("fleet", String(64), primary_key=True),
    Column("device", String(64), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("invite", Text, nullable=False),
    Column("groups", JSON, nullable=False),
    Column("key", Text, nullable=False),
    Column("received", String(32), nullable=False),
    Column("surplus", Boolean, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("agent", Text, nullable=False),
    Index("bindings_by_invite", "fleet", "invite"),
)

reports = Table(
    "reports",
    metadata,
    Column("fleet", String(64), primary_key=True),
    Column("device", String(64), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("digest", String(71), primary_key=True),
    Column("previous", String(71), nullable=True),
    Column("kind", String(16), nullable=False),
    Column("received", String(32), nullable=False),
    Column("agent", Text, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("forked", Boolean, nullable=False),
    Column("head", String(71), nullable=True),
)

alarms = Table(
    "alarms",
    metadata,
    Column("fleet", String(64), primary_key=True),
    Column("code", String(64), primary_key=True),
    Column("subject", String(256), primary_key=True),
    Column("says", Text, nullable=False),
    Column("since", String(32), nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("fleet", String(64), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("created", String(32), nullable=False),
    Column("expires", String(32), nullable=False),
)

proposals = Table(
    "proposals",
    metadata,
    Column("fleet", String(64), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("author", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("ticket", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("received", String(32), nullable=False),
    Column("packages", JSON, nullable=False),
    Column("approvals", BigInteger, nullable=False),
)

channels = Table(
    "channels",
    metadata,
    Column("fleet", String(64), primary_key=True),
    Column("provider", String(64), primary_key=True),
    Column("channel", String(64), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("digest", String(71), nullable=False),
    Column("at", String(32), nullable=False),
    Column("expires", String(32), nullable=False),
    Column("received", String(32), nullable=False),
    Column("news", BigInteger, nullable=False),
    Column("log", Text, nullable=True),
    Column("index", BigInteger, nullable=True),
)
