"""Shapes of answers, and what all bodies share. Instants are ISO 8601 in UTC, durations seconds, values in the unit beside them."""

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")


class Body(BaseModel):
    """What somebody asks for. A key that is not known is refused: whoever mistypes `until` must not be told that it is done."""

    model_config = ConfigDict(extra="forbid")


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
