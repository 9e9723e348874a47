"""When an account was last used (it decides which are dormant), and as which role a session looks around."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("account", sa.Column("used_at", sa.BigInteger(), nullable=True))
    op.add_column("web_session", sa.Column("view_role", sa.String(16), nullable=False, server_default=""))
    op.add_column("web_session", sa.Column("view_unit", sa.String(12), nullable=False, server_default=""))
