"""Papers of incidents know how far they reach, and people add pictures."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("dossier", sa.Column("upto", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "incident_photo",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("incident", sa.BigInteger(), sa.ForeignKey("incident.id"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(60), nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("incident", "sha256"),
    )
    op.create_index("ix_incident_photo_incident", "incident_photo", ["incident"])


def downgrade() -> None:
    raise NotImplementedError("forward only")
