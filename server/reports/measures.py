"""What inspection report and scorecard count per room: coverage with causes, compliance, alarms and how fast they were taken over."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.reports.period import Period
from server.reports.sources import CLIMATE, Place, Sources, compliances, places
from server.series import Compliance
from server.store import coverage
from server.store.coverage import Share, Stretch
from server.store.tables import Alarm, Room
from server.store.units import below

LIMITS_MS = {"critical": 60_000, "urgent": 5 * 60_000, "alarm": 30 * 60_000}
"""How soon an alarm of each level is to be taken over, for reports and scores; 提示 asks for nobody."""
EXCUSED = ("planned", "power", "uplink", "server")
"""Causes of interruption that the unit itself cannot control."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Alarms of a period (drills excluded). `asked` wanted to be taken over, `timely` were within the limit of their level."""

    by_level: dict[str, int]
    late_known: int
    asked: int
    timely: int
    never: int
    times_ms: tuple[int, ...]

    @property
    def median_ms(self) -> float | None:
        """Median time until taken over."""
        return median(self.times_ms) if self.times_ms else None

    @property
    def slow_ms(self) -> float | None:
        """90th percentile of that time; None below five alarms."""
        return quantiles(self.times_ms, n=10)[8] if len(self.times_ms) >= 5 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomMeasure:
    """One room in one period. `coverage`, `lost` (the time not watched, ms by cause) and `inside` are of the time in which it was in use (在用): only
    that makes percentages. `elapsed_ms`: how much of the period has passed.
    """

    place: Place
    coverage: Share
    lost: dict[str, int]
    inside: dict[str, Compliance]
    elapsed_ms: int
    alarms: Answering

    @property
    def accounted_ms(self) -> int:
        """What the ledger accounts for while the room was in use."""
        known = self.coverage
        return known.watched + known.degraded + known.blind + known.manual

    @property
    def excused_ms(self) -> int:
        """Time lost for reasons that the unit cannot control."""
        return sum(ms for cause, ms in self.lost.items() if cause in EXCUSED)


def rooms_of(session: Session, unit: str) -> Sequence[Room]:
    """Rooms of a subtree by code, those out of use left out."""
    return session.scalars(select(Room).where(Room.unit.in_(below(unit)), Room.stage != "retired").order_by(Room.code)).all()


def measure(sources: Sources, rooms: Sequence[Room], period: Period, now: int) -> list[RoomMeasure]:
    """Measure each room up to now."""
    end = max(period.since, min(period.until, now))
    codes = [room.code for room in rooms]
    with sources.db.read() as session:
        found = places(session, sources, rooms)
        ledger = coverage.stretches(session, codes, period.since, end)
        spans = {code: [span for span in all_of_it if span.counted] for code, all_of_it in ledger.items()}
        alarms = _alarms(session, codes, period.since, end)
    kept = compliances(sources.store, found, period.since, end)
    for place in found:
        in_use = _in_use(ledger[place.code], period.since, end)
        if in_use != [(period.since, end)]:
            parts = [compliances(sources.store, [place], *part) for part in in_use]
            for quantity in CLIMATE:
                some = [part[place.code, quantity] for part in parts]
                kept[place.code, quantity] = Compliance(sum(one.in_band_ms for one in some), sum(one.valid_ms for one in some))
    return [
        RoomMeasure(
            place=place,
            coverage=coverage.share(spans[place.code], period.since, end),
            lost=_lost(spans[place.code]),
            inside={quantity: kept[place.code, quantity] for quantity in CLIMATE},
            elapsed_ms=end - period.since,
            alarms=answering(alarms[place.code]),
        )
        for place in found
    ]


def _in_use(ledger: Sequence[Stretch], start: int, end: int) -> list[tuple[int, int]]:
    """The period without the stretches in which the room was on record, but not in use. History from before its ledger counts."""
    found, since = list[tuple[int, int]](), start
    for stretch in (one for one in ledger if not one.counted):
        if since < stretch.since:
            found.append((since, stretch.since))
        since = max(since, stretch.until)
    return [*found, (since, end)] if since < end else found


def answering(alarms: Iterable[Alarm]) -> Answering:
    """Count alarms and how they were answered. Known-late ones are counted apart: nobody could have answered them in time."""
    rows = [alarm for alarm in alarms if not alarm.drill]
    live = [alarm for alarm in rows if not alarm.known_late]
    asked = [alarm for alarm in live if alarm.level in LIMITS_MS]
    times = tuple(max(0, alarm.acked_at - alarm.raised_at) for alarm in asked if alarm.acked_at is not None)
    timely = sum(1 for alarm in asked if alarm.acked_at is not None and alarm.acked_at - alarm.raised_at <= LIMITS_MS[alarm.level])
    return Answering(
        by_level=dict(Counter(alarm.level for alarm in live)),
        late_known=len(rows) - len(live),
        asked=len(asked),
        timely=timely,
        never=sum(1 for alarm in asked if alarm.acked_at is None),
        times_ms=times,
    )


def together(parts: Sequence[Answering]) -> Answering:
    """The sum of several rooms."""
    levels: Counter[str] = Counter()
    for part in parts:
        levels.update(part.by_level)
    return Answering(
        by_level=dict(levels),
        late_known=sum(p.late_known for p in parts),
        asked=sum(p.asked for p in parts),
        timely=sum(p.timely for p in parts),
        never=sum(p.never for p in parts),
        times_ms=tuple(time for p in parts for time in p.times_ms),
    )


def _alarms(session: Session, rooms: Sequence[str], start: int, end: int) -> dict[str, list[Alarm]]:
    found: dict[str, list[Alarm]] = defaultdict(list)
    for offset in range(0, len(rooms), 500):
        query = select(Alarm).where(Alarm.room.in_(rooms[offset : offset + 500]), Alarm.raised_at >= start, Alarm.raised_at < end)
        for alarm in session.scalars(query.order_by(Alarm.id)):
            found[alarm.room or ""].append(alarm)
    return found


def _lost(spans: Iterable[Stretch]) -> dict[str, int]:
    lost: Counter[str] = Counter()
    for span in spans:
        if span.state in ("blind", "degraded"):
            lost[span.cause or "unknown"] += span.until - span.since
    return dict(lost.most_common())
