"""Work in rooms that is announced before it begins, and who vouched for pausing smoke in it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "work",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("room", sa.String(length=16), sa.ForeignKey("room.code"), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("person", sa.String(length=60), nullable=False),
        sa.Column("second", sa.String(length=60), nullable=False),
        sa.Column("planned_by", sa.String(length=60), nullable=False),
        sa.Column("planned_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(length=60), nullable=False),
    )
    op.create_index("work_by_state", "work", ["state", "since"])
    op.create_index("work_by_room", "work", ["room", "since"])
    op.add_column("room", sa.Column("maintenance_second", sa.String(length=60), nullable=False, server_default=""))


def downgrade() -> None:
    raise NotImplementedError("forward only")
