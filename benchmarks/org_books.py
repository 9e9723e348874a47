"""What gathers in the books of a province over a year, for the pages that list it: audit, proposals, notices, imports, alarms, texts, incidents."""

import random
import time
from typing import Any

from sqlalchemy import insert, select

from benchmarks import bench_audit
from server.store import anchors, units
from server.store.copying import advance_sequences
from server.store.session import Database
from server.store.tables import Alarm, Notification, Room, Transition
from server.store.tables_incident import Dossier, Incident, IncidentEntry
from server.store.tables_org import ChangeRequest, ImportRun, Notice
from server.store.tables_watch import Annunciation

T0 = 1_790_000_000_000
AUDIT_ENTRIES, PROPOSALS, NOTICES, IMPORTS, ALARMS, INCIDENTS = 50_000, 2_000, 3_000, 500, 10_000, 1_000
_DAY_MS = 86_400_000
_YEAR_MS = 365 * _DAY_MS


def fill(db: Database) -> None:
    """A year's entries, with last night's anchor of the audit log. The alarms are over: open ones belong to the watch alone."""
    dice, now = random.Random(5), time.time_ns() // 1_000_000
    bench_audit.fill(db, AUDIT_ENTRIES)
    with db.read() as session:
        codes = list(session.scalars(units.below(None)))
        rooms = [(code, unit) for code, unit in session.execute(select(Room.code, Room.unit))]
    runs = [{"kind": "people", "file": f"{n}.csv", "by": "feed", "started_at": T0 + n, "state": "done", "errors": []} for n in range(IMPORTS)]
    alarms = [_alarm(n, *dice.choice(rooms), now - _YEAR_MS + n * (_YEAR_MS // ALARMS)) for n in range(1, ALARMS + 1)]
    with db.write() as session:
        session.execute(insert(ChangeRequest), [_proposal(code) for code in dice.choices(codes, k=PROPOSALS)])
        session.execute(insert(Notice), [_notice(code, n) for n, code in enumerate(dice.choices(codes, k=NOTICES))])
        session.execute(insert(ImportRun), runs)
        session.execute(insert(Alarm), alarms)
        session.execute(insert(Transition), [step for alarm in alarms for step in _steps(alarm)])
        session.execute(insert(Annunciation), [_announced(alarm) for alarm in alarms])
        session.execute(insert(Notification), [_text(alarm) for alarm in alarms])
        session.execute(insert(Incident), [_incident(alarm) for alarm in alarms[:INCIDENTS]])
        session.execute(insert(IncidentEntry), [_closed(alarm) for alarm in alarms[:INCIDENTS]])
        session.execute(insert(Dossier), [_filed(alarm) for alarm in alarms[:INCIDENTS]])
        anchors.make(session, now - _DAY_MS)
        if session.connection().dialect.name == "postgresql":
            advance_sequences(session.connection())
    db.counted(table.name for table in (Alarm.__table__, Transition.__table__, Notification.__table__))  # type: ignore[attr-defined]


def _notice(unit: str, n: int) -> dict[str, Any]:
    return {"kind": "calibration", "level": "warn", "unit": unit, "subject": f"point:{n}", "sentence": "校准 30 天后到期", "raised_at": T0}


def _proposal(unit: str) -> dict[str, Any]:
    after = {"kind": "rooms", "key": {"code": f"{unit}-01"}, "cells": {"location": "二层"}}
    who = {"proposed_by": "信息员", "proposed_at": T0, "state": "open", "decided_by": "", "remark": ""}
    return {"subject": f"rooms:{unit}-01", "unit": unit, "before": {"location": "一层"}, "after": after, "reason": "搬迁", **who}


def _alarm(ident: int, room: str, unit: str, at: int) -> dict[str, Any]:
    return {
        "id": ident, "subject": f"bench:{room}", "rule": "humidity_high", "kind": "threshold", "quantity": "humidity", "room": room, "unit": unit,
        "state": "normal", "level": "warn", "raised_at": at, "cleared_at": at + 3_600_000, "closed_at": at + 3_600_000, "number": f"{ident:06d}",
        "behaviour": "fleeting" if ident % 50 == 0 else "",
    }  # fmt: skip


def _steps(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """Its raise, whose id is twice the alarm's, and its end."""
    common = {"alarm": alarm["id"], "level": alarm["level"], "by": "", "via": "", "note": ""}
    raised = {"id": 2 * alarm["id"], "at": alarm["raised_at"], "name": "raised", "before": "normal", "after": "active_unacked"}
    return [
        common | raised,
        common | {"id": 2 * alarm["id"] + 1, "at": alarm["closed_at"], "name": "closed", "before": "active_acked", "after": "normal"},
    ]


def _announced(alarm: dict[str, Any]) -> dict[str, Any]:
    return {"transition": 2 * alarm["id"], "alarm": alarm["id"], "at": alarm["raised_at"], "level": alarm["level"]}


def _text(alarm: dict[str, Any]) -> dict[str, Any]:
    at = alarm["raised_at"]
    return {
        "alarm": alarm["id"], "reason": "raised", "step": 0, "unit": alarm["unit"], "person_name": "值班员", "phone": "+8613900000000",
        "channel": "sms", "number": alarm["number"], "text": "湿度偏高，请查看", "created_at": at, "due": at, "state": "delivered", "sent_at": at,
    }  # fmt: skip


def _incident(alarm: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": alarm["id"], "alarm": alarm["id"],
        "unit": alarm["unit"], "room": alarm["room"], "event": "humidity_high", "card": "damp", "level": "warn",
        "state": "closed", "opened_at": alarm["raised_at"], "closed_at": alarm["closed_at"], "owner": "值班员",
    }  # fmt: skip


def _closed(alarm: dict[str, Any]) -> dict[str, Any]:
    return {"id": alarm["id"], "incident": alarm["id"], "at": alarm["closed_at"], "kind": "closed", "by": "值班员", "text": "已处置", "data": {}}


def _filed(alarm: dict[str, Any]) -> dict[str, Any]:
    """Its papers: without them the server would file a thousand dossiers while its pages are measured."""
    at = alarm["closed_at"]
    digests = {"pdf_sha256": f"{alarm['id']:064x}", "data_sha256": f"{alarm['id']:064x}"}
    return {"incident": alarm["id"], "filed_at": at, "upto": alarm["id"], "keep_until": at + 10 * _YEAR_MS} | digests
