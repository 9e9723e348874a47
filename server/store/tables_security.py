"""Tables of sign-in and evidence."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Index, Integer, String, column
from sqlalchemy.orm import Mapped, mapped_column

from server.store.base import Base, Id
from server.store.functions import PlaceNamed


class AuditEntry(Base):
    """Who changed what, when, from where and why; append-only (triggers refuse anything else), each row hashes the one before it.

    `unit` is the unit that the entry concerns ("" the whole); `session` the public part of a session or key; `version` says how the row was hashed.
    """

    __tablename__ = "audit"
    __table_args__ = (
        Index("audit_by_subject", "subject", "action"),
        Index("audit_by_unit", "unit", "id"),
        Index("audit_by_actor", "actor", "id"),
        Index("audit_by_time", "at", "id", "action", "subject"),
        Index("audit_by_place", PlaceNamed(column("subject")), "at"),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    at: Mapped[int]
    actor: Mapped[str] = mapped_column(String(60))
    action: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(120))
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    chain: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    unit: Mapped[str] = mapped_column(String(12), default="", server_default="")
    address: Mapped[str] = mapped_column(String(45), default="", server_default="")
    session: Mapped[str] = mapped_column(String(16), default="", server_default="")
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    reason: Mapped[str] = mapped_column(String(200), default="", server_default="")


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


class AccountSecurity(Base):
    """What an account needs beside its password. Without a row: no second factor, no end, no forced change. Instants are UTC ms.

    `visitor` accounts read only, for a limited time. `certificate` is the subject of a client certificate that a trusted proxy has verified.
    """

    __tablename__ = "account_security"
    account: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True, autoincrement=False)
    password_changed_at: Mapped[int | None]
    must_change: Mapped[bool] = mapped_column(Boolean, default=False)
    totp_required: Mapped[bool] = mapped_column(Boolean, default=False)
    totp_secret: Mapped[str] = mapped_column(String(64), default="")
    totp_waiting: Mapped[str] = mapped_column(String(64), default="", server_default="")
    """A new secret before its first code; until then the one in force stays."""
    totp_since: Mapped[int | None]
    totp_step: Mapped[int] = mapped_column(default=0)
    valid_from: Mapped[int | None]
    valid_until: Mapped[int | None]
    visitor: Mapped[bool] = mapped_column(Boolean, default=False)
    certificate: Mapped[str | None] = mapped_column(String(200), unique=True)
    pin_hash: Mapped[str] = mapped_column(String(120), default="")
    """For acting at a terminal, and for nothing else."""


class OidcRequest(Base):
    """A sign-in that has gone to the provider and not come back yet; `state` is kept as a hash and counts once."""

    __tablename__ = "oidc_request"
    state: Mapped[str] = mapped_column(String(64), primary_key=True)
    nonce: Mapped[str] = mapped_column(String(64))
    verifier: Mapped[str] = mapped_column(String(128))
    target: Mapped[str] = mapped_column(String(300))
    made_at: Mapped[int]


class ApiKey(Base):
    """A key for a program, shown once and kept as a digest. It may do what `actions` names and its owner's role allows, in `unit` and below."""

    __tablename__ = "api_key"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(60))
    account: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    unit: Mapped[str] = mapped_column(String(12))
    actions: Mapped[list[Any]] = mapped_column(JSON, default=list)
    created_at: Mapped[int]
    expires_at: Mapped[int]
    revoked_at: Mapped[int | None]


class Kiosk(Base):
    """A terminal that shows the board all night: reads only, has no time-out, and is ended by hand alone."""

    __tablename__ = "kiosk"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(60))
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"))
    created_at: Mapped[int]
    created_by: Mapped[int] = mapped_column(ForeignKey("account.id"))
    revoked_at: Mapped[int | None]
