"""The kinds of papers: one table. A new paper = its module and its row here (and, where the common form does not do, a `<kind>.typ`)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy.orm import Session

from server.reports import analysis, changes, climate, drills, inspection, performance, register, scorecard
from server.reports.measures import rooms_of
from server.reports.paper import Paper, Progress, Sheet, sealed
from server.reports.period import Period
from server.reports.sources import Sources
from server.store.tables import Room, Unit


class UnknownSubjectError(LookupError):
    """No such kind of paper, or no such room or unit; the sentence says which."""


class Order(NamedTuple):
    """What a paper is wanted of: the room or unit, its rooms, the unit that bounds who may see it."""

    code: str
    name: str
    unit: str
    unit_name: str
    rooms: Sequence[Room]


class Kind(NamedTuple):
    """Title in lists and on the paper, whether it can be about a single room, and how its sheets are made."""

    title: str
    heading: str
    of_room: bool
    sheets: Callable[[Sources, Order, Period, int, Progress], Sequence[Sheet]]


def _unit(build: Callable[[Sources, tuple[str, str], Period, int], Sheet]) -> Callable[[Sources, Order, Period, int, Progress], Sequence[Sheet]]:
    return lambda sources, order, period, now, _progress: [build(sources, (order.code, order.name), period, now)]


def _analysis(sources: Sources, order: Order, period: Period, now: int, progress: Progress) -> Sequence[Sheet]:
    return analysis.build(sources, order.rooms, order.name, period, now, progress)


KINDS: dict[str, Kind] = {
    "register": Kind("温湿度登记表", register.TITLE, True, lambda s, o, p, now, progress: register.build(s, o.rooms, p, now, progress)),
    "climate": Kind("库房气候报告", climate.TITLE, True, lambda s, o, p, now, progress: climate.build(s, o.rooms, p, now, progress)),
    "analysis": Kind("温湿度综合分析（年度）", analysis.TITLE, True, _analysis),
    "performance": Kind("告警系统绩效报告", performance.TITLE, False, _unit(performance.sheet)),
    "inspection": Kind("值守检查报告", inspection.TITLE, False, _unit(inspection.sheet)),
    "scorecard": Kind("绩效考评（初评）", scorecard.TITLE, False, _unit(scorecard.sheet)),
    "drills": Kind("演练报告", drills.TITLE, False, _unit(drills.sheet)),
    "changes": Kind("设置与设备变更清单", changes.TITLE, False, _unit(changes.sheet)),
}


def order(session: Session, kind: str, code: str) -> Order:
    """Resolve a room or unit code. Raises UnknownSubjectError."""
    if kind not in KINDS:
        raise UnknownSubjectError(f"没有“{kind}”这种报表，可用的有 {'、'.join(KINDS)}。")
    room = session.get(Room, code)
    if room is not None:
        if not KINDS[kind].of_room:
            raise UnknownSubjectError(f"{KINDS[kind].title}按单位出具，请给出 12 位单位编号。")
        unit = session.get_one(Unit, room.unit)
        return Order(code, room.name, room.unit, unit.name, (room,))
    found = session.get(Unit, code)
    if found is None:
        raise UnknownSubjectError(f"没有编号为 {code} 的库房或单位。")
    return Order(code, found.name, code, found.name, rooms_of(session, code) if KINDS[kind].of_room else ())


def make(
    sources: Sources, kind: str, code: str, period: Period, now: int, progress: Progress = lambda _done, _total: None, *, by: str = ""
) -> tuple[Paper, Order]:
    """Make a paper for somebody and seal it. Raises UnknownSubjectError."""
    with sources.db.read() as session:
        wanted = order(session, kind, code)
    return paper_of(sources, kind, wanted, period, now, progress, by=by), wanted


def paper_of(sources: Sources, kind: str, wanted: Order, period: Period, now: int, progress: Progress, *, by: str) -> Paper:
    """The sealed paper of an order that is resolved."""
    sheets = KINDS[kind].sheets(sources, wanted, period, now, progress)
    return sealed(framed(sources, kind, KINDS[kind].heading, wanted, period, now, sheets, by))


def framed(sources: Sources, kind: str, title: str, wanted: Order, period: Period, now: int, sheets: Sequence[Sheet], by: str) -> Paper:
    """The paper around sheets."""
    return Paper(
        kind=kind,
        title=title,
        subject=wanted.name,
        subject_code=wanted.code,
        unit=wanted.unit_name,
        period=period.text,
        period_label=period.label,
        since=period.since,
        until=period.until,
        generated_at=now,
        generator=sources.generator,
        sheets=tuple(sheets),
        made_for=by,
    )


def file_name(paper: Paper, ending: str) -> str:
    """Unit, room, paper and period: what somebody looks for in a folder full of files."""
    return f"{paper.subject}_{paper.title}_{paper.period}.{ending}".replace("/", "-").replace(" ", "")
