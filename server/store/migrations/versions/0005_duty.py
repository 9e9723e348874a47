"""duty: rosters, hand-over, tested numbers, calls to look; addresses other than phones; who acted, proven."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "hand_over",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("remark", sa.String(length=500), nullable=False),
        sa.Column("given_by", sa.String(length=60), nullable=False),
        sa.Column("given_account", sa.BigInteger(), nullable=True),
        sa.Column("given_at", sa.BigInteger(), nullable=True),
        sa.Column("given_sign", sa.String(length=64), nullable=False),
        sa.Column("taken_by", sa.String(length=60), nullable=False),
        sa.Column("taken_account", sa.BigInteger(), nullable=True),
        sa.Column("taken_at", sa.BigInteger(), nullable=True),
        sa.Column("taken_sign", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["unit"],
            ["unit.code"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("unit", "since"),
    )
    with op.batch_alter_table("hand_over", schema=None) as batch_op:
        batch_op.create_index("hand_over_of", ["unit", "until"], unique=False)

    op.create_table(
        "roster",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("role", sa.String(length=24), nullable=False),
        sa.Column("starts_min", sa.BigInteger(), nullable=False),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.Column("days", sa.String(length=8), nullable=False),
        sa.Column("turn_days", sa.BigInteger(), nullable=False),
        sa.Column("anchor", sa.String(length=10), nullable=False),
        sa.Column("people", sa.JSON(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["unit"],
            ["unit.code"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("roster", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_roster_unit"), ["unit"], unique=False)

    op.create_table(
        "unit_pair",
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("stand_in", sa.String(length=12), nullable=False),
        sa.ForeignKeyConstraint(
            ["stand_in"],
            ["unit.code"],
        ),
        sa.ForeignKeyConstraint(
            ["unit"],
            ["unit.code"],
        ),
        sa.PrimaryKeyConstraint("unit"),
    )
    op.create_table(
        "phone_check",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("person", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("phone", sa.String(length=20), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("verified_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["person"],
            ["person.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("phone_check", schema=None) as batch_op:
        batch_op.create_index("phone_check_of", ["person", "sent_at"], unique=False)

    op.create_table(
        "roster_change",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("roster", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("people", sa.JSON(), nullable=False),
        sa.Column("why", sa.String(length=120), nullable=False),
        sa.Column("by", sa.String(length=60), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["roster"],
            ["roster.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("roster", "day"),
    )
    op.create_table(
        "look_call",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("alarm", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("by", sa.String(length=60), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["alarm"],
            ["alarm.id"],
        ),
        sa.ForeignKeyConstraint(
            ["unit"],
            ["unit.code"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("look_call", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_look_call_unit"), ["unit"], unique=False)

    op.create_table(
        "look_item",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("call", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("room", sa.String(length=16), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("phone", sa.String(length=20), nullable=False),
        sa.Column("number", sa.String(length=6), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("answered_by", sa.String(length=60), nullable=False),
        sa.Column("via", sa.String(length=16), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.Column("proven", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["call"],
            ["look_call.id"],
        ),
        sa.ForeignKeyConstraint(
            ["room"],
            ["room.code"],
        ),
        sa.ForeignKeyConstraint(
            ["unit"],
            ["unit.code"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("call", "room"),
    )
    with op.batch_alter_table("look_item", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_look_item_number"), ["number"], unique=False)
        batch_op.create_index("look_item_open", ["state", "phone"], unique=False)

    with op.batch_alter_table("escalation_step", schema=None) as batch_op:
        batch_op.add_column(sa.Column("held", sa.Boolean(), nullable=False, server_default=sa.false()))

    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.add_column(sa.Column("unit", sa.String(length=12), nullable=True))
        batch_op.alter_column("escalation_step", existing_type=sa.INTEGER(), nullable=True)
        batch_op.alter_column("alarm", existing_type=sa.INTEGER(), nullable=True)
        batch_op.alter_column("phone", existing_type=sa.VARCHAR(length=20), type_=sa.String(length=120), existing_nullable=False)
        batch_op.alter_column("channel", existing_type=sa.VARCHAR(length=16), type_=sa.String(length=24), existing_nullable=False)

    with op.batch_alter_table("transition", schema=None) as batch_op:
        batch_op.add_column(sa.Column("person", sa.BigInteger(), nullable=True))
        batch_op.alter_column("limit", existing_type=sa.FLOAT(), type_=sa.Double(), existing_nullable=True)
