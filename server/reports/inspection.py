"""检查报告 of a unit: what was watched, what kept its band, what was raised and how it was answered, what was calibrated and changed."""

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import select

from server.duty.words import LEVELS
from server.reports import changes
from server.reports.measures import LIMITS_MS, Answering, RoomMeasure, measure, rooms_of, together
from server.reports.paper import Block, Column, Facts, Sheet, Table, Text
from server.reports.period import Period, local
from server.reports.register import Recorded, recorded
from server.reports.sources import CLIMATE, Sources, share
from server.reports.words import CAUSES, STAGES, TIME_WEIGHTED, denominators, duration, medium, percent
from server.store import manual
from server.store.tables import Point
from server.store.tables_org import Calibration

TITLE = "档案用房值守检查报告"
_QUANTITY = {"temperature": "温度", "humidity": "湿度"}
_POOR_COVERAGE, _POOR_COMPLIANCE = 95.0, 85.0


def sheet(sources: Sources, unit: tuple[str, str], period: Period, now: int) -> Sheet:
    """The report of a unit (code, name) and everything below it."""
    with sources.db.read() as session:
        rooms = rooms_of(session, unit[0])
    found = measure(sources, rooms, period, now)
    counted = [item for item in found if item.place.stage == "in_use"]
    by_hand = recorded(sources, [item.place for item in counted if not item.place.sensed], period, now)
    return Sheet(
        title=TITLE,
        subject=f"{unit[1]}　{period.label}",
        pairs=(("单位编号", unit[0]), ("检查范围", f"本单位及下级共 {len(found)} 间档案用房，其中在用 {len(counted)} 间"), ("时段", period.label)),
        blocks=(
            _overview(counted),
            _attention(counted, by_hand),
            _coverage(found),
            _compliance(found),
            _alarms(found),
            _calibration(sources, found, now),
            changes.table(sources, unit[0], period, "七、本期变更"),
        ),
        notes=(
            TIME_WEIGHTED,
            "覆盖率的分母为在用用房值守台账有记录的时间；“部分值守”“值守中断”“人工值守”分列，不计入值守有效。",
            "调试、试运行的用房在各表中列出，不计入合计。",
            f"接手时限：{'、'.join(f'{LEVELS[level]} {ms // 60_000} 分钟' for level, ms in LIMITS_MS.items())}；演练不计，迟到数据补记的告警另列。",
        ),
        signatures=("检查人", "被检查单位负责人", "审核"),
    )


def _overview(found: Sequence[RoomMeasure]) -> Facts:
    watched, accounted = sum(m.coverage.watched for m in found), sum(m.accounted_ms for m in found)
    answers = together([m.alarms for m in found])
    pairs = [("值守覆盖率", f"{percent(share(watched, accounted))}（在用用房台账 {duration(accounted)}·间）")]
    for quantity, word in zip(CLIMATE, ("温度", "湿度"), strict=True):
        part, whole = sum(m.inside[quantity].in_band_ms for m in found), sum(m.inside[quantity].valid_ms for m in found)
        pairs.append((f"{word}达标率", f"{percent(share(part, whole))}（有效测量 {duration(whole)}·间）"))
    pairs += [("告警", _levels(answers)), ("按时接手", timely(answers)), ("接手用时", _times(answers))]
    return Facts(title="一、总体情况", pairs=tuple(pairs))


def timely(answers: Answering) -> str:
    """The share taken over in time with its denominator."""
    return f"{percent(share(answers.timely, answers.asked))}（{answers.timely} 件，应接手 {answers.asked} 件，未接手 {answers.never} 件）"


def _times(answers: Answering) -> str:
    if answers.median_ms is None:
        return "没有接手记录"
    slow = "" if answers.slow_ms is None else f"，九成在 {duration(answers.slow_ms)} 内"
    return f"中位 {duration(answers.median_ms)}{slow}"


