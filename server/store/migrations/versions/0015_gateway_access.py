"""Credentials of gateways, boxes that ask to be claimed, and the stamp of a gateway's last birth."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("gateway", sa.Column("born_stamp", sa.BigInteger(), nullable=True))
    op.create_table(
        "gateway_credential",
        sa.Column("gateway", sa.String(40), sa.ForeignKey("gateway.code"), primary_key=True),
        sa.Column("mosquitto", sa.String(200), nullable=False),
        sa.Column("nats", sa.String(80), nullable=False),
        sa.Column("token", sa.String(64), nullable=False, unique=True),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(120), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
    )
    op.create_table(
        "gateway_enrolment",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("public_key", sa.String(64), nullable=False, unique=True),
        sa.Column("code", sa.String(11), nullable=False),
        sa.Column("hint", sa.String(60), nullable=False),
        sa.Column("version", sa.String(20), nullable=False),
        sa.Column("address", sa.String(45), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("claimed_at", sa.BigInteger(), nullable=True),
        sa.Column("claimed_by", sa.String(120), nullable=False),
        sa.Column("gateway", sa.String(40), sa.ForeignKey("gateway.code"), nullable=True),
        sa.Column("sealed", sa.JSON(), nullable=True),
    )
    op.create_index("ix_gateway_enrolment_code", "gateway_enrolment", ["code"])


def downgrade() -> None:
    raise NotImplementedError("forward only")
