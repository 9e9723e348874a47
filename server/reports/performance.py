"""告警系统绩效报告: how the alarm system of a unit does its job, in the figures of ISA-18.2 / IEC 62682, with what to put right first."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from alarms.performance import Figure
from contract.quantities import QUANTITIES
from server.duty.events import event_of
from server.duty.words import EVENTS, LEVELS
from server.reports.paper import DASH, Block, Cell, Column, Sheet, Table, Text
from server.reports.period import Period, local
from server.reports.sources import Sources
from server.reports.words import DENOMINATORS, FIGURES, GRADES, denominators, duration
from server.store import performance
from server.store.performance import Desk, Place
from server.store.tables import Alarm, Gateway, Room, Transition, Unit
from server.store.units import below, inside

TITLE = "告警系统绩效报告"
_LEAST_DAYS = 30
_MOST_ROWS = 40
_MIX = {"warn": "约 80", "alarm": "约 15", "urgent": "约 5", "critical": "低于 1"}
_MONTHLY = ("每天", "超 10 条的时段 %", "高峰时间 %", "持续 24 小时以上", "特急占比 %")
_ADVICE = {
    "top_10_share": "从下面“最多的 10 种”做起：逐条核对限值、死区和延时。",
    "chattering": "频繁跳变的，加大死区或延时，检查传感器接线。",
    "fleeting": "一闪而过的，加长触发延时。",
    "stale_worst_day": "长期不恢复的，不是告警而是状态：整改库房条件，或按程序调整阶段。",
    "windows_above_10": "告警高峰多由停电、断网引起：核对成组合并是否生效。",
    "critical_share": "特急过多会使人麻木：核对哪些告警确实要立即处置。",
}
_PAUSES = ("shelved", "out_of_service", "suppressed")


def sheet(sources: Sources, unit: tuple[str, str], period: Period, now: int) -> Sheet:
    """The report of the desk of a unit (code, name), up to now."""
    end = min(max(now, period.since + 1), period.until)
    with sources.db.read() as session:
        desk = performance.desk(session, unit[0], period.since, end)
        months = [
            (month.label, performance.desk(session, unit[0], month.since, min(end, month.until)))
            for month in period.months()
            if month.since < end and period.days > 31
        ]
        known = performance.places(session, {*desk.chattering, *desk.fleeting, *(tag for tag, _ in desk.performance.top)})
        names = _names(session, unit[0])
        pauses = _pauses(session, unit[0], period.since, end)
    return Sheet(
        title=TITLE,
        subject=f"{unit[1]}　{period.label}",
        pairs=(("单位编号", unit[0]), ("统计天数", f"{desk.performance.days:.1f} 天"), ("提醒", f"{desk.performance.asked} 次")),
        blocks=(
            Text(title="一、结论", paragraphs=conclusions(desk), numbered=True),
            _figures(desk.performance.figures),
            _mix(desk),
            *([_months(months)] if months else []),
            _top(desk, known, names),
            _floods(desk),
            _nuisance(desk, known, names),
            _paused(pauses, names),
        ),
        notes=(
            "只统计要求人处置的告警：确认、暂停、演练、成组告警的成员和仅作记录的提示不计；按一个值班席计算。",
            "目标值与上限取自 ISA-18.2 / IEC 62682 的常用指标，统计期宜不少于 30 天；“上限”一栏为空表示标准没有给出。",
            "告警高峰：10 分钟内超过 10 条开始，10 分钟内少于 5 条结束。",
        ),
        signatures=("编制", "值班负责人", "审核"),
    )


def _names(session: Session, unit: str) -> dict[str, str]:
    """Names of what alarms may be about, by code: the rooms, units and gateways of a subtree."""
    within = below(unit)
    queries = (select(Room).where(Room.unit.in_(within)), select(Unit).where(Unit.code.in_(within)), select(Gateway).where(Gateway.unit.in_(within)))
    return {row.code: row.name or row.code for query in queries for row in session.scalars(query)}


def conclusions(desk: Desk) -> tuple[str, ...]:
    """The period in sentences: what is red or above its target, and what to do about it."""
    found = desk.performance
    if not found.asked:
        return ("本期没有提醒。",)
    poor = [figure for figure in found.figures if figure.grade == "poor"]
    above = [figure for figure in found.figures if figure.grade == "fair"]
    texts = [f"共 {len(found.figures)} 项指标：{len(poor)} 项须整改，{len(above)} 项高于目标但可以承受。"]
    texts += [
        f"{FIGURES[figure.name]}为 {_value(figure)}，目标 {_target(figure.target, figure)}。{_ADVICE.get(figure.name, '')}"
        for figure in (*poor, *above)
    ]
    if found.days < _LEAST_DAYS:
        texts.append(f"统计期只有 {found.days:.1f} 天，少于 {_LEAST_DAYS} 天，结论仅供参考。")
    return tuple(texts)


def _value(figure: Figure) -> str:
    if figure.value is None:
        return "—"
    return f"{figure.value:.2f} %" if figure.unit == "%" else f"{figure.value:.2f}".rstrip("0").rstrip(".")


def _target(bound: float | None, figure: Figure) -> str:
    sign = "≥ " if figure.at_least else "≤ "
    return "" if bound is None else f"{'' if bound == 0 else sign}{bound:g}{' %' if figure.unit == '%' else ''}"


def _figures(figures: Sequence[Figure]) -> Table:
    rows = tuple(
        (FIGURES[one.name], _value(one), _target(one.target, one), _target(one.limit, one), DENOMINATORS.get(one.name, DASH), GRADES[one.grade])
        for one in figures
    )
    columns = (
        Column(title="指标", width=3.2, align="left"),
        Column(title="本期"),
        Column(title="目标"),
        Column(title="上限"),
        Column(title="占什么的比例", width=1.8),
        Column(title="评价", width=1.2),
    )
    return Table(title="二、指标", columns=columns, rows=rows)


def _mix(desk: Desk) -> Table:
    whole = sum(desk.performance.levels.values())
    found = desk.performance
    rows = tuple((LEVELS[level], count, found.share(level), _MIX[level]) for level, count in found.levels.items())
    return Table(
        title="三、级别分布",
        columns=(Column(title="级别"), Column(title="条数"), Column(title="占比 %"), Column(title="参考 %")),
        rows=rows,
        notes=(
            denominators(占比=f"{DENOMINATORS['warn_share']}（{whole} 次）", 参考=DENOMINATORS["warn_share"]),
            f"另有迟到数据补记 {desk.known_late} 条，不计入上表。",
            f"现在持续 {desk.standing} 条，暂停提醒 {desk.shelved} 条，长期不达标 {desk.chronic} 项。",
        ),
    )


def _months(months: Sequence[tuple[str, Desk]]) -> Table:
    names = ("per_day", "windows_above_10", "time_in_flood", "stale_worst_day", "critical_share")
    rows: list[tuple[Cell, ...]] = []
    for label, desk in months:
        values = {figure.name: figure.value for figure in desk.performance.figures}
        rows.append((label, desk.performance.asked, *(values[name] for name in names)))
    columns = (
        Column(title="月份", width=1.4),
        Column(title="告警数"),
        *(Column(title=title, decimals=2, width=1.3) for title in _MONTHLY),
    )
    note = denominators(**{title.removesuffix(" %"): DENOMINATORS[name] for name, title in zip(names, _MONTHLY, strict=True) if title.endswith("%")})
    return Table(title="逐月", columns=columns, rows=tuple(rows), small=True, notes=(note,))


def _top(desk: Desk, known: Mapping[str, Place], names: Mapping[str, str]) -> Block:
    title = "四、最多的 10 种"
    if not desk.performance.top:
        return Text(title=title, paragraphs=("没有。",))
    rows = tuple((*_tag(tag, known, names), count, 100 * count / desk.performance.asked) for tag, count in desk.performance.top)
    columns = (Column(title="对象", width=3, align="left"), Column(title="规则", width=2), Column(title="条数"), Column(title="占比 %"))
    return Table(
        title=title, columns=columns, rows=rows, notes=(denominators(占比=f"{DENOMINATORS['top_10_share']}（{desk.performance.asked} 次）"),)
    )


def _tag(tag: str, known: Mapping[str, Place], names: Mapping[str, str]) -> tuple[str, str]:
    """An alarm tag `subject|rule` in words: the room and what is measured there, and what happened."""
    subject, _, rule = tag.partition("|")
    found = known.get(tag)
    if found is None:
        return subject, rule
    code = found.room or subject.partition(":")[2]
    place = names.get(code, code)
    measured = QUANTITIES[found.quantity].zh if found.quantity in QUANTITIES else ""
    return f"{place}　{measured}".strip(), EVENTS[event_of(found.rule, found.kind, found.quantity)]


def _floods(desk: Desk) -> Block:
    title, floods = "五、告警高峰", desk.performance.floods
    if not floods:
        return Text(title=title, paragraphs=("本期没有发生。",))
    rows = tuple(
        (f"{local(since):%Y-%m-%d %H:%M}", f"{local(until):%Y-%m-%d %H:%M}", duration(until - since)) for since, until in floods[:_MOST_ROWS]
    )
    notes = (f"只列出最早的 {_MOST_ROWS} 次，共 {len(floods)} 次。",) if len(floods) > _MOST_ROWS else ()
    return Table(title=title, columns=(Column(title="开始"), Column(title="结束"), Column(title="历时")), rows=rows, notes=notes)


def _nuisance(desk: Desk, known: Mapping[str, Place], names: Mapping[str, str]) -> Block:
    title = "六、频繁跳变与一闪而过"
    rows = tuple(
        (word, *_tag(tag, known, names)) for word, tags in (("频繁跳变", desk.chattering), ("一闪而过", desk.fleeting)) for tag in tags[:_MOST_ROWS]
    )
    if not rows:
        return Text(title=title, paragraphs=("没有。",))
    return Table(title=title, columns=(Column(title="性质"), Column(title="对象", width=3, align="left"), Column(title="规则", width=2)), rows=rows)


def _pauses(session: Session, unit: str, start: int, end: int) -> list[tuple[Transition, Alarm]]:
    query = select(Transition, Alarm).join(Alarm, Alarm.id == Transition.alarm)
    query = query.where(inside(session, Alarm.unit, unit), Alarm.drill.is_(False), Transition.name.in_(_PAUSES), Transition.by != "")
    found = session.execute(query.where(Transition.at >= start, Transition.at < end).order_by(Transition.at).limit(_MOST_ROWS + 1))
    return [(transition, alarm) for transition, alarm in found]


def _paused(pauses: Sequence[tuple[Transition, Alarm]], names: Mapping[str, str]) -> Block:
    """What people silenced: the standard wants none without authority, so each is listed with who and why."""
    title, words = "七、暂停与停用", {"shelved": "暂停提醒", "out_of_service": "停用", "suppressed": "抑制"}
    if not pauses:
        return Text(title=title, paragraphs=("本期没有人暂停或停用告警。",))
    rows = tuple(
        (
            f"{local(step.at):%Y-%m-%d %H:%M}",
            words[step.name],
            names.get(alarm.room or "", alarm.subject),
            EVENTS[event_of(alarm.rule, alarm.kind, alarm.quantity)],
            step.by,
            step.note,
        )
        for step, alarm in pauses[:_MOST_ROWS]
    )
    columns = (
        Column(title="时间", width=1.5),
        Column(title="动作"),
        Column(title="对象", width=2, align="left"),
        Column(title="规则", width=1.5),
        Column(title="操作人"),
        Column(title="原因", width=2.4, align="left", missing=""),
    )
    notes = (f"只列出最早的 {_MOST_ROWS} 次，全部见“设置与设备变更清单”。",) if len(pauses) > _MOST_ROWS else ()
    return Table(title=title, columns=columns, rows=rows, small=True, notes=notes)
