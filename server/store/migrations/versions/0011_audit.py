"""Audit: from where, what before and after, why; anchors; triggers that keep audit and transition append-only."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from server.store import triggers

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # Plain ADD COLUMN: a table that is copied and renamed would be another table than the one the chain was written to.
    op.add_column("audit", sa.Column("version", sa.BigInteger(), server_default="1", nullable=False))
    for name, length in (("unit", 12), ("address", 45), ("session", 16), ("reason", 200)):
        op.add_column("audit", sa.Column(name, sa.String(length=length), server_default="", nullable=False))
    for name in ("before", "after"):
        op.add_column("audit", sa.Column(name, sa.JSON(), nullable=True))
    op.create_index("audit_by_subject", "audit", ["subject", "action"], unique=False)
    op.create_index("audit_by_unit", "audit", ["unit", "id"], unique=False)
    op.create_index("audit_by_actor", "audit", ["actor", "id"], unique=False)
    op.create_index("audit_by_time", "audit", ["at"], unique=False)
    op.create_table(
        "audit_anchor",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.String(length=64), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("own", sa.String(length=64), nullable=False),
        sa.Column("children", sa.JSON(), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "unit"),
    )
    for table in triggers.APPEND_ONLY:
        for statement in triggers.statements(op.get_bind().dialect.name, table):
            op.execute(statement)