def _levels(answers: Answering) -> str:
    known = "　".join(f"{word} {answers.by_level.get(level, 0)}" for level, word in LEVELS.items())
    return f"{known}{f'　补记 {answers.late_known}' if answers.late_known else ''}（件）"


def _attention(found: Sequence[RoomMeasure], by_hand: Mapping[str, Recorded]) -> Block:
    lines = [line for item in found for line in _faults(item, by_hand)]
    title = "二、需要整改或说明的"
    return Text(title=title, paragraphs=tuple(lines) or ("没有发现需要整改的事项。",), numbered=bool(lines))


def _faults(item: RoomMeasure, by_hand: Mapping[str, Recorded]) -> list[str]:
    name, found = f"{item.place.unit_name}{_short(item)}", []
    if not item.place.sensed:
        hand = by_hand[item.place.code]
        counted = f"本期 {hand.done} 次（应 {hand.due} 次）"
        return [f"{name}：没有温湿度传感器，须按规定上午、下午人工抄录：{counted}；可信度低于自动测量，不计入值守和达标率。"]
    covered = share(item.coverage.watched, item.accounted_ms)
    if covered is None:
        found.append(f"{name}：值守台账没有记录。")
    elif covered < _POOR_COVERAGE:
        cause = next(iter(item.lost), "unknown")
        told = f"{percent(covered)}（台账 {duration(item.accounted_ms)}）"
        found.append(f"{name}：值守覆盖率 {told}，低于 {_POOR_COVERAGE:g} %，主要原因是{CAUSES.get(cause, cause)}。")
    for quantity, word in zip(CLIMATE, ("温度", "湿度"), strict=True):
        inside = item.inside[quantity]
        kept = share(inside.in_band_ms, inside.valid_ms)
        if kept is not None and kept < _POOR_COMPLIANCE:
            told = f"{percent(kept)}（有效测量 {duration(inside.valid_ms)}）"
            found.append(f"{name}：{word}达标率 {told}，低于 {_POOR_COMPLIANCE:g} %。")
    if item.alarms.never:
        found.append(f"{name}：{item.alarms.never} 件告警无人接手。")
    return found


def _short(item: RoomMeasure) -> str:
    return item.place.name.removeprefix(item.place.unit_name)


def _head(columns: Sequence[Column]) -> tuple[Column, ...]:
    return (Column(title="单位", width=2.2, align="left"), Column(title="用房", width=1.9, align="left"), *columns)


def _coverage(found: Sequence[RoomMeasure]) -> Table:
    states = ("watched", "degraded", "blind", "manual")
    rows = tuple(
        (
            item.place.unit_name,
            _short(item),
            STAGES.get(item.place.stage, item.place.stage),
            *(share(getattr(item.coverage, state), item.accounted_ms) for state in states),
            round(item.accounted_ms / 3_600_000, 1),
            "、".join(f"{CAUSES.get(cause, cause)} {duration(ms)}" for cause, ms in list(item.lost.items())[:2]),
        )
        for item in found
    )
    columns = _head(
        (
            Column(title="阶段"),
            *(Column(title=title, groups=("占在用期间台账时间 %",)) for title in ("有效", "部分", "中断", "人工")),
            Column(title="台账（小时）", width=1.2),
            Column(title="主要原因", width=2.6, align="left", missing=""),
        )
    )
    causes: Counter[str] = Counter()
    for item in found:
        causes.update(item.lost)
    whole = "、".join(f"{CAUSES.get(cause, cause)} {duration(ms)}" for cause, ms in causes.most_common(6)) or "没有"
    return Table(title="三、值守覆盖", columns=columns, rows=rows, notes=(f"未能有效值守的时间按原因合计：{whole}。",), small=True)


