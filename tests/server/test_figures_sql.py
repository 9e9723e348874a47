"""The figures of a desk against SQL that was written apart from them: a made month, cut at midnights of Beijing, with rooms of every stage."""

import random

import pytest
from sqlalchemy import text

from alarms.coverage import DAY_MS, day_of
from server.store.performance import desk
from server.store.tables import Alarm, CoverageSpan, Transition
from server.store.tables_watch import Annunciation

MINUTE, UNIT = 60_000, "350102000000"
ASKED = """
  SELECT n.at AS at, a.subject || '|' || a.rule AS tag, n.level AS level FROM annunciation n JOIN alarm a ON a.id = n.alarm
  WHERE NOT a.drill AND n.at >= :start AND n.at < :end
    AND NOT EXISTS (SELECT 1 FROM coverage_span s WHERE s.room = a.room AND NOT s.counted AND n.at >= s.since AND n.at < coalesce(s.until, 9e15))
"""
FIGURES = {
    "per_hour": f"SELECT count(*) * 3600000.0 / (:end - :start) FROM ({ASKED})",
    "peak_10_minutes": f"SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM ({ASKED}) GROUP BY at / 600000)",
    "windows_above_10": f"SELECT 100.0 * count(*) / ((:end - :start) / 600000) FROM"
    f" (SELECT 1 FROM ({ASKED}) GROUP BY at / 600000 HAVING count(*) > 10)",
    "top_10_share": f"SELECT 100.0 * sum(n) / (SELECT count(*) FROM ({ASKED})) FROM"
    f" (SELECT count(*) AS n FROM ({ASKED}) GROUP BY tag ORDER BY n DESC LIMIT 10)",
    "stale_worst_day": """
      SELECT coalesce(max(n), 0) FROM (SELECT (SELECT count(*) FROM alarm b WHERE b.raised_at + 86400000 <= i.at
        AND coalesce(b.cleared_at, b.closed_at, :end) > i.at AND NOT b.drill AND b.raised_at < :end
        AND coalesce(b.closed_at, 9e15) >= :start AND NOT EXISTS (SELECT 1 FROM coverage_span s WHERE s.room = b.room AND NOT s.counted
          AND b.raised_at >= s.since AND b.raised_at < coalesce(s.until, 9e15))) AS n
      FROM (SELECT max(raised_at + 86400000, :start) AS at FROM alarm) i WHERE i.at < :end)
    """,
}


@pytest.fixture
def month(slice_):
    """A month that begins and ends at midnight in Beijing, with alarms on and over its limits. Returns (slice, start, end)."""
    dice, start = random.Random(4), day_of(slice_.T0)[0]
    end = start + 30 * DAY_MS
    with slice_.db.write() as session:
        session.query(CoverageSpan).delete()
        turns = [start - DAY_MS, start + 5 * DAY_MS, start + 9 * DAY_MS, None]
        for since, until, counted in zip(turns, turns[1:], (True, False, True), strict=False):
            session.add(CoverageSpan(room=slice_.ROOM, since=since, until=until, state="watched", counted=counted))
        for number in range(60):
            bursts = [start, end - 1, start - 1, end, start + 7 * DAY_MS, start + 20 * DAY_MS + dice.randrange(DAY_MS)]
            at = dice.choice([*bursts, start + dice.randrange(-DAY_MS, 31 * DAY_MS)])
            cleared = dice.choice([None, at + dice.randrange(3 * DAY_MS)])
            alarm = Alarm(
                subject=f"point:{number % 17}", rule=dice.choice(["x", "y"]), kind="threshold", quantity="humidity", unit=UNIT,
                room=dice.choice([slice_.ROOM, slice_.OTHER, None]), state="normal" if cleared else "active_unacked", level="warn", raised_at=at,
                cleared_at=cleared, closed_at=cleared, drill=dice.random() < 0.1, number=f"9{number}",
            )  # fmt: skip
            session.add(alarm)
            session.flush()
            for _ in range(dice.choice([0, 1, 2, 14])):
                when, level = at + dice.randrange(12 * MINUTE), dice.choice(["warn", "alarm", "urgent", "critical"])
                row = Transition(alarm=alarm.id, at=when, name="raised", before="normal", after="active_unacked", level=level)
                session.add(row)
                session.flush()
                session.add(Annunciation(transition=row.id, alarm=alarm.id, at=when, level=level))
    return slice_, start, end


def test_every_figure_is_what_sql_says_and_rooms_not_in_use_are_in_none(month):
    made, start, end = month
    for since, until in ((start, end), (start, start + DAY_MS), (start + 5 * DAY_MS, start + 9 * DAY_MS), (end - DAY_MS, end)):
        with made.db.read() as session:
            found = desk(session, UNIT, since, until).performance
            told = {name: session.scalar(text(query), {"start": since, "end": until}) for name, query in FIGURES.items()}
        figures = {figure.name: figure.value for figure in found.figures}
        assert {name: figures[name] for name in told} == pytest.approx(told)
        assert sum(found.levels.values()) == found.asked
