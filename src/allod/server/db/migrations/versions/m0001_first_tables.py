"""The first tables of the projection."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _fleet() -> sa.Column[str]:
    return sa.Column("fleet", sa.String(64), primary_key=True)


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "fleets",
        _fleet(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("public", sa.Boolean, nullable=False),
        sa.Column("news", sa.BigInteger, nullable=False),
        sa.Column("trust", sa.BigInteger, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("restored", sa.Boolean, nullable=False),
    )
    op.create_table(
        "publications",
        _fleet(),
        sa.Column("news", sa.BigInteger, primary_key=True),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("roles", sa.JSON, nullable=False),
        sa.Column("targets", sa.JSON, nullable=False),
        sa.Column("change", sa.JSON, nullable=True),
    )
    op.create_table(
        "documents",
        _fleet(),
        sa.Column("device", sa.String(64), primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("groups", sa.JSON, nullable=True),
    )
    op.create_table(
        "bindings",
        _fleet(),
        sa.Column("device", sa.String(64), primary_key=True),
        sa.Column("epoch", sa.BigInteger, primary_key=True),
        sa.Column("invite", sa.Text, nullable=False),
        sa.Column("groups", sa.JSON, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("received", sa.String(32), nullable=False),
        sa.Column("surplus", sa.Boolean, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
    )
    op.create_index("bindings_by_invite", "bindings", ["fleet", "invite"])
    op.create_table(
        "reports",
        _fleet(),
        sa.Column("device", sa.String(64), primary_key=True),
        sa.Column("epoch", sa.BigInteger, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True),
        sa.Column("digest", sa.String(71), primary_key=True),
        sa.Column("previous", sa.String(71), nullable=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("received", sa.String(32), nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("forked", sa.Boolean, nullable=False),
        sa.Column("head", sa.String(71), nullable=True),
    )
    op.create_table(
        "alarms",
        _fleet(),
        sa.Column("code", sa.String(64), primary_key=True),
        sa.Column("subject", sa.String(256), primary_key=True),
        sa.Column("says", sa.Text, nullable=False),
        sa.Column("since", sa.String(32), nullable=False),
    )
    op.create_table(
        "tokens",
        _fleet(),
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        sa.Column("created", sa.String(32), nullable=False),
        sa.Column("expires", sa.String(32), nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("bindings_by_invite", "bindings")
    for table in (
        "tokens",
        "alarms",
        "reports",
        "bindings",
        "documents",
        "publications",
        "fleets",
    ):
        op.drop_table(table)
