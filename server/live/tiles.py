"""What a room looks like at one instant, and how its state follows from data, alarms and maintenance. Instants are UTC ms."""

from dataclasses import dataclass

from server.live.facts import OUTDOOR, AlarmFact, CoverageFact, GatewayFact, PointFact, ReadingFact, RoomFact

STATES = ("critical", "urgent", "alarm", "blind", "degraded", "warn", "maintenance", "normal")
"""States of a room, worst first."""

UNCONNECTED_STAGES = ("not_connected", "retired")
"""Stages of a room in which nothing is expected from it: counted apart, neither good nor blind."""

FRESH = "good"
"""The one quality that proves that a quantity is watched."""

# A silenced alarm is still open, and a room with something open is not normal.
_SILENCED = {"shelved": "warn", "suppressed": "maintenance", "out_of_service": "maintenance"}
_RANK = {state: rank for rank, state in enumerate(STATES)}


def severity(state: str) -> int:
    """Sort key of a room state or level: 0 is the worst."""
    return _RANK[state]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointView:
    """One point as a person may be shown it. `quality` is good | uncertain | bad | stale | missing.

    `taken_at` is the sender's clock, `at` the same instant on the server's; ages count from `at`.
    """

    point_id: int
    gateway: str
    device: str
    quantity: str
    channel: str
    unit: str
    value: float | None
    quality: str
    reason: str
    taken_at: int | None
    at: int | None
    age_ms: int | None
    deadline_at: int | None
    acknowledges: bool

    @property
    def fresh(self) -> bool:
        """Whether it proves that its quantity is watched."""
        return self.quality == FRESH

    @property
    def key(self) -> str:
        """`<gateway>/<device>/<quantity>[/<channel>]`."""
        return "/".join(part for part in (self.gateway, self.device, self.quantity, self.channel) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomTile:
    """A room at one instant. `missing` are the demanded quantities without fresh good data; `alarms` are open ones, worst first."""

    fact: RoomFact
    state: str
    cause: str
    since: int | None
    missing: tuple[str, ...]
    points: tuple[PointView, ...]
    alarms: tuple[AlarmFact, ...]
    coverage: CoverageFact | None
    gateways: tuple[GatewayFact, ...]

    @property
    def code(self) -> str:
        """Room code."""
        return self.fact.code

    @property
    def group(self) -> str:
        """The state under which the room is counted; `unconnected` apart from the others."""
        return "unconnected" if self.fact.stage in UNCONNECTED_STAGES else self.state

    @property
    def worst(self) -> AlarmFact | None:
        """The open alarm that matters most, if any."""
        return self.alarms[0] if self.alarms else None

    def headline(self, quantity: str) -> PointView | None:
        """The one value to show for a quantity: a fresh one before a doubtful one, and of several the furthest from the middle of the band."""
        views = [view for view in self.points if view.quantity == quantity and view.channel != OUTDOOR]
        low, high = self.fact.band.get(quantity, (None, None))
        middle = (low + high) / 2 if low is not None and high is not None else 0.0
        rank = ("good", "uncertain", "stale", "bad", "missing")
        return min(views, key=lambda v: (rank.index(v.quality), -abs((v.value or 0.0) - middle)), default=None)

    def outdoor(self, quantity: str) -> PointView | None:
        """The room's own reference probe outside, if it has one."""
        return next((view for view in self.points if view.quantity == quantity and view.channel == OUTDOOR), None)


def alarm_order(alarm: AlarmFact) -> tuple[int, int]:
    """Sort key: the worst first, of equals the newest."""
    return severity(state_of(alarm)), -alarm.raised_at


def state_of(alarm: AlarmFact) -> str:
    """The room state that an open alarm stands for."""
    return _SILENCED.get(alarm.state, alarm.level)


def quality_of(point: PointFact, reading: ReadingFact | None, now: int) -> str:
    """What its newest reading is worth at `now`: past its deadline it is stale, whatever it said."""
    if reading is None:
        return "missing"
    return "stale" if now >= reading.at + point.deadline_ms else reading.quality


def view_of(point: PointFact, reading: ReadingFact | None, now: int) -> PointView:
    """A point with its newest reading as it may be shown at `now`."""
    return PointView(
        point_id=point.point_id,
        gateway=point.gateway,
        device=point.device,
        quantity=point.quantity,
        channel=point.channel,
        unit=point.unit,
        value=None if reading is None else reading.value,
        quality=quality_of(point, reading, now),
        reason="" if reading is None else reading.reason,
        taken_at=None if reading is None else reading.taken_at,
        at=None if reading is None else reading.at,
        age_ms=None if reading is None else max(0, now - reading.at),
        deadline_at=None if reading is None else reading.at + point.deadline_ms,
        acknowledges=point.acknowledges,
    )


def data_state(demanded: tuple[str, ...], missing: tuple[str, ...]) -> str:
    """blind | degraded | normal, from what is demanded and what of it has no fresh good sample."""
    # A room of which nothing is demanded proves nothing: it is blind, not normal.
    if len(missing) == len(demanded):
        return "blind"
    return "degraded" if missing else "normal"


def cause_of(fact: RoomFact, data: str, coverage: CoverageFact | None) -> str:
    """Why the data state is not normal: the ledger's cause where it agrees, else `unknown`."""
    if fact.stage in UNCONNECTED_STAGES or not fact.demanded:
        return "not_connected"
    if data == "normal":
        return ""
    if coverage is not None and coverage.state == "manual":
        return "manual"
    return coverage.cause if coverage and coverage.state == data else "unknown"
