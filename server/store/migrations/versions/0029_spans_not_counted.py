"""Whether a room was in use at an instant is found without reading all stretches of its watch: of those out of use it has few."""

from collections.abc import Sequence

from alembic import op
from sqlalchemy import Boolean, column

revision: str = "0029"
down_revision: str | None = "0028"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    out_of_use = column("counted", Boolean).is_(False)
    op.create_index("coverage_not_counted", "coverage_span", ["room", "since"], sqlite_where=out_of_use, postgresql_where=out_of_use)


def downgrade() -> None:
    raise NotImplementedError("forward only")
