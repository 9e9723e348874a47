"""Tables of gateways beside tables_samples.py: entries of their logbooks."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.store.base import Base, Id


class GatewayEvent(Base):
    """An entry of a gateway's logbook: a write and its outcome, a local alarm, a spool that was replaced … `ident` is the gateway's, kept once."""

    __tablename__ = "gateway_event"
    __table_args__ = (UniqueConstraint("gateway", "ident"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    gateway: Mapped[str] = mapped_column(ForeignKey("gateway.code"))
    ident: Mapped[str] = mapped_column(String(40))
    at: Mapped[int]
    received_at: Mapped[int]
    kind: Mapped[str] = mapped_column(String(24))
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class GatewayCredential(Base):
    """What a gateway proves itself with. Only digests are kept: `mosquitto` and `nats` in the brokers' own forms, `token` (SHA-256) for HTTP.

    A gateway without a row here, or with `revoked_at`, has no way into the broker.
    """

    __tablename__ = "gateway_credential"
    gateway: Mapped[str] = mapped_column(ForeignKey("gateway.code"), primary_key=True)
    mosquitto: Mapped[str] = mapped_column(String(200))
    nats: Mapped[str] = mapped_column(String(80))
    token: Mapped[str] = mapped_column(String(64), unique=True)
    made_at: Mapped[int]
    made_by: Mapped[str] = mapped_column(String(120))
    revoked_at: Mapped[int | None]


class GatewayEnrolment(Base):
    """A box that asks to be claimed. `code` is the fingerprint of `public_key`; `sealed` is what only its private key opens, from the claim on."""

    __tablename__ = "gateway_enrolment"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    public_key: Mapped[str] = mapped_column(String(64), unique=True)
    code: Mapped[str] = mapped_column(String(11), index=True)
    hint: Mapped[str] = mapped_column(String(60), default="")
    version: Mapped[str] = mapped_column(String(20), default="")
    address: Mapped[str] = mapped_column(String(45), default="")
    first_seen_at: Mapped[int]
    last_seen_at: Mapped[int]
    claimed_at: Mapped[int | None]
    claimed_by: Mapped[str] = mapped_column(String(120), default="")
    gateway: Mapped[str | None] = mapped_column(ForeignKey("gateway.code"))
    sealed: Mapped[dict[str, Any] | None] = mapped_column(JSON)
