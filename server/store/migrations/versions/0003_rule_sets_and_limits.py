"""Rule sets by version, changed limits, trials of rule sets; transitions say by which rules and whose limit."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "rule_set",
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_index(op.f("ix_rule_set_since"), "rule_set", ["since"])
    op.create_table(
        "limit_change",
        sa.Column("id", _ID, nullable=False),
        sa.Column("rule", sa.String(length=60), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("room", sa.String(length=16), nullable=True),
        sa.Column("level", sa.String(length=10), nullable=False),
        sa.Column("limit", sa.Float(), nullable=True),
        sa.Column("on_delay_ms", sa.BigInteger(), nullable=True),
        sa.Column("by", sa.String(length=60), nullable=False),
        sa.Column("why", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_by", sa.String(length=60), nullable=False),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"]),
        sa.ForeignKeyConstraint(["room"], ["room.code"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("limit_change_in_force", "limit_change", ["revoked_at", "since"])
    op.create_index(op.f("ix_limit_change_unit"), "limit_change", ["unit"])
    op.create_index(op.f("ix_limit_change_room"), "limit_change", ["room"])
    op.create_table(
        "shadow_run",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("by", sa.String(length=60), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("memory", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_shadow_run_unit"), "shadow_run", ["unit"])
    op.create_table(
        "shadow_alarm",
        sa.Column("id", _ID, nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("rule", sa.String(length=60), nullable=False),
        sa.Column("room", sa.String(length=16), nullable=False),
        sa.Column("level", sa.String(length=10), nullable=False),
        sa.Column("raised_at", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("cleared_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["run"], ["shadow_run.id"]),
        sa.ForeignKeyConstraint(["room"], ["room.code"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("shadow_alarm_of", "shadow_alarm", ["run", "raised_at"])
    op.add_column("transition", sa.Column("rule_set", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("transition", sa.Column("limit", sa.Float(), nullable=True))
    op.add_column("transition", sa.Column("limit_origin", sa.String(length=80), nullable=False, server_default=""))
