"""Shapes of answers. Instants are ISO 8601 in UTC, durations seconds, values in the unit that stands beside them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

Item = TypeVar("Item")


class Done(BaseModel):
    """A sentence for the person."""

    sentence: str


class Page(BaseModel, Generic[Item]):
    """A part of a list. Follow `next` until it is null."""

    items: list[Item]
    next_cursor: str | None = Field(description="pass it back as `cursor` to get the following items")
    next: str | None = Field(description="address of the following items")


class SessionInfo(BaseModel):
    """Who is signed in, and what he may do."""

    login: str
    name: str
    role: str
    unit: str | None
    actions: list[str]
    expires_at: datetime | None
    last_login_at: datetime | None = None


class UnitView(BaseModel):
    """A unit; `rooms` counts those in it and below it."""

    code: str
    parent: str | None
    level: int = Field(description="1 province, 2 city, 3 county, 4 station")
    name: str
    short_name: str
    rooms: int


class UnitDetail(UnitView):
    """A unit with its way up, what lies under it, and its rooms per state."""

    path: list[str]
    children: list[UnitView]
    states: dict[str, int]


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


class CoverageView(BaseModel):
    """Which part of a time a room was watched. `watched_percent` is of `counted_s`, the time in use (在用), and null when there is none."""

    room: str
    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    watched_s: float
    degraded_s: float
    blind_s: float
    manual_s: float
    unknown_s: float
    counted_s: float
    watched_percent: float | None


class StretchView(BaseModel):
    """A stretch of a room's coverage."""

    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    state: str
    cause: str = Field(description="sensor | bus | gateway | uplink | server | planned | not_connected")
    detail: str


class CoverageDetail(CoverageView):
    """The ledger of one room."""

    spans: list[StretchView]


class RoomView(BaseModel):
    """A room as it is now. `state` is normal | warn | alarm | urgent | critical | degraded | blind | maintenance."""

    code: str
    unit: str
    unit_name: str
    name: str
    short_name: str
    medium: str
    stage: str
    state: str
    cause: str
    since: datetime | None
    missing: list[str] = Field(description="demanded quantities without fresh good data")
    values: dict[str, dict[str, Any]]
    worst_alarm: dict[str, Any] | None
    open_alarms: int
    gateway_online: bool | None


class PointValue(BaseModel):
    """A point with its newest value; `quality` is good | uncertain | bad | stale | missing."""

    point: str
    point_id: int
    gateway: str
    device: str
    quantity: str
    channel: str | None
    unit: str
    value: float | None
    quality: str
    reason: str | None
    taken_at: datetime | None
    age_s: float | None
    fresh_until: datetime | None
    acknowledges: bool


class RoomDetail(RoomView):
    """A room with its points, open alarms and today's coverage (from midnight, Beijing)."""

    band: dict[str, tuple[float | None, float | None]]
    demanded: list[str]
    maintenance_until: datetime | None
    maintenance_reason: str
    points: list[PointValue]
    alarms: list[dict[str, Any]]
    coverage_today: CoverageView


@dataclass(slots=True)
class BucketView:
    """One step of one point. `watched_s`: seconds of it covered by good samples. With step=raw, one sample and its quality."""

    time: datetime
    min: float | None
    mean: float | None
    max: float | None
    count: int
    watched_s: float
    quality: str | None = None


class SeriesView(BaseModel):
    """The history of one point. `outdoor` marks a reference outside, `source` names where it stands."""

    point: str
    point_id: int
    outdoor: bool
    source: str
    buckets: list[BucketView]


class HistoryView(BaseModel):
    """History of a quantity in a room. A gap is the absence of buckets."""

    room: str
    quantity: str
    unit: str
    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    step_s: int | None = Field(description="null for raw samples")
    band: tuple[float | None, float | None] | None
    derived: bool = Field(default=False, description="computed from temperature and humidity; `point_id` is then that of the temperature")
    series: list[SeriesView]


class GatewayView(BaseModel):
    """A gateway. `unit` is null while nobody has claimed it. `watermark`: highest sequence of its spool that is stored here without a gap."""

    code: str
    group: str
    unit: str | None
    name: str
    online: bool
    changed_at: datetime | None
    last_seen_at: datetime | None
    acknowledges: bool
    clock_offset_ms: int
    rules_version: str
    points: int
    epoch: str
    watermark: int | None
    lost: int


class AuditView(BaseModel):
    """An entry of the audit log; `chain` hashes this entry and the one before it."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
    chain: str
    unit: str = Field(description="unit that it concerns; empty: the whole")
    address: str
    session: str = Field(description="public part of the session or key")
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str


class AnchorView(BaseModel):
    """What a unit's branch of the audit log came to on a day; `node` hashes its own entries and the nodes of the units below it."""

    day: str
    unit: str
    first: int
    last: int
    chain: str
    count: int
    own: str
    children: list[list[str]]
    node: str
    made_at: datetime


class CommandResult(BaseModel):
    """What became of a command."""

    alarm: int | None = None
    room: str | None = None
    state: str
    sentence: str


class SnapshotReceipt(BaseModel):
    """A still that is now stored."""

    id: int
    sha256: str
    room: str | None
    taken_at: datetime


class ExportView(BaseModel):
    """An order for a paper or a data export. `sha256` is that of the file, `digest` that of the content."""

    id: int
    kind: str
    title: str
    unit: str
    code: str
    period: str
    format: str
    state: str = Field(description="queued, running, done or failed")
    done: int
    total: int
    asked_by: str
    asked_at: datetime
    finished_at: datetime | None
    file_name: str
    bytes: int
    sha256: str
    digest: str
    error: str


class ScorePartView(BaseModel):
    """One part of a score: numerator and denominator are ms, for `answering` numbers of alarms; percent is null without a denominator."""

    name: str
    percent: float | None
    numerator: int
    denominator: int


class ScoreView(BaseModel):
    """The score of a unit with everything below it; null while its rooms have no coverage ledger."""

    unit: str
    name: str
    period: str
    since: datetime
    until: datetime
    rooms: int
    score: float | None
    parts: list[ScorePartView]
