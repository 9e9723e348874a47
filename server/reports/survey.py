"""What a period was like in one room: hours, shares in band, account, moisture, mould; measured by sensors, or by hand where there are none."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alarms.climate import days_to_mould, emc, preservation_index
from alarms.climate_series import TWPI_MIN_COVERAGE, mould_risk_factor, twpi
from server.reports.account import Account, account
from server.reports.period import DAY_MS, HOUR_MS, Period
from server.reports.sources import CLIMATE, Hour, Place, Sources, compliances, hours
from server.series import Compliance
from server.store import manual
from server.store.tables_papers import ManualReading

_MANUAL_HOLD_MS = 12 * HOUR_MS


class Extremes(NamedTuple):
    """Time-weighted mean, lowest and highest hourly mean; None without data."""

    mean: float | None
    low: float | None
    high: float | None


class Climate(NamedTuple):
    """What a period was like in one room. `by_hand` counts the readings when people, not sensors, measured it."""

    hours: list[Hour]
    known_ms: int
    whole_ms: int
    figures: dict[str, Extremes]
    inside: dict[str, Compliance]
    account: Account
    twpi: float | None
    mould: float
    moisture: tuple[float, float] | None
    by_hand: int


def survey(sources: Sources, place: Place, period: Period, now: int) -> Climate:
    """Measure the period up to now. A room without sensors is judged by its manual readings, each good for at most twelve hours."""
    end = min(period.until, now - now % HOUR_MS)
    end = max(end, period.since)
    by_hand: list[ManualReading] = []
    if not place.sensed:
        with sources.db.read() as session:
            by_hand = manual.valid(session, [place.code], period.since, end)[place.code]
    series = hours(sources.store, place, period.since, end) if place.sensed else _by_hand(by_hand, period.since, end)
    if place.sensed:
        found = compliances(sources.store, [place], period.since, end)
        inside = {quantity: found[place.code, quantity] for quantity in CLIMATE}
    else:
        inside = {quantity: _counted(by_hand, quantity, place.band(quantity)) for quantity in CLIMATE}
    return Climate(
        hours=series,
        known_ms=sum(hour.watched_ms for hour in series),
        whole_ms=max(end - period.since, 0),
        figures={quantity: extremes(series, quantity) for quantity in CLIMATE},
        inside=inside,
        account=account(series, place.band("temperature"), place.band("humidity")),
        twpi=_twpi(series, end - period.since),
        mould=_mould(series),
        moisture=_moisture(series),
        by_hand=len(by_hand),
    )


def extremes(series: Sequence[Hour], quantity: str) -> Extremes:
    """Mean weighted by the time measured, lowest and highest hour."""
    known = [(value, hour.watched_ms) for hour in series if (value := getattr(hour, quantity)) is not None and hour.watched_ms]
    if not known:
        return Extremes(None, None, None)
    whole = sum(weight for _, weight in known)
    return Extremes(sum(value * weight for value, weight in known) / whole, min(value for value, _ in known), max(value for value, _ in known))


def _known(series: Iterable[Hour]) -> Iterable[tuple[float, float, int]]:
    for hour in series:
        if hour.temperature is not None and hour.humidity is not None and hour.watched_ms:
            yield hour.temperature, hour.humidity, hour.watched_ms


def _twpi(series: Sequence[Hour], whole_ms: int) -> float | None:
    known = list(_known(series))
    if whole_ms <= 0 or 100 * sum(ms for _, _, ms in known) < TWPI_MIN_COVERAGE * whole_ms:
        return None
    return twpi([(preservation_index(t, rh), ms) for t, rh, ms in known])


def _mould(series: Sequence[Hour]) -> float:
    return mould_risk_factor([(days_to_mould(t, rh), ms / DAY_MS) for t, rh, ms in _known(series)])[1]


def _moisture(series: Sequence[Hour]) -> tuple[float, float] | None:
    values = [emc(t, rh) for t, rh, _ in _known(series)]
    return (min(values), max(values)) if values else None


def _by_hand(rows: Sequence[ManualReading], start: int, end: int) -> list[Hour]:
    """Hours that a manual reading stands for: until the next one, at most twelve."""
    found: list[Hour] = []
    index, current = 0, None
    for time in range(start, end, HOUR_MS):
        while index < len(rows) and rows[index].taken_at < time + HOUR_MS:
            current, index = rows[index], index + 1
        good = current is not None and time + HOUR_MS - current.taken_at <= _MANUAL_HOLD_MS
        full = good and current is not None and current.temperature is not None and current.humidity is not None
        found.append(
            Hour(time, current.temperature if good and current else None, current.humidity if good and current else None, HOUR_MS if full else 0)
        )
    return found


def _counted(rows: Sequence[ManualReading], quantity: str, band: tuple[float | None, float | None]) -> Compliance:
    values = [value for row in rows if (value := getattr(row, quantity)) is not None]
    low, high = band
    return Compliance(sum(1 for v in values if (low is None or v >= low) and (high is None or v <= high)), len(values))
