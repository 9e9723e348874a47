"""本年变更: limits, pauses, moved sensors, stages and everything else that people changed, out of the audit log. Acts of duty are left out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import CompoundSelect, String, and_, cast, func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from server.org.audit_words import ACTIONS, DETAILS, ROLES
from server.reports.paper import Block, Column, Sheet, Table, Text
from server.reports.period import Period, local
from server.reports.sources import Sources
from server.store import naming
from server.store.functions import AfterColon, PlaceNamed
from server.store.tables import Alarm, AuditEntry, Room, Unit
from server.store.units import below

TITLE = "设置与设备变更清单"
_NOT_CHANGES = (
    "session.",
    "report.",
    "export.",
    "acknowledge",
    "unacknowledge",
    "decline",
    "progress",
    "assist",
    "comment",
    "reading.",
    "two_factor.",
    "totp.",
    "password.",
    "phone.",
    "sms_reply",
    "look",
    "photo_view",
    "still_view",
    "still_original",
    "still_expire",
    "dossier.",
    "audit_export",
    "level3_export",
    "history.export",
    "incident.",
    "handover.",
    "notice_closed",
    "annotation.",
    "watch_check.",
    "drill.",
    "backup",
)
GROUPS = {
    "limits": ("限值与规则", ("limit.", "limits.", "rules", "rule")),
    "silence": ("暂停、停用与维护", ("shelve", "unshelve", "outofservice", "returntoservice", "suppress", "unsuppress", "maintenance")),
    "sensors": (
        "传感器与网关",
        ("import_devices", "import_calib", "change_devices", "change_calib", "change_mark", "gateway.", "write."),
    ),
    "stages": ("库房阶段", ("stage",)),
}
"""What an inspector asks about first: word and beginnings of the actions of each group; everything else is in none."""
MOST_ROWS = 2_000
_AT_ONCE = 500


class Chosen(NamedTuple):
    """An entry of the audit log that is a change: its number and its group."""

    ident: int
    group: str


class Change(NamedTuple):
    """One change: UTC ms, who, what, where, details in words."""

    at: int
    actor: str
    action: str
    place: str
    detail: str
    ident: int
    group: str


def group_of(action: str) -> str:
    """The key of GROUPS that an action of the audit log belongs to, "" for none."""
    return next((key for key, (_, starts) in GROUPS.items() if action.startswith(starts)), "")


def chosen(session: Session, unit: str, period: Period, *, newest: bool = False) -> list[Chosen]:
    """Which entries concern the subtree, oldest first, or newest first; at most MOST_ROWS of that end. Entries that name no place belong to whoever
    sees the whole province.
    """
    when = (AuditEntry.at >= period.since, AuditEntry.at < period.until)
    others = or_(*(AuditEntry.action.startswith(start, autoescape=True) for start in _NOT_CHANGES))
    query = select(AuditEntry.id, AuditEntry.action).where(*when, ~others)
    row = session.get(Unit, unit)
    if row is None or row.parent is not None:
        query = query.where(AuditEntry.id.in_(_inside(session, unit, period)))
    query = query.order_by(*((AuditEntry.at.desc(), AuditEntry.id.desc()) if newest else (AuditEntry.at, AuditEntry.id))).limit(MOST_ROWS)
    return [Chosen(ident, group_of(action)) for ident, action in session.execute(query)]


def _inside(session: Session, unit: str, period: Period) -> CompoundSelect[int]:
    """Numbers of the entries about a unit of the subtree, its rooms (which keep their code when they are handed on) or their alarms."""
    codes = list(session.scalars(below(unit)))  # a list, not a query: so that both databases see how few they are, and use the index
    when = (AuditEntry.at >= period.since, AuditEntry.at < period.until)
    place, code = PlaceNamed(AuditEntry.subject), func.substr(Room.code, 1, 12)
    handed_on = and_(place == code, func.substr(AfterColon(AuditEntry.subject), 1, 15) == Room.code)
    return union_all(
        select(AuditEntry.id).where(place.in_(codes), *when),
        select(AuditEntry.id).join(Room, handed_on).where(Room.unit.in_(codes), code != Room.unit, *when),
        select(AuditEntry.id)
        .join(Alarm, AuditEntry.subject == literal("alarm:") + cast(Alarm.id, String))
        .where(Alarm.unit.in_(codes), Alarm.raised_at < period.until),
    )


def listing(session: Session, found: Sequence[Chosen]) -> list[Change]:
    """The chosen entries in words, in their order."""
    entries = {entry.id: entry for entry in _entries(session, [one.ident for one in found])}
    places = naming.of_entries(session, entries.values())
    return [_change(entries[one.ident], places) for one in found]


def _entries(session: Session, idents: Sequence[int]) -> Iterator[AuditEntry]:
    for part in _parts(idents):
        yield from session.scalars(select(AuditEntry).where(AuditEntry.id.in_(part)))


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


def _change(entry: AuditEntry, places: Mapping[str, str]) -> Change:
    word = ACTIONS.get(entry.action, entry.action)
    place = places.get(entry.subject, entry.subject)
    return Change(entry.at, entry.actor, word, place, _detail(entry.detail, places), entry.id, group_of(entry.action))


def table(sources: Sources, unit: str, period: Period, title: str = "") -> Block:
    """The changes as a table."""
    with sources.db.read() as session:
        found = listing(session, chosen(session, unit, period))
    if not found:
        return Text(title=title, paragraphs=("本期没有变更记录。",))
    columns = (
        Column(title="时间", width=1.5),
        Column(title="变更", width=1.3),
        Column(title="对象", width=2.2, align="left"),
        Column(title="内容", width=3, align="left", missing=""),
        Column(title="操作人", width=1.1),
        Column(title="审计号", width=0.8),
    )
    return Table(title=title, columns=columns, rows=tuple(_row(change) for change in found), small=True, notes=_limit_note(found))


def sheet(sources: Sources, unit: tuple[str, str], period: Period, _now: int) -> Sheet:
    """The list for a unit (code, name)."""
    return Sheet(
        title=TITLE,
        subject=f"{unit[1]}　{period.label}",
        pairs=(("单位编号", unit[0]),),
        blocks=(table(sources, unit[0], period),),
        notes=("取自审计日志；接手、到场等值班动作不在此列。审计号可在审计日志中查到原文和链值。",),
        signatures=("制表", "审核"),
    )


def _row(change: Change) -> tuple[str, str, str, str, str, int]:
    return f"{local(change.at):%Y-%m-%d %H:%M}", change.action, change.place, change.detail, change.actor, change.ident


def _limit_note(found: Sequence[Change]) -> tuple[str, ...]:
    return (f"只列出最早的 {MOST_ROWS} 条，请缩短时段查看其余。",) if len(found) >= MOST_ROWS else ()


def _detail(detail: dict[str, object], places: Mapping[str, str]) -> str:
    parts = [f"{DETAILS.get(key, key)} {_value(key, value, places)}" for key, value in detail.items() if value not in ("", None, [], {})]
    return "；".join(parts)[:160]


def _value(key: str, value: object, places: Mapping[str, str]) -> str:
    match key:
        case "until" if isinstance(value, int):
            return f"{local(value):%m-%d %H:%M}"
        case "role":
            return ROLES.get(str(value), str(value))
        case "sha256":
            return str(value)[:12]
    return places.get(str(value), str(value))
