"""绩效考评初评 of a unit: four parts, each a plain fraction with its denominator, and the formula beside it so that anybody can compute it again."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.reports.measures import EXCUSED, RoomMeasure, measure, rooms_of, together
from server.reports.paper import Column, Facts, Sheet, Table
from server.reports.period import Period
from server.reports.register import recorded
from server.reports.sources import CLIMATE, Sources, share
from server.reports.words import CAUSES, TIME_WEIGHTED, denominators, duration

TITLE = "档案用房值守绩效考评（初评）"
WEIGHTS = {"coverage": 40, "answering": 30, "climate": 20, "data": 10}
_NAMES = {"coverage": "值守覆盖", "answering": "告警接手", "climate": "环境达标", "data": "数据完整"}
_FORMULAS = {
    "coverage": "（值守有效＋人工值守）÷（台账时间－不可控中断）",
    "answering": "按时接手的告警÷应接手的告警",
    "climate": "温度、湿度在范围内时间之和÷有效测量时间之和",
    "data": "温度、湿度有效测量时间÷（本期已过时间－不可控中断）",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part: `part` of `whole` (ms or counts); None of nothing."""

    name: str
    part: int
    whole: int

    @property
    def percent(self) -> float | None:
        """Share in percent, never above 100."""
        return None if self.whole <= 0 else min(100.0, share(self.part, self.whole) or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The score of a unit, 0…100, None when nothing could be measured; parts without a denominator leave their weight to the others."""

    unit: str
    name: str
    rooms: int
    parts: tuple[Part, ...]

    @property
    def total(self) -> float | None:
        """The weighted mean of the parts that could be measured. Rooms without a ledger are seen by nobody: there is no score for that."""
        if self.rooms and self.parts[0].percent is None:
            return None
        known = [(WEIGHTS[part.name], value) for part in self.parts if (value := part.percent) is not None]
        return round(sum(weight * value for weight, value in known) / sum(weight for weight, _ in known), 1) if known else None


def score(sources: Sources, unit: tuple[str, str], period: Period, now: int) -> tuple[Score, list[RoomMeasure]]:
    """Score of a unit with everything below it; only rooms 在用 count."""
    with sources.db.read() as session:
        rooms = [room for room in rooms_of(session, unit[0]) if room.stage == "in_use"]
    found = measure(sources, rooms, period, now)
    return scored(unit, found), found


def scored(unit: tuple[str, str], found: Sequence[RoomMeasure]) -> Score:
    """The score out of measures. Pure."""
    answers = together([item.alarms for item in found])
    inside = [item.inside[quantity] for item in found for quantity in CLIMATE]
    sensed = [item for item in found if item.place.sensed]
    parts = (
        Part(
            name="coverage",
            part=sum(i.coverage.watched + i.coverage.manual for i in found),
            whole=sum(max(0, i.accounted_ms - i.excused_ms) for i in found),
        ),
        Part(name="answering", part=answers.timely, whole=answers.asked),
        Part(name="climate", part=sum(c.in_band_ms for c in inside), whole=sum(c.valid_ms for c in inside)),
        Part(
            name="data",
            part=sum(i.inside[q].valid_ms for i in sensed for q in CLIMATE),
            whole=2 * sum(max(0, i.elapsed_ms - i.excused_ms) for i in sensed),
        ),
    )
    return Score(unit=unit[0], name=unit[1], rooms=len(found), parts=parts)


def sheet(sources: Sources, unit: tuple[str, str], period: Period, now: int) -> Sheet:
    """The scorecard of a unit (code, name)."""
    result, found = score(sources, unit, period, now)
    excused = "、".join(CAUSES[cause] for cause in EXCUSED)
    by_hand = recorded(sources, [item.place for item in found if not item.place.sensed], period, now).values()
    unsensed = (
        f"没有温湿度传感器的 {len(by_hand)} 间由人工抄录：本期 {sum(each.done for each in by_hand)} 次（应 {sum(each.due for each in by_hand)} 次）"
    )
    return Sheet(
        title=TITLE,
        subject=f"{unit[1]}　{period.label}",
        pairs=(("单位编号", unit[0]), ("在用档案用房", f"{result.rooms} 间"), ("阶段", "初评，可申诉")),
        blocks=(_total(result), _parts(result), _rooms(found)),
        notes=(
            f"不可控中断指：{excused}。这些时间从分母中扣除，不扣分。",
            "没有分母的一项不计，其权重由其余各项按比例分担；演练、迟到数据补记的告警不计。",
            TIME_WEIGHTED,
            *([f"{unsensed}；可信度低于自动测量，不计入“环境达标”和“数据完整”。"] if by_hand else []),
            "对本考评有异议的，公示期内书面申诉并附证据；终评以通报为准。",
        ),
        signatures=("考评人", "被考评单位", "审核"),
    )


def _total(result: Score) -> Facts:
    total = "值守台账没有记录，不能评分" if result.total is None else f"{result.total:.1f} 分（满分 100）"
    return Facts(title="一、得分", pairs=(("总分", total), ("计入用房", f"{result.rooms} 间")))


def _parts(result: Score) -> Table:
    rows = tuple(
        (
            _NAMES[part.name],
            WEIGHTS[part.name],
            part.percent,
            _fraction(part),
            _FORMULAS[part.name],
            None if part.percent is None else WEIGHTS[part.name] * part.percent / 100,
        )
        for part in result.parts
    )
    columns = (
        Column(title="项目"),
        Column(title="权重", width=0.6),
        Column(title="占分母 %", width=0.9),
        Column(title="分子 / 分母", width=2.4),
        Column(title="公式", width=3.4, align="left"),
        Column(title="得分", width=0.7),
    )
    return Table(title="二、各项", columns=columns, rows=rows)


def _fraction(part: Part) -> str:
    if part.name == "answering":
        return f"{part.part} / {part.whole} 件"
    return f"{duration(part.part)} / {duration(part.whole)}"


def _rooms(found: Sequence[RoomMeasure]) -> Table:
    rows = tuple(
        (
            item.place.unit_name,
            item.place.name.removeprefix(item.place.unit_name),
            *(part.percent for part in scored(("", ""), [item]).parts),
            share(item.excused_ms, item.accounted_ms),
        )
        for item in found
    )
    columns = (
        Column(title="单位", width=2.2, align="left"),
        Column(title="用房", width=1.9, align="left"),
        *(Column(title=f"{_NAMES[name]} %", width=1.2) for name in WEIGHTS),
        Column(title="不可控中断 %", width=1.2),
    )
    whole = {name: f"上表“{name}”一项的分母" for name in _NAMES.values()} | {"不可控中断": "在用期间台账时间"}
    return Table(title="三、各用房", columns=columns, rows=rows, small=True, notes=(denominators(**whole),))
