"""Tables of duty: who watches when, hand-over, tested numbers, calls to look. Times are UTC milliseconds; days are ISO dates of Asia/Shanghai."""

from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.store.base import Base, Id


class Roster(Base):
    """One shift of a unit and the rotation of people through it.

    It begins at `starts_min` after midnight of its day and lasts `minutes`; `days` is all | work | rest (make-up workdays are work). The people in
    `people` (ids) take turns of `turn_days` days each, counted from `anchor`; a turn may name several at once: a list in the list.
    """

    __tablename__ = "roster"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True)
    name: Mapped[str] = mapped_column(String(40))
    role: Mapped[str] = mapped_column(String(24), default="duty_officer")
    starts_min: Mapped[int]
    minutes: Mapped[int]
    days: Mapped[str] = mapped_column(String(8), default="all")
    turn_days: Mapped[int] = mapped_column(default=1)
    anchor: Mapped[str] = mapped_column(String(10))
    people: Mapped[list[Any]] = mapped_column(JSON, default=list)
    ended_at: Mapped[int | None]


class RosterChange(Base):
    """What a hand wrote over the rotation for one day: other people, or nobody (an empty list: the shift does not take place)."""

    __tablename__ = "roster_change"
    __table_args__ = (UniqueConstraint("roster", "day"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    roster: Mapped[int] = mapped_column(ForeignKey("roster.id"))
    day: Mapped[str] = mapped_column(String(10))
    people: Mapped[list[Any]] = mapped_column(JSON, default=list)
    why: Mapped[str] = mapped_column(String(120), default="")
    by: Mapped[str] = mapped_column(String(60), default="")
    at: Mapped[int]


class UnitPair(Base):
    """结对代管: the neighbour unit whose duty people stand in where a unit has nobody."""

    __tablename__ = "unit_pair"
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), primary_key=True)
    stand_in: Mapped[str] = mapped_column(ForeignKey("unit.code"))


class HandOver(Base):
    """交接班: what one shift gives to the next. `sha256` is over the body; each signature is account, instant and the hash that it signed."""

    __tablename__ = "hand_over"
    __table_args__ = (UniqueConstraint("unit", "since"), Index("hand_over_of", "unit", "until"))
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"))
    since: Mapped[int]
    until: Mapped[int]
    body: Mapped[dict[str, Any]] = mapped_column(JSON)
    sha256: Mapped[str] = mapped_column(String(64))
    remark: Mapped[str] = mapped_column(String(500), default="")
    given_by: Mapped[str] = mapped_column(String(60), default="")
    given_account: Mapped[int | None]
    given_at: Mapped[int | None]
    given_sign: Mapped[str] = mapped_column(String(64), default="")
    taken_by: Mapped[str] = mapped_column(String(60), default="")
    taken_account: Mapped[int | None]
    taken_at: Mapped[int | None]
    taken_sign: Mapped[str] = mapped_column(String(64), default="")


class PhoneCheck(Base):
    """A code sent to a number, to prove that the person answers it; `code_hash` is salted with the row's phone. One row per attempt to prove."""

    __tablename__ = "phone_check"
    __table_args__ = (Index("phone_check_of", "person", "sent_at"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    person: Mapped[int] = mapped_column(ForeignKey("person.id"))
    phone: Mapped[str] = mapped_column(String(20))
    code_hash: Mapped[str] = mapped_column(String(64))
    sent_at: Mapped[int]
    expires_at: Mapped[int]
    attempts: Mapped[int] = mapped_column(default=0)
    verified_at: Mapped[int | None]


class LookCall(Base):
    """派查: one click that asks the duty rooms of many rooms to send somebody; `unit` is the top of what was asked."""

    __tablename__ = "look_call"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True)
    alarm: Mapped[int | None] = mapped_column(ForeignKey("alarm.id"))
    by: Mapped[str] = mapped_column(String(60))
    at: Mapped[int]
    note: Mapped[str] = mapped_column(String(200), default="")


class LookItem(Base):
    """One room of a 派查. state: waiting | normal | problem | unreachable | unanswered."""

    __tablename__ = "look_item"
    __table_args__ = (UniqueConstraint("call", "room"), Index("look_item_open", "state", "phone"))
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    call: Mapped[int] = mapped_column(ForeignKey("look_call.id"))
    room: Mapped[str] = mapped_column(ForeignKey("room.code"))
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"))
    phone: Mapped[str] = mapped_column(String(20), default="")
    number: Mapped[str] = mapped_column(String(6), default="", index=True)
    state: Mapped[str] = mapped_column(String(12), default="waiting")
    answered_at: Mapped[int | None]
    answered_by: Mapped[str] = mapped_column(String(60), default="")
    via: Mapped[str] = mapped_column(String(16), default="")
    note: Mapped[str] = mapped_column(String(200), default="")
    proven: Mapped[bool] = mapped_column(Boolean, default=False)


class Reply(Base):
    """What a person has texted to us. `sid` is the provider's id of it, which makes it one however often it comes; `said_at` its instant there.

    `acted_at` None: taken, not yet acted upon; `answer` is what it came to.
    """

    __tablename__ = "reply"
    __table_args__ = (Index("reply_open", "acted_at", "taken_at"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    sid: Mapped[str] = mapped_column(String(80), unique=True)
    channel: Mapped[str] = mapped_column(String(24))
    phone: Mapped[str] = mapped_column(String(20))
    text: Mapped[str] = mapped_column(String(500))
    said_at: Mapped[int]
    taken_at: Mapped[int]
    acted_at: Mapped[int | None]
    answer: Mapped[str] = mapped_column(String(100), default="", server_default="")
