"""What people changed in one unit is found by the unit: a county need not read the year of its province."""

from collections.abc import Sequence

from alembic import op
from sqlalchemy import column

from server.store.functions import PlaceNamed

revision: str = "0028"
down_revision: str | None = "0027"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index("audit_by_place", "audit", [PlaceNamed(column("subject")), "at"])


def downgrade() -> None:
    raise NotImplementedError("forward only")
