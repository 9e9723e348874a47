"""What the watch tells the live board: small frozen facts, published after each commit. Instants are UTC ms.

A fact replaces the one with the same key: rooms by code, points by id, readings by point, alarms by id, coverage by room, gateways by code.
Levels and states are the words of the HTTP surface ("critical", "active_unacked" …), never numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

OUTDOOR = "outdoor"
"""Channel of a reference probe outside the room: shown beside the room's values, never counted as one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFact:
    """A unit and its way up: `path` runs from the province down to and including `code`."""

    code: str
    path: tuple[str, ...]
    name: str
    short_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomFact:
    """A room as configured. `unit_path` runs from the province down to and including `unit`.

    `band` maps a quantity to (low, high), either of them None where open. `demanded` are the quantities that must be fresh.
    """

    code: str
    unit: str
    unit_path: tuple[str, ...]
    name: str
    unit_name: str
    short_name: str = ""
    medium: str = "paper"
    stage: str = "in_use"
    band: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    demanded: tuple[str, ...] = ()
    maintenance_until: int | None = None
    maintenance_by: str = ""
    maintenance_reason: str = ""
    maintenance_second: str = ""
    removed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PointFact:
    """A measured point. A sample of it is fresh while now < taken_at + `deadline_ms`; `acknowledges` is False behind foreign gateways."""

    point_id: int
    room: str | None
    gateway: str
    device: str
    quantity: str
    channel: str = ""
    unit: str = ""
    interval_ms: int | None = None
    deadline_ms: int
    acknowledges: bool = True


class ReadingFact(msgspec.Struct, frozen=True, gc=False):
    """The newest live sample of a point; `at` is its instant on the server's axis: corrected by the gateway's clock error, and never later than
    `received_at`, because a clock that runs ahead cannot keep a value fresh.

    A struct outside the garbage collector's sight, because there is one for every sample of the province.
    """

    point_id: int
    value: float | None
    quality: str
    taken_at: int
    received_at: int
    reason: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmFact:
    """An alarm as it stands after a transition. `annunciate` asks for attention now; `closed` takes it off the board.

    `rooms` counts the rooms of a group alarm (合并告警), 1 otherwise; `group` is the group alarm that speaks for this one. `behaviour` is "" |
    chattering | fleeting.
    """

    alarm_id: int
    room: str | None
    unit: str
    subject: str
    rule: str
    kind: str = ""
    quantity: str = ""
    state: str
    level: str
    raised_at: int
    raised_value: float | None = None
    limit: float | None = None
    occurrence: int = 1
    acked_by: str = ""
    acked_at: int | None = None
    cleared_at: int | None = None
    shelved_until: int | None = None
    number: str = ""
    rooms: int = 1
    drill: bool = False
    known_late: bool = False
    behaviour: str = ""
    group: int | None = None
    annunciate: bool = False
    closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageFact:
    """The open coverage span of a room: `state` is watched | degraded | blind | manual, `cause` why it is not watched."""

    room: str
    state: str
    cause: str = ""
    since: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFact:
    """A gateway and the rooms it reads; `since` is when `online` last changed. `unit` is None while nobody has claimed it."""

    code: str
    unit: str | None
    online: bool
    since: int
    last_seen_at: int
    acknowledges: bool = True
    rooms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FloodFact:
    """告警高峰 at the desk of a unit begins (`since` is set) or ends; `alarms` counts the new ones of the last ten minutes."""

    unit: str
    since: int | None
    alarms: int


@dataclass(frozen=True, slots=True)
class ClockFact:
    """The server's clock was ahead by so many ms and has been put back: what was last heard is as old as before."""

    by: int


Fact = UnitFact | RoomFact | PointFact | ReadingFact | AlarmFact | CoverageFact | GatewayFact | FloodFact | ClockFact
