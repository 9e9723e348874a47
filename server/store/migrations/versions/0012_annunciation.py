"""What asked people for attention stands in a table of its own: whether it did is known only when all alarms of a commit have been folded."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "annunciation",
        sa.Column("transition", sa.BigInteger(), sa.ForeignKey("transition.id"), primary_key=True, autoincrement=False),
        sa.Column("alarm", sa.BigInteger(), sa.ForeignKey("alarm.id"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.String(10), nullable=False),
    )
    op.create_index("ix_annunciation_at", "annunciation", ["at"])
    op.create_index("ix_annunciation_alarm", "annunciation", ["alarm"])
    op.execute('INSERT INTO annunciation SELECT id, alarm, "at", level FROM transition WHERE annunciated')
    op.drop_column("transition", "annunciated")


def downgrade() -> None:
    raise NotImplementedError("forward only")
