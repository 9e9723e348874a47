"""Rule sets on trial: judged on the journal beside the rules in force, in one unit, and told to nobody.

A follower like history: it reads what was accepted, and what it has read, remembers and would have raised is one transaction, so that a restart goes
on where it stopped. It has no way to an alarm, a message or a tile. The local tightenings in force are added to the rule set on trial as well, so
that the comparison shows the rules and not the tightenings.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from alarms.kinds import KINDS
from alarms.model import Level, RuleSet
from alarms.trial import ENDS, RAISES, Comparison, Occurrence, Outcome, Trial, compare, occurrences
from contract.sample import Quality
from server.settings import WatchSettings
from server.store import audit, journal, limits, rule_sets, units
from server.store.holidays import Given
from server.store.journal import JournalDamagedError, JournalRow
from server.store.places import Place, places
from server.store.session import Database
from server.store.tables import Alarm, JournalCursor, Room, Transition
from server.store.tables_alarms import ShadowAlarm, ShadowRun

log = logging.getLogger("server.trials")

READER = "trials"
UNCONNECTED = ("not_connected", "retired")
MOST_ACTIVE = 3
FURNISH_MS = 60_000
_ENTRIES = 200
_USABLE = (journal.QUALITY_CODE[Quality.GOOD], journal.QUALITY_CODE[Quality.UNCERTAIN])


class TrialError(ValueError):
    """A trial that cannot begin; `str` is one Chinese sentence."""


def start(session: Session, *, name: str, unit: str, rules: RuleSet, until: int | None, by: str, now: int) -> ShadowRun:
    """Begin a trial in a unit and everything below it. Raises TrialError."""
    if until is not None and until <= now:
        raise TrialError("结束时间须晚于现在。")
    if not rules.rules:
        raise TrialError("规则文件里没有规则。")
    if len(active(session, now)) >= MOST_ACTIVE:
        raise TrialError(f"同时最多试行 {MOST_ACTIVE} 套规则，请先结束一套。")
    run = ShadowRun(name=name, unit=unit, body=rules.canonical(), version=rules.version, by=by, since=now, until=until, memory={})
    session.add(run)
    session.flush()
    if session.get(JournalCursor, READER) is None:
        # What is in the journal already was judged before the trial began.
        newest = next((entry.id for entry in journal.walk_back(session, 1)), 0)
        journal.advance(session, READER, newest)
    audit.append(session, by, "rules.trial.start", f"trial:{run.id}", {"name": name, "version": rules.version, "until": until}, now, unit=unit)
    return run


def end(session: Session, run: ShadowRun, by: str, now: int) -> None:
    """End a trial now; what it has found stays."""
    run.until = now
    audit.append(session, by, "rules.trial.end", f"trial:{run.id}", {"name": run.name}, now, unit=run.unit)


def active(session: Session, now: int) -> Sequence[ShadowRun]:
    """Trials that run."""
    return [run for run in session.scalars(select(ShadowRun).order_by(ShadowRun.id)) if is_active(run, now)]


def is_active(run: ShadowRun, now: int) -> bool:
    """Whether a trial runs at an instant."""
    return run.until is None or run.until > now


def page(session: Session, scope: str | None, *, before: int | None = None, limit: int = 50) -> Sequence[ShadowRun]:
    """All trials of a subtree, newest first."""
    query = select(ShadowRun).where(ShadowRun.unit.in_(units.below(scope)))
    return session.scalars((query if before is None else query.where(ShadowRun.id < before)).order_by(ShadowRun.id.desc()).limit(limit)).all()


class Trials:
    """The follower. One thread calls `run_once`. `given`: the days of the operator's file of holidays."""

    def __init__(self, db: Database, settings: WatchSettings, given: Given) -> None:
        self._db, self._settings, self._given = db, settings, given
        self._trials: dict[int, tuple[Trial, int]] = {}

    def run_once(self, now: int) -> int:
        """Judge what has been accepted since the last time; returns the number of alarms that trials would have raised."""
        raised, more = 0, True
        while more:
            found, more = self._portion(now)
            raised += found
        return raised

    def _portion(self, now: int) -> tuple[int, bool]:
        """One transaction: alarms, and whether the journal may hold more."""
        with self._db.read() as session:
            runs = active(session, now)
            entries = journal.read_after(session, journal.cursor_of(session, READER), _ENTRIES) if runs else []
            self._trials = {run.id: self._furnished(session, run, now) for run in runs}
            reading = session.get(JournalCursor, READER) is not None
        if not runs:
            if reading:  # a reader that stands still would keep the journal for ever
                with self._db.write() as session:
                    session.execute(delete(JournalCursor).where(JournalCursor.reader == READER))
            return 0, False
        rows = list(_rows(entries))
        more = len(entries) == _ENTRIES
        try:
            with self._db.write() as session:
                raised = sum(self._judge(session, run, rows, rows[-1].received_at if more and rows else now) for run in runs)
                if entries:
                    journal.advance(session, READER, entries[-1].id)
        except BaseException:
            self._trials.clear()  # what is in memory is ahead of what was written: read it back
            raise
        return raised, more

    def _furnished(self, session: Session, run: ShadowRun, now: int) -> tuple[Trial, int]:
        trial, furnished = self._trials.get(run.id) or (Trial.recalled(run.memory, run.since), 0)
        if now - furnished < FURNISH_MS:
            return trial, furnished
        rules = limits.effective_rules(session, rule_sets.parsed(run.version, run.body), now, self._given)
        trial.furnish(rules, _connected(session, places(session, run.unit, self._settings)))
        return trial, now

    def _judge(self, session: Session, run: ShadowRun, rows: Iterable[JournalRow], until: int) -> int:
        trial, _ = self._trials[run.id]
        found: list[Outcome] = []
        for row in rows:
            if trial.knows(row.point_id) and not row.historical and row.received_at >= run.since:
                found += trial.see(row.point_id, min(row.taken_at, row.received_at), row.value if row.quality in _USABLE else None)
        found += trial.settle(until)
        for one in found:
            _write(session, run.id, one)
        session.execute(update(ShadowRun).where(ShadowRun.id == run.id).values(memory=trial.remembered()))
        return sum(one.change.name in RAISES for one in found)


