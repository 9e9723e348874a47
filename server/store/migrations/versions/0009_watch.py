"""Groups, the late lane, absences of the server, reports from rooms, standing states; which changes annunciated; which stretches count."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)


def _alarm(*, unique: bool = False) -> sa.Column[int]:
    return sa.Column("alarm", sa.BigInteger(), sa.ForeignKey("alarm.id"), nullable=False, unique=unique)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "alarm_group", _id(), _alarm(unique=True), sa.Column("cause", sa.String(12), nullable=False),
        sa.Column("scope", sa.String(12), sa.ForeignKey("unit.code"), nullable=False),
        _instant("since"), _instant("joined_at"), _instant("ended_at", nullable=True),
    )  # fmt: skip
    op.create_index("ix_alarm_group_ended_at", "alarm_group", ["ended_at"])
    op.create_table(
        "alarm_group_member", _id(), sa.Column("group_id", sa.BigInteger(), sa.ForeignKey("alarm_group.id"), nullable=False), _alarm(),
        _instant("joined_at"), _instant("left_at", nullable=True), sa.UniqueConstraint("group_id", "alarm"),
    )  # fmt: skip
    op.create_index("ix_alarm_group_member_alarm", "alarm_group_member", ["alarm"])
    op.create_table(
        "late_memory", sa.Column("subject", sa.String(80), primary_key=True), sa.Column("rule", sa.String(60), primary_key=True),
        _instant("alarm", nullable=True), _instant("last_at"), sa.Column("body", sa.JSON(), nullable=False),
    )  # fmt: skip
    op.create_table("watch_pulse", sa.Column("id", sa.BigInteger(), primary_key=True), _instant("at"))
    op.create_table("server_outage", _id(), _instant("began"), _instant("ended"))
    op.create_table(
        "room_report", _id(), sa.Column("room", sa.String(16), sa.ForeignKey("room.code"), nullable=False), _instant("at"), _instant("until"),
        sa.Column("by", sa.String(60), nullable=False), sa.Column("via", sa.String(16), nullable=False),
        sa.Column("note", sa.String(500), nullable=False),
    )  # fmt: skip
    op.create_index("room_report_by_room", "room_report", ["room", "until"])
    op.create_table("chronic", _id(), _alarm(), _instant("since"), _instant("declared_at"), _instant("ended_at", nullable=True))
    op.create_index("ix_chronic_alarm", "chronic", ["alarm"])
    op.create_index("ix_chronic_ended_at", "chronic", ["ended_at"])
    op.add_column("alarm", sa.Column("behaviour", sa.String(12), nullable=False, server_default=""))
    op.add_column("alarm", sa.Column("group_alarm", sa.BigInteger(), nullable=True))
    op.create_index("ix_alarm_group_alarm", "alarm", ["group_alarm"])
    op.add_column("transition", sa.Column("annunciated", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("coverage_span", sa.Column("counted", sa.Boolean(), nullable=False, server_default=sa.true()))
    asked = "UPDATE transition SET annunciated = :yes WHERE id IN (SELECT annunciation FROM escalation_step WHERE reason = 'raised')"
    op.execute(sa.text(asked).bindparams(yes=True))


def downgrade() -> None:
    raise NotImplementedError("forward only")
