"""Alarms, their messages and escalation, as the API shows them."""

from datetime import datetime

from pydantic import BaseModel, Field


class AlarmView(BaseModel):
    """An alarm. `state` is the ISA-18.2 state, `normal` once it is closed."""

    id: int
    number: str
    room: str | None
    room_name: str | None
    unit: str
    unit_name: str
    subject: str
    rule: str
    kind: str
    quantity: str
    event: str = Field(description="what happened, in Chinese")
    state: str
    level: str
    raised_at: datetime
    raised_value: float | None
    limit: float | None
    cleared_at: datetime | None
    closed_at: datetime | None
    occurrence: int
    acked_at: datetime | None
    acked_by: str
    note: str
    shelved_until: datetime | None
    known_late: bool
    drill: bool
    behaviour: str = Field(description="'' | chattering | fleeting")
    group: int | None = Field(description="the group alarm that speaks for this one")
    rooms: int = Field(description="rooms of a group alarm, else 1")


class TransitionView(BaseModel):
    """One change of an alarm."""

    id: int
    at: datetime
    name: str
    before: str
    after: str
    level: str
    by: str
    via: str
    note: str
    value: float | None


class NotificationView(BaseModel):
    """One message to one person. `phone` is masked for those who do not call people."""

    id: int
    alarm: int
    room: str | None
    level: str
    number: str
    reason: str
    step: int
    person: str
    phone: str
    channel: str
    text: str
    state: str
    attempts: int
    created_at: datetime
    due_at: datetime
    sent_at: datetime | None
    receipt: str
    receipt_at: datetime | None
    error: str


class EscalationView(BaseModel):
    """The next step of an escalation."""

    reason: str
    step: int
    due_at: datetime


class AlarmDetail(AlarmView):
    """An alarm with everything that happened to it."""

    transitions: list[TransitionView]
    notifications: list[NotificationView]
    next_escalation: EscalationView | None
    incident: int | None = None
    members: list[AlarmView] = Field(default_factory=list, description="of a group alarm: what it stands for, those that have left included")
    also_answered: list[str] = Field(default_factory=list, description="who else said that he takes it over")
    on_duty: list[str] = Field(default_factory=list, description="who is on duty for the unit now")
    shelve_max_s: int = Field(description="for how long one person may pause its reminders; 0: not at all")
    two_persons: bool = Field(description="only two people together may hold it back: out-of-service with a second person, or maintenance")
