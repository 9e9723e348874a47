"""incidents, their log and their papers."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "incident",
        sa.Column("id", ID, primary_key=True),
        sa.Column("alarm", sa.BigInteger(), sa.ForeignKey("alarm.id"), nullable=False, unique=True),
        sa.Column("unit", sa.String(12), sa.ForeignKey("unit.code"), nullable=False),
        sa.Column("room", sa.String(16), sa.ForeignKey("room.code"), nullable=True),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("card", sa.String(32), nullable=False),
        sa.Column("level", sa.String(10), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(60), nullable=False),
        sa.Column("code", sa.String(20), nullable=False),
        sa.Column("reported_at", sa.BigInteger(), nullable=True),
        sa.Column("reported_by", sa.String(60), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("reopened", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("keep_until", sa.BigInteger(), nullable=True),
        sqlite_autoincrement=True,
    )
    for name, columns in (("incident_by_room", ["room", "state"]), ("ix_incident_unit", ["unit"]), ("ix_incident_state", ["state"])):
        op.create_index(name, "incident", columns)
    op.create_index("ix_incident_opened_at", "incident", ["opened_at"])
    op.create_table(
        "incident_alarm",
        sa.Column("alarm", sa.BigInteger(), sa.ForeignKey("alarm.id"), primary_key=True),
        sa.Column("incident", sa.BigInteger(), sa.ForeignKey("incident.id"), nullable=False),
    )
    op.create_index("ix_incident_alarm_incident", "incident_alarm", ["incident"])
    op.create_table(
        "incident_entry",
        sa.Column("id", ID, primary_key=True),
        sa.Column("incident", sa.BigInteger(), sa.ForeignKey("incident.id"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("by", sa.String(60), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_incident_entry_incident", "incident_entry", ["incident"])
    op.create_table(
        "dossier",
        sa.Column("id", ID, primary_key=True),
        sa.Column("incident", sa.BigInteger(), sa.ForeignKey("incident.id"), nullable=False),
        sa.Column("filed_at", sa.BigInteger(), nullable=False),
        sa.Column("pdf_sha256", sa.String(64), nullable=False),
        sa.Column("data_sha256", sa.String(64), nullable=False),
        sa.Column("keep_until", sa.BigInteger(), nullable=False),
        sa.Column("superseded", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_dossier_incident", "dossier", ["incident"])
