"""The kinds of papers: one table. A new paper = its module and its row here (and, where the common form does not do, a `<kind>.typ`)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import structs
from sqlalchemy.orm import Session

from server.reports import analysis, changes, climate, drills, inspection, performance, register, scorecard
from server.reports.measures import rooms_of
from server.reports.paper import Paper, sealed
from server.reports.period import Period
from server.reports.sources import Sources
from server.store.tables import Room, Unit

Progress = Callable[[int, int], None]


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
    """Title, whether it can be about a single room, and how it is made."""

    title: str
    of_room: bool
    make: Callable[[Sources, Order, Period, int, Progress], Paper]


def _unit(build: Callable[[Sources, tuple[str, str], Period, int], Paper]) -> Callable[[Sources, Order, Period, int, Progress], Paper]:
    return lambda sources, order, period, now, _progress: build(sources, (order.code, order.name), period, now)


KINDS: dict[str, Kind] = {
    "register": Kind(
        "温湿度登记表", True, lambda s, o, p, now, progress: register.paper(s, o.rooms, o.unit_name, (o.code, o.name), p, now, progress)
    ),
    "climate": Kind("库房气候报告", True, lambda s, o, p, now, _progress: climate.paper(s, o.rooms, o.unit_name, (o.code, o.name), p, now)),
    "analysis": Kind(
        "温湿度综合分析（年度）", True, lambda s, o, p, now, progress: analysis.paper(s, o.rooms, o.unit_name, (o.code, o.name), p, now, progress)
    ),
    "performance": Kind("告警系统绩效报告", False, _unit(performance.paper)),
    "inspection": Kind("值守检查报告", False, _unit(inspection.paper)),
    "scorecard": Kind("绩效考评（初评）", False, _unit(scorecard.paper)),
    "drills": Kind("演练报告", False, _unit(drills.paper)),
    "changes": Kind("设置与设备变更清单", False, _unit(changes.paper)),
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
    made = KINDS[kind].make(sources, wanted, period, now, progress)
    return sealed(structs.replace(made, made_for=by)), wanted


def file_name(paper: Paper, ending: str) -> str:
    """Unit, room, paper and period: what somebody looks for in a folder full of files."""
    return f"{paper.subject}_{paper.title}_{paper.period}.{ending}".replace("/", "-").replace(" ", "")