def _compliance(found: Sequence[RoomMeasure]) -> Table:
    rows = tuple(
        (
            item.place.unit_name,
            _short(item),
            medium(item.place.medium),
            *(
                cell
                for q in CLIMATE
                for cell in (
                    _range(item, q),
                    share(item.inside[q].in_band_ms, item.inside[q].valid_ms),
                    share(item.inside[q].valid_ms, item.elapsed_ms),
                )
            ),
        )
        for item in found
    )
    columns = _head(
        (
            Column(title="载体", width=1.2),
            *(
                Column(title=title, groups=(group,), width=width)
                for group in ("温度 ℃", "湿度 %RH")
                for title, width in (("范围", 1.2), ("达标 %", 1), ("有数据 %", 1.1))
            ),
        )
    )
    return Table(title="四、温湿度达标", columns=columns, rows=rows, small=True, notes=(denominators(达标="有效测量时间", 有数据="本期已过时间"),))


def _range(item: RoomMeasure, quantity: str) -> str:
    low, high = item.place.band(quantity)
    return "—" if low is None and high is None else f"{'' if low is None else f'{low:g}'}–{'' if high is None else f'{high:g}'}"


def _alarms(found: Sequence[RoomMeasure]) -> Block:
    rows = tuple(
        (
            item.place.unit_name,
            _short(item),
            *(item.alarms.by_level.get(level, 0) for level in LEVELS),
            item.alarms.late_known,
            item.alarms.asked,
            share(item.alarms.timely, item.alarms.asked),
            item.alarms.never,
            "—" if item.alarms.median_ms is None else duration(item.alarms.median_ms),
        )
        for item in found
        if item.alarms.by_level or item.alarms.late_known
    )
    if not rows:
        return Text(title="五、告警与接手", paragraphs=("本期没有告警。",))
    columns = _head(
        (
            *(Column(title=word, groups=("告警（件）",), width=0.8) for word in LEVELS.values()),
            Column(title="补记", groups=("告警（件）",), width=0.8),
            Column(title="应接手", width=1),
            Column(title="按时 %", width=1),
            Column(title="未接手", width=1),
            Column(title="中位用时", width=1.4),
        )
    )
    return Table(title="五、告警与接手", columns=columns, rows=rows, small=True, notes=(denominators(按时="应接手的件数"),))


def _calibration(sources: Sources, found: Sequence[RoomMeasure], now: int) -> Block:
    """The newest calibration of every climate point; what was never calibrated is named."""
    idents = {ident: item for item in found for quantity in CLIMATE for ident in item.place.inside.get(quantity, ())}
    with sources.db.read() as session:
        newest = {
            row.point: row
            for row in session.scalars(select(Calibration).where(Calibration.calibrated_at <= now).order_by(Calibration.calibrated_at))
            if row.point in idents
        }
        devices = {
            row.id: f"{row.device}·{_QUANTITY[row.quantity]}"
            for row in session.scalars(select(Point).where(Point.gateway != manual.GATEWAY))
            if row.id in idents
        }
    without = len(idents) - len(newest)
    title, said = "六、传感器校准", f"温湿度测点共 {len(idents)} 个，有校准记录 {len(newest)} 个，没有记录 {without} 个。"
    if not newest:
        return Text(
            title=title,
            paragraphs=(f"{said}请附校准证书，或用标准器现场比对后填写：库房、传感器、标准值、示值、差值、日期、校准人。",),
            blank_lines=2,
        )
    rows = tuple(
        (
            _short(idents[ident]),
            devices[ident],
            row.serial,
            row.certificate,
            f"{local(row.calibrated_at):%Y-%m-%d}",
            f"{local(row.valid_until):%Y-%m-%d}",
            "已过期" if row.valid_until < now else "有效",
        )
        for ident, row in sorted(newest.items())
    )
    columns = (
        Column(title="用房", width=2, align="left"),
        Column(title="测点", width=1.6),
        Column(title="出厂编号", width=1.4),
        Column(title="证书", width=1.6),
        Column(title="校准日期", width=1.3),
        Column(title="有效期至", width=1.3),
        Column(title="状态"),
    )
    return Table(title=title, columns=columns, rows=rows, small=True, notes=(said,))
