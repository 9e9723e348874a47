"""Phone numbers leave the search text of people: whoever may not see them could find them out digit by digit."""

from collections.abc import Sequence

from alembic import op

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("UPDATE person SET search = replace(search, ' ' || phone, '') WHERE phone <> ''")


def downgrade() -> None:
    raise NotImplementedError("forward only")
