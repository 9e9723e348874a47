"""Units, rooms and people; who may sign in, and who has."""

from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from server.store.base import Base, Id


class Unit(Base):
    """A unit of the organisation tree; `level` 1 province … 4 station. `kind` names what a specialised unit is for ('' = territorial).

    A merged unit stays as a row with `merged_into`, so that its code can be forwarded; `search` holds what people may type (name, pinyin, code).
    """

    __tablename__ = "unit"
    code: Mapped[str] = mapped_column(String(12), primary_key=True)
    parent: Mapped[str | None] = mapped_column(ForeignKey("unit.code"), index=True)
    level: Mapped[int]
    name: Mapped[str] = mapped_column(String(120))
    short_name: Mapped[str] = mapped_column(String(12))
    duty_phone: Mapped[str | None] = mapped_column(String(20))
    kind: Mapped[str] = mapped_column(String(16), default="")
    merged_into: Mapped[str | None] = mapped_column(String(12))
    closed_at: Mapped[int | None]
    search: Mapped[str] = mapped_column(String(300), default="")


class Person(Base):
    """A person who can be told something. Roles are in person_role (tables_org.py); `duty` repeats the first of them, or ''.

    `disabled_at` is set when the person has left or an administrator took the person out; `last_seen_at` is the last sign of life (sign-in, answer,
    personnel feed) and decides who is dormant. `ways`: sms, voice, email in the order in which the person wants to be reached, [] = that order.
    """

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    code: Mapped[str] = mapped_column(String(32), unique=True)
    name: Mapped[str] = mapped_column(String(60))
    phone: Mapped[str | None] = mapped_column(String(20))
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True)
    duty: Mapped[str] = mapped_column(String(24), default="")
    phone_verified_at: Mapped[int | None]
    landline: Mapped[bool] = mapped_column(Boolean, default=False)
    email: Mapped[str] = mapped_column(String(120), default="")
    ways: Mapped[list[str]] = mapped_column(JSON, default=list, server_default="[]")
    disabled_at: Mapped[int | None]
    disabled_why: Mapped[str] = mapped_column(String(120), default="")
    last_seen_at: Mapped[int | None]
    search: Mapped[str] = mapped_column(String(300), default="")


class Room(Base):
    """An archive room. `demanded` lists the quantities that must be fresh for the room to count as watched."""

    __tablename__ = "room"
    code: Mapped[str] = mapped_column(String(16), primary_key=True)
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True)
    name: Mapped[str] = mapped_column(String(120))
    short_name: Mapped[str] = mapped_column(String(12))
    sms_place: Mapped[str] = mapped_column(String(9))
    kind: Mapped[str] = mapped_column(String(24), default="store")
    medium: Mapped[str] = mapped_column(String(24), default="paper")
    stage: Mapped[str] = mapped_column(String(16), default="in_use")
    city: Mapped[str] = mapped_column(String(24), default="fuzhou")
    demanded: Mapped[list[Any]] = mapped_column(JSON, default=list)
    person: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    maintenance_until: Mapped[int | None]
    maintenance_by: Mapped[str] = mapped_column(String(60), default="")
    maintenance_reason: Mapped[str] = mapped_column(String(200), default="")
    maintenance_second: Mapped[str] = mapped_column(String(60), default="")
    location: Mapped[str] = mapped_column(String(120), default="")
    search: Mapped[str] = mapped_column(String(300), default="")


class Account(Base):
    """A sign-in. `role` is duty | in_charge | inspector | system | security | audit; rights reach `unit` and below. `used_at` is its last sign-in."""

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    login: Mapped[str] = mapped_column(String(60), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(16))
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"))
    person: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    display_name: Mapped[str] = mapped_column(String(60))
    disabled: Mapped[bool] = mapped_column(Boolean, default=False)
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[int | None]
    used_at: Mapped[int | None]


class WebSession(Base):
    """A revocable browser session; only the SHA-256 of the token is stored. With `view_role` its owner looks around as that role, at `view_unit`."""

    __tablename__ = "web_session"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    created_at: Mapped[int]
    last_seen_at: Mapped[int]
    expires_at: Mapped[int]
    address: Mapped[str] = mapped_column(String(45), default="", server_default="")
    agent: Mapped[str] = mapped_column(String(120), default="", server_default="")
    view_role: Mapped[str] = mapped_column(String(16), default="", server_default="")
    view_unit: Mapped[str] = mapped_column(String(12), default="", server_default="")
