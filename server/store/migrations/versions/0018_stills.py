"""Privacy of stills: covered areas, how long they are kept, and an index by the time they were taken."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "still_mask",
        sa.Column("gateway", sa.String(length=40), nullable=False),
        sa.Column("device", sa.String(length=60), nullable=False),
        sa.Column("areas", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("by", sa.String(length=60), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "device"),
    )
    op.create_table(
        "still_policy",
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("keep_days", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("by", sa.String(length=60), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"]),
        sa.PrimaryKeyConstraint("unit"),
    )
    op.create_index("ix_snapshot_taken_at", "snapshot", ["taken_at"])


def downgrade() -> None:
    raise NotImplementedError("forward only")
