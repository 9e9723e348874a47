"""What people changed in a year is found in an index alone: the rows with their details are read only where they are shown."""

from collections.abc import Sequence

from alembic import op

revision: str = "0027"
down_revision: str | None = "0026"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.drop_index("audit_by_time", "audit")
    op.create_index("audit_by_time", "audit", ["at", "id", "action", "subject"])


def downgrade() -> None:
    raise NotImplementedError("forward only")
