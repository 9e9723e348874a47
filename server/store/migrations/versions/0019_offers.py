"""What a gateway offers to be written on its devices."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("gateway", sa.Column("offers", sa.JSON(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("forward only")
