"""drills, standing orders, watch checks."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _unit() -> sa.Column[str]:
    return sa.Column("unit", sa.String(12), sa.ForeignKey("unit.code"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "drill_campaign",
        sa.Column("id", ID, primary_key=True),
        _unit(),
        sa.Column("by", sa.String(60), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
    )
    op.create_index("ix_drill_campaign_unit", "drill_campaign", ["unit"])
    op.create_table(
        "drill",
        sa.Column("id", ID, primary_key=True),
        sa.Column("campaign", sa.BigInteger(), sa.ForeignKey("drill_campaign.id"), nullable=False),
        _unit(),
        sa.Column("room", sa.String(16), sa.ForeignKey("room.code"), nullable=False),
        sa.Column("point", sa.BigInteger(), sa.ForeignKey("point.id"), nullable=True),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("detected_at", sa.BigInteger(), nullable=True),
        sa.Column("alarm", sa.BigInteger(), sa.ForeignKey("alarm.id"), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("signature", sa.String(64), nullable=False),
    )
    for name, columns in (("ix_drill_campaign", ["campaign"]), ("ix_drill_unit", ["unit"]), ("drill_by_state", ["state"])):
        op.create_index(name, "drill", columns)
    op.create_index("drill_by_room", "drill", ["room", "id"])
    op.create_table(
        "drill_plan",
        sa.Column("unit", sa.String(12), sa.ForeignKey("unit.code"), primary_key=True),
        sa.Column("every_days", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(60), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "watch_check",
        sa.Column("id", ID, primary_key=True),
        _unit(),
        sa.Column("room", sa.String(16), sa.ForeignKey("room.code"), nullable=False),
        sa.Column("quantity", sa.String(24), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("asked_by", sa.String(60), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("answered_by", sa.String(60), nullable=False),
        sa.Column("answer", sa.Float(), nullable=True),
        sa.Column("measured", sa.Float(), nullable=True),
    )
    op.create_index("watch_check_by_unit", "watch_check", ["unit", "state"])
