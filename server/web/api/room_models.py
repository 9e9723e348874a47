"""Rooms, their points, coverage and history, as the API shows them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field


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
