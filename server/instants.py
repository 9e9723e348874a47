"""UTC milliseconds as text, and the calendar days of Asia/Shanghai."""

from datetime import UTC, datetime

from alarms.coverage import day_of

_BEIJING_MS = 8 * 3_600_000


def instant(at: int) -> str:
    """ISO 8601 in UTC."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat().replace("+00:00", "Z")


def day_name(at: int) -> str:
    """The day of an instant, e.g. 2026-10-01."""
    return datetime.fromtimestamp((day_of(at)[0] + _BEIJING_MS) / 1000, UTC).date().isoformat()


def beijing(at: int) -> str:
    """Local time to the second, e.g. 2026-10-01 08:00:00."""
    return datetime.fromtimestamp((at + _BEIJING_MS) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
