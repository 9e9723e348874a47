"""What people do with an incident: tick its card, write down what they saw, report how it ended. Each within the caller's transaction.

Closing and opening again stand here too, because they are lines of the same work log; the follower in incidents.py decides on them.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.duty.cards import Card, Cards, Situation, fill
from server.duty.sheet import filling, photo_rule, photos_allowed
from server.store import audit, incidents
from server.store.incidents import CLOSED, OPEN, REPORTED
from server.store.tables_incident import Incident, IncidentEntry, IncidentPhoto

CODES: Mapping[str, str] = MappingProxyType(
    {
        "real_hazard": "真实险情",
        "out_of_band": "环境超标",
        "human": "人为疏忽",
        "outage": "停电 / 断网",
        "weather": "天气影响",
        "device_fault": "设备故障",
        "false_alarm": "误报（灰尘、虫、水汽、光线）",
        "planned_work": "施工、保洁、消杀",
        "unknown": "原因不明",
    }
)
"""处置结论 of language.md 5.2; drills have no incident."""

YEAR_MS = 366 * 86_400_000
KEEP_YEARS = {"critical": 30, "urgent": 10, "alarm": 10, "warn": 10}
"""Retention of the papers in years, ours: terms of 定期 10 and 30 years exist in archives practice; the operator's own schedule rules."""
Data = Mapping[str, object]


class NotPossibleError(ValueError):
    """What was asked does not fit the incident's state; the text is a sentence for the person."""


def card_of(cards: Cards, incident: Incident) -> Card:
    """The card of an incident; the one for `other` where the file no longer has it."""
    return cards.get(incident.card) or cards.answering("other")


def note(session: Session, incident: Incident, kind: str, now: int, *, by: str = "", text: str = "", data: Data | None = None) -> None:
    """One line of the work log."""
    session.add(IncidentEntry(incident=incident.id, at=now, kind=kind, by=by, text=text, data=dict(data or {})))
    session.flush()


def tick(session: Session, incident: Incident, card: Card, step: int, done: bool, by: str, now: int) -> None:
    """Tick a step of the card, or take the tick back. Raises NotPossibleError for a step that the card has not, or a closed incident."""
    _must_be_open(incident)
    if not 1 <= step <= len(card.steps):
        raise NotPossibleError("处置卡没有这一步。")
    if (step in incidents.ticked(session, incident.id)) == done:
        return
    read = fill(card, filling(session, incident.room, incident.unit), Situation(event=incident.event)).steps[step - 1]
    note(session, incident, "step" if done else "unstep", now, by=by, text=read, data={"step": step})
    audit.append(session, by, "incident.step", f"incident:{incident.id}", {"step": step, "done": done}, now, unit=incident.unit)
    incident.owner = incident.owner or by


def log(session: Session, incident: Incident, text: str, by: str, now: int) -> None:
    """A line of the work log; also after closing, when something is remembered later."""
    note(session, incident, "log", now, by=by, text=text)
    audit.append(session, by, "incident.log", f"incident:{incident.id}", {"note": text}, now, unit=incident.unit)


def photograph(session: Session, incident: Incident, sha256: str, size: int, text: str, by: str, now: int) -> None:
    """A picture taken on site. Raises NotPossibleError where the room's sheet does not allow it."""
    if not photos_allowed(rule := photo_rule(session, incident.room)):
        raise NotPossibleError(f"本室拍照规定：{rule}，不能上传照片。" if rule else "本室一室一卡没有写明允许拍照，不能上传照片。")
    known = select(IncidentPhoto.id).where(IncidentPhoto.incident == incident.id, IncidentPhoto.sha256 == sha256)
    if session.scalar(known) is not None:
        return
    session.add(IncidentPhoto(incident=incident.id, at=now, by=by[:60], note=text[:200], sha256=sha256, bytes=size))
    note(session, incident, "photo", now, by=by, text=text, data={"sha256": sha256})
    audit.append(session, by, "incident.photo", f"incident:{incident.id}", {"sha256": sha256}, now, unit=incident.unit)


def report(session: Session, incident: Incident, code: str, text: str, by: str, now: int) -> None:
    """报告处置结论: from now on the sensor must confirm it. Raises NotPossibleError for an unknown code, an empty reason or a closed incident."""
    _must_be_open(incident)
    if code not in CODES:
        raise NotPossibleError("请选择处置结论。")
    if not text.strip():
        raise NotPossibleError("请写明采取了什么措施。")
    incident.state, incident.code, incident.note, incident.reported_at, incident.reported_by = REPORTED, code, text.strip(), now, by
    incident.owner = incident.owner or by
    note(session, incident, "report", now, by=by, text=text.strip(), data={"code": code})
    audit.append(session, by, "incident.report", f"incident:{incident.id}", {"code": code, "note": text.strip()}, now)


def _must_be_open(incident: Incident) -> None:
    if incident.state == CLOSED:
        raise NotPossibleError("事件已办结。")


def close(session: Session, incident: Incident, reasons: Sequence[str], now: int) -> None:
    """办结: the sensor has confirmed it, with these reasons."""
    incident.state, incident.closed_at = CLOSED, now
    incident.keep_until = now + KEEP_YEARS.get(incident.level, 10) * YEAR_MS
    note(session, incident, "closed", now, text="".join(reasons), data={"code": incident.code})
    audit.append(session, "系统", "incident.closed", f"incident:{incident.id}", {"code": incident.code, "proof": "".join(reasons)}, now)


def again(session: Session, incident: Incident, sentence: str, now: int) -> None:
    """退回: what was reported and what was measured."""
    note(session, incident, "reopened", now, text=sentence, data={"code": incident.code})
    incident.state, incident.reported_at, incident.reopened = OPEN, None, incident.reopened + 1
    audit.append(session, "系统", "incident.reopened", f"incident:{incident.id}", {"reason": sentence}, now)
