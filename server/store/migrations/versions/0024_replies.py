"""Replies of people as providers and modems hold them, taken once; messages are looked up by their telephone."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0024"
down_revision: str | None = "0023"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "reply",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("sid", sa.String(length=80), nullable=False, unique=True),
        sa.Column("channel", sa.String(length=24), nullable=False),
        sa.Column("phone", sa.String(length=20), nullable=False),
        sa.Column("text", sa.String(length=500), nullable=False),
        sa.Column("said_at", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.Column("acted_at", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.String(length=100), nullable=False, server_default=""),
    )
    op.create_index("reply_open", "reply", ["acted_at", "taken_at"])
    op.create_index("notification_to", "notification", ["phone", "created_at"])


def downgrade() -> None:
    raise NotImplementedError("forward only")