def _rows(entries: Iterable[journal.Entry]) -> Iterable[JournalRow]:
    for entry in entries:
        try:
            yield from entry.columns().rows()
        except JournalDamagedError:
            log.warning("journal entry %d is damaged; trials go on behind it", entry.id)


def _connected(session: Session, found: Iterable[Place]) -> list[Place]:
    idle = set(session.scalars(select(Room.code).where(Room.stage.in_(UNCONNECTED))))
    return [place for place in found if place.room not in idle]


def _write(session: Session, run: int, one: Outcome) -> None:
    change, level = one.change, one.change.level.word if one.change.level is not None else ""
    if change.name in RAISES:
        session.add(
            ShadowAlarm(
                run=run, subject=one.subject, rule=one.rule, room=one.room, level=level, raised_at=change.at, value=change.value, cleared_at=None
            )
        )
        session.flush()
        return
    table = ShadowAlarm
    standing = update(table).where(table.run == run, table.subject == one.subject, table.rule == one.rule, table.cleared_at.is_(None))
    if change.name == "escalated":
        session.execute(standing.values(level=level))
    elif change.name in ENDS:
        session.execute(standing.values(cleared_at=change.at))


# --- comparison ------------------------------------------------------------------------------------------------------------------------


def compared(session: Session, run: ShadowRun, in_force: RuleSet, now: int) -> Comparison:
    """What the rules in force have raised and what those on trial would have, in the same rooms and the same time."""
    on_trial = rule_sets.parsed(run.version, run.body)
    names = {rule.name for rules in (in_force, on_trial) for rule in rules.rules if not KINDS[rule.kind].silent}
    until = min(run.until or now, now)
    query = select(ShadowAlarm).where(ShadowAlarm.run == run.id).order_by(ShadowAlarm.id)
    trial = [Occurrence(a.subject, a.rule, a.room, Level.of(a.level), a.raised_at, a.cleared_at) for a in session.scalars(query)]
    return compare(_raised(session, run, names, until), trial)


def _raised(session: Session, run: ShadowRun, names: Iterable[str], until: int) -> list[Occurrence]:
    """What was raised in the time of the trial, and what stood already when it began."""
    wanted = Alarm.unit.in_(units.below(run.unit)), Alarm.rule.in_(list(names)), Alarm.known_late.is_(False), Alarm.drill.is_(False)
    in_time = (Alarm.closed_at.is_(None) | (Alarm.closed_at >= run.since)), Alarm.raised_at <= until, Alarm.room.is_not(None)
    alarms = session.scalars(select(Alarm).where(*wanted, *in_time).order_by(Alarm.id)).all()
    changes: dict[int, list[tuple[str, int, Level]]] = {alarm.id: [] for alarm in alarms}
    ids = list(changes)
    for begin in range(0, len(ids), 400):
        query = select(Transition).where(Transition.alarm.in_(ids[begin : begin + 400]), Transition.at <= until).order_by(Transition.id)
        for row in session.scalars(query):
            changes[row.alarm].append((row.name, row.at, Level.of(row.level)))
    found = [one for alarm in alarms for one in occurrences(alarm.subject, alarm.rule, alarm.room or "", changes[alarm.id])]
    return [one for one in found if one.cleared_at is None or one.cleared_at >= run.since]


def told(session: Session, run: ShadowRun, in_force: RuleSet, now: int, most: int = 200) -> dict[str, Any]:
    """The comparison, JSON-ready but for instants (UTC ms): sums, sums by rule, and the first `most` differences."""
    comparison = compared(session, run, in_force, now)
    return {
        "now": sum(mine for mine, _ in comparison.rules.values()), "trial": sum(theirs for _, theirs in comparison.rules.values()),
        "rules": [{"rule": rule, "now": mine, "trial": theirs} for rule, (mine, theirs) in comparison.rules.items()],
        "different": len(comparison.differences),
        "differences": [
            {"room": one.room, "rule": one.rule, "now": _one(difference.now), "trial": _one(difference.trial)}
            for difference in comparison.differences[:most]
            for one in [difference.now or difference.trial]
            if one is not None
        ],
    }  # fmt: skip


def _one(found: Occurrence | None) -> dict[str, Any] | None:
    return None if found is None else {"level": found.level.word, "raised_at": found.raised_at, "cleared_at": found.cleared_at}
