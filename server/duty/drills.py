"""Drills 演练: ordered for a room or a whole subtree, by a person or by a standing order; followed to a signed result.

The order goes to the gateway as a command; the tagged reading comes back through the driver and the rules (watch/drills.py) and raises a drill alarm,
which takes the real escalation and messages. Here only rows are written and read; `end(alarm)` asks the watch to end the drill.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from contract.drill import DrillOrder
from contract.sample import PointKey
from server.duty.calendar import Workdays
from server.store import audit, drills, units
from server.store.session import Database
from server.store.tables import Alarm, Gateway, GatewayCommand, Point
from server.store.tables_drill import Drill, DrillCampaign, DrillPlan

BEIJING = ZoneInfo("Asia/Shanghai")
PER_MINUTE = 50
"""Rooms that begin within a minute: a drill of a province must not look like an attack to the SMS provider."""
SEEN_MS = 120_000
"""Within this time the reading must have come back."""
ANSWER_MS = 15 * 60_000
SETTLE_MS = 30_000
"""After an answer: the receipts of the messages still come in."""
SIREN_S = 3
DAY_MS = 86_400_000
_HOURS = (time(9, 30), time(16, 30))
_VALUE = {"power": 0.0}


class NoRoomError(ValueError):
    """Nothing can be drilled there; the text is a sentence for the person."""


class Drills:
    """The follower. `run_once(now)` begins, follows and ends drills; returns how many changed."""

    def __init__(self, db: Database, end: Callable[[int], None], workdays: Workdays | None = None) -> None:
        self._db, self._end, self._workdays = db, end, workdays or Workdays()

    def run_once(self, now: int) -> int:
        """One round."""
        with self._db.read() as session:
            running = session.scalars(select(Drill).where(Drill.state.in_(("waiting", "sent", "detected"))).order_by(Drill.id)).all()
            planned = session.scalar(select(DrillPlan.unit).limit(1)) is not None
            over = [row for row in running if row.state == "detected" and _over(session, row, now)]
        for row in over:
            # Outside of our transaction: the watch needs the write lock. A crash here ends an ended drill once more, which does nothing.
            self._end(row.alarm or 0)
        due = [row for row in running if row in over or (row.state == "waiting" and row.due_at <= now) or _unseen(row, now)]
        if not due and not planned:
            return 0
        with self._db.write() as session:
            for row in due:
                _advance(session, session.get_one(Drill, row.id), now)
            return len(due) + _by_plan(session, self._workdays, now)


def order(session: Session, unit: str, by: str, now: int, *, room: str | None = None, quantity: str = "", note: str = "") -> DrillCampaign:
    """Order a drill of every room in service of a subtree, or of one room. Raises NoRoomError."""
    wanted = drills.rooms(session, unit, room)
    if not wanted:
        raise NoRoomError("这里没有在用的库房，不能演练。")
    return _campaign(session, unit, by, now, wanted, quantity, note)


def first_room(session: Session, unit: str) -> str | None:
    """A room of a unit that can be drilled: in service, with a point that takes part; None without one."""
    return next((code for code, owner in drills.rooms(session, unit) if owner == unit and drills.point(session, code) is not None), None)


def _campaign(session: Session, unit: str, by: str, now: int, wanted: Sequence[tuple[str, str]], quantity: str = "", note: str = "") -> DrillCampaign:
    campaign = DrillCampaign(unit=unit, by=by, at=now, note=note)
    session.add(campaign)
    session.flush()
    for index, (code, owner) in enumerate(wanted):
        point = drills.point(session, code, quantity)
        due = now + index // PER_MINUTE * 60_000
        session.add(Drill(campaign=campaign.id, unit=owner, room=code, point=point.id if point else None, due_at=due))
    session.flush()
    audit.append(session, by, "drill.order", unit, {"campaign": campaign.id, "rooms": len(wanted), "note": note}, now)
    return campaign


def plan(session: Session, unit: str, every_days: int, by: str, now: int) -> None:
    """A standing order for a subtree; 0 days ends it."""
    if every_days:
        session.merge(DrillPlan(unit=unit, every_days=every_days, by=by, at=now))
    elif (row := session.get(DrillPlan, unit)) is not None:
        session.delete(row)
    audit.append(session, by, "drill.plan", unit, {"every_days": every_days}, now)


def _by_plan(session: Session, workdays: Workdays, now: int) -> int:
    """Rooms whose turn has come, a minute's worth at a time, in working hours of working days."""
    at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=now)).astimezone(BEIJING)
    if not (_HOURS[0] <= at.time() < _HOURS[1] and workdays.works(at.date())):
        return 0
    begun = 0
    for standing in session.scalars(select(DrillPlan)).all():
        last = drills.last_drilled(session, standing.unit)
        before = now - standing.every_days * DAY_MS
        wanted = [row for row in drills.rooms(session, standing.unit) if last.get(row[0], 0) < before][:PER_MINUTE]
        if wanted:
            _campaign(session, standing.unit, "定时", now, wanted)
            begun += len(wanted)
    return begun


