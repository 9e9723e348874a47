"""A new secret of a second factor waits for its first code while the old one stays in force."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("account_security", sa.Column("totp_waiting", sa.String(length=64), server_default="", nullable=False))


def downgrade() -> None:
    raise NotImplementedError("forward only")
