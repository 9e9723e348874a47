"""Tables of gateways beside tables.py: entries of their logbooks."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.store.tables import Base, _Id


class GatewayEvent(Base):
    """An entry of a gateway's logbook: a write and its outcome, a local alarm, a spool that was replaced … `ident` is the gateway's, kept once."""

    __tablename__ = "gateway_event"
    __table_args__ = (UniqueConstraint("gateway", "ident"),)
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    gateway: Mapped[str] = mapped_column(ForeignKey("gateway.code"))
    ident: Mapped[str] = mapped_column(String(40))
    at: Mapped[int]
    received_at: Mapped[int]
    kind: Mapped[str] = mapped_column(String(24))
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