# -- one drill ----------------------------------------------------------------------------------------------------------------------------


def _unseen(row: Drill, now: int) -> bool:
    return row.state == "sent" and now >= (row.sent_at or 0) + SEEN_MS


def _over(session: Session, row: Drill, now: int) -> bool:
    answer = drills.answer(session, row.alarm or 0)
    return now >= answer.at + SETTLE_MS if answer is not None else now >= (row.detected_at or 0) + ANSWER_MS


def _advance(session: Session, row: Drill, now: int) -> None:
    if row.state == "waiting":
        _send(session, row, now)
    elif _unseen(row, now):
        _fail(session, row, "两分钟内没有测到演练信号：请查网关、总线和传感器。", now)
    elif row.state == "detected":
        _finish(session, row, now)


def _send(session: Session, row: Drill, now: int) -> None:
    if drills.running(session, row.room):
        return  # its alarm stands: a second signal would raise none, and look as if the sensor were dead
    point = session.get(Point, row.point) if row.point is not None else None
    gateway = session.get(Gateway, point.gateway) if point is not None else None
    if point is None:
        _fail(session, row, "本库没有可以演练的烟感、水浸、门磁等测点。", now)
    elif gateway is None or not gateway.online:
        _fail(session, row, "网关离线，演练无法开始。", now)
    elif not gateway.acknowledges:
        _fail(session, row, "该网关不是本系统的，不能在采集端演练。", now)
    else:
        metric = PointKey(point.gateway, point.device, point.quantity, point.channel).metric
        until = now + SEEN_MS
        body = asdict(DrillOrder(row.id, metric, _VALUE.get(point.quantity, 1.0), until, SIREN_S))
        session.add(GatewayCommand(gateway=gateway.code, kind="drill", body=body, created_at=now, expires_at=until))
        row.state, row.sent_at = "sent", now


def _fail(session: Session, row: Drill, reason: str, now: int) -> None:
    row.state, row.reason, row.ended_at = "failed", reason, now
    _sign(session, row, {"detected_s": None, "told_s": None, "delivered_s": None, "answered_s": None, "reason": reason}, now)


def _finish(session: Session, row: Drill, now: int) -> None:
    alarm = session.get_one(Alarm, row.alarm)
    begun, answer, told = row.sent_at or alarm.raised_at, drills.answer(session, alarm.id), drills.told(session, alarm.id)
    sent = [message.sent_at for message in told if message.sent_at is not None]
    arrived = [message.receipt_at for message in told if message.receipt == "delivered" and message.receipt_at is not None]
    row.state, row.ended_at = "ended", now
    result = {
        "detected_s": _seconds(begun, row.detected_at),
        "told_s": _seconds(begun, min(sent, default=None)),
        "delivered_s": _seconds(begun, min(arrived, default=None)),
        "answered_s": _seconds(begun, answer.at if answer is not None else None),
        "answered_by": answer.by if answer is not None else "",
        "messages": len(told),
        "alarm": alarm.id,
    }
    _sign(session, row, result, now)


def _seconds(begun: int, at: int | None) -> float | None:
    return None if at is None else max(at - begun, 0) / 1000


def _sign(session: Session, row: Drill, result: dict[str, Any], now: int) -> None:
    """The result is hashed and the hash goes into the audit chain: neither can be changed afterwards without being found."""
    path = "/".join(units.path(session, row.unit))
    row.result = {"drill": row.id, "campaign": row.campaign, "room": row.room, "path": path, "sent_at": row.sent_at, "ended_at": now, **result}
    row.signature = hashlib.sha256(json.dumps(row.result, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    audit.append(session, "系统", "drill.result", row.room, {"drill": row.id, "sha256": row.signature}, now)
