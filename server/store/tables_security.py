"""Tables of sign-in and evidence."""

from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from server.store.tables import Base


class AuditAnchor(Base):
    """What a unit's branch of the audit log came to on a day: a node of a tree of hashes that follows the units up to the province.

    `first` and `last` are the ids that the day covers; `own` hashes the unit's own entries among them, `node` that and the nodes below it.
    """

    __tablename__ = "audit_anchor"
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    unit: Mapped[str] = mapped_column(String(12), primary_key=True)
    first: Mapped[int]
    last: Mapped[int]
    chain: Mapped[str] = mapped_column(String(64))
    count: Mapped[int]
    own: Mapped[str] = mapped_column(String(64))
    children: Mapped[list[Any]] = mapped_column(JSON, default=list)
    node: Mapped[str] = mapped_column(String(64))
    made_at: Mapped[int]
