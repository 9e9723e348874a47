"""温湿度综合分析: what art. 10 of the 1987 rule wants once a year. One sheet for the unit, one for each room; any other period works as well."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from server.reports.account import Fix
from server.reports.climate import fixes_table, sentences
from server.reports.paper import Block, Cell, Column, Curve, Facts, Line, Progress, Sheet, Table, Text
from server.reports.period import DAY_MS, HOUR_MS, Period, previous
from server.reports.register import Recorded, recorded
from server.reports.sources import CLIMATE, Hour, Place, Sources, compliances, hours, places, share
from server.reports.survey import Climate, extremes, survey
from server.reports.words import TIME_WEIGHTED, band_text, denominators, medium, percent
from server.series import Compliance
from server.store.tables import Room

TITLE = "档案库房温湿度综合分析"
_POOR = 85.0
_WORDS = {"temperature": ("温度", "℃"), "humidity": ("湿度", "%RH")}


class Analysed(NamedTuple):
    """One room: its climate, month by month, what was written down of what was due, and the same period a year before."""

    place: Place
    climate: Climate
    months: list[tuple[Period, list[Hour], dict[str, Compliance]]]
    recorded: Recorded
    before: dict[str, tuple[float | None, float | None]]


def build(sources: Sources, rooms: Sequence[Room], name: str, period: Period, now: int, progress: Progress) -> list[Sheet]:
    """A sheet for the unit of this name, where it is more than one room, and one for each room. The unit's figures are those of rooms in use."""
    found = _analyse(sources, rooms, period, now, progress)
    in_use = [item for item in found if item.place.stage == "in_use"]
    whole = [_whole(in_use, len(found), name, period)] if len(found) != 1 else []
    return [*whole, *(_sheet(item, period) for item in found)]


def _analyse(sources: Sources, rooms: Sequence[Room], period: Period, now: int, progress: Progress) -> list[Analysed]:
    with sources.db.read() as session:
        known = places(session, sources, rooms)
    months = [month for month in period.months() if month.since < now]
    kept = [compliances(sources.store, known, month.since, min(month.until, now)) for month in months]
    written = recorded(sources, known, period, now)
    earlier = previous(period)
    before = compliances(sources.store, known, earlier.since, earlier.until)
    found = []
    for place in known:
        climate = survey(sources, place, period, now)
        times = [hour.time for hour in climate.hours]
        parts = [climate.hours[bisect_left(times, month.since) : bisect_left(times, month.until)] for month in months]
        inside = [{quantity: monthly[place.code, quantity] for quantity in CLIMATE} for monthly in kept]
        past = hours(sources.store, place, earlier.since, earlier.until, DAY_MS) if place.sensed else []
        compared = {quantity: (extremes(past, quantity).mean, share(*before[place.code, quantity])) for quantity in CLIMATE}
        found.append(Analysed(place, climate, list(zip(months, parts, inside, strict=True)), written[place.code], compared))
        progress(len(found), len(known))
    return found


# --- the unit ---------------------------------------------------------------------------------------------------------------------------


def _whole(found: Sequence[Analysed], rooms: int, name: str, period: Period) -> Sheet:
    return Sheet(
        title=TITLE,
        subject=f"{name}　{period.label}",
        pairs=(
            ("库房数", f"共 {rooms} 间，合计只算其中在用的 {len(found)} 间"),
            ("依据", "《档案库房技术管理暂行规定》（1987年）第十条"),
            ("时段", period.label),
        ),
        blocks=(
            Text(title="一、总的情况", paragraphs=_summary(found), numbered=True),
            _rooms_table(found),
            _compared(found),
            _measures(found),
            _plan(found),
        ),
        notes=(TIME_WEIGHTED, "纸寿账只作比较，不是承诺。“应登记”为到编制时为止每天上午、下午各一次；自动登记和人工抄录都算已登记。"),
        signatures=("编制", "库房负责人", "单位负责人"),
    )


def _summary(found: Sequence[Analysed]) -> tuple[str, ...]:
    sensed = [item for item in found if item.climate.account.elapsed]
    texts = [f"在用库房 {len(found)} 间，其中 {len(sensed)} 间有温湿度数据，{len(found) - len(sensed)} 间没有。"]
    for quantity in CLIMATE:
        kept = [(share(*item.climate.inside[quantity]), item) for item in sensed]
        poor = sorted((value, item.place.name) for value, item in kept if value is not None and value < _POOR)
        word = _WORDS[quantity][0]
        named = "；".join(f"{room} {percent(value)}" for value, room in poor[:5])
        texts.append(f"{word}达标率（占有效测量时间）低于 {_POOR:g} % 的有 {len(poor)} 间{'，最差的是：' + named if poor else ''}。")
    wet = sum(item.climate.account.humid_nights for item in sensed)
    used, elapsed = sum(item.climate.account.used for item in sensed), sum(item.climate.account.elapsed for item in sensed)
    texts.append(f"整夜平均湿度高于 65 %RH 的共 {wet} 间·夜；纸寿账合计实过 {elapsed:.0f} 间·天，耗去 {used:.0f} 间·天。")
    mould = [item.place.name for item in sensed if item.climate.mould >= 1]
    texts.append(f"霉变风险系数达到过 1 的库房：{'、'.join(mould)}。" if mould else "没有库房的霉变风险系数达到 1。")
    done, due = sum(item.recorded.done for item in found), sum(item.recorded.due for item in found)
    texts.append(f"应登记 {due} 次，已登记 {done} 次（占应登记 {percent(share(done, due))}），缺测 {due - done} 次。")
    return tuple(texts)


def _rooms_table(found: Sequence[Analysed]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for item in found:
        cells: list[Cell] = [item.place.name, medium(item.place.medium)]
        for quantity in CLIMATE:
            figure = item.climate.figures[quantity]
            cells += [figure.mean, figure.low, figure.high, share(*item.climate.inside[quantity])]
        cells += [share(item.climate.known_ms, item.climate.whole_ms), share(item.recorded.done, item.recorded.due)]
        rows.append(tuple(cells))
    columns = (
        Column(title="库房", width=2.2, align="left"),
        Column(title="载体", width=1.1),
        *(
            Column(title=title, groups=(f"{word}（{unit}）",), width=0.9)
            for word, unit in _WORDS.values()
            for title in ("平均", "最低", "最高", "达标 %")
        ),
        Column(title="测量覆盖 %", width=1.1),
        Column(title="已登记 %", width=1.1),
    )
    of = denominators(达标="有效测量时间", 测量覆盖="本期已过时间", 已登记="应登记次数")
    return Table(title="二、各库房", columns=columns, rows=tuple(rows), small=True, notes=("最低、最高为小时均值。", of))


def _compared(found: Sequence[Analysed]) -> Table:
    rows = tuple(
        (
            item.place.name,
            *(
                cell
                for quantity in CLIMATE
                for cell in (
                    item.before[quantity][0],
                    item.climate.figures[quantity].mean,
                    item.before[quantity][1],
                    share(*item.climate.inside[quantity]),
                )
            ),
        )
        for item in found
    )
    columns = (
        Column(title="库房", width=2.2, align="left"),
        *(Column(title=title, groups=(word, group)) for word, _ in _WORDS.values() for group in ("平均", "达标 %") for title in ("上年", "本期")),
    )
    return Table(title="三、与上年同期比较", columns=columns, rows=rows, small=True, notes=(denominators(达标="当期有效测量时间"),))


def _measures(found: Sequence[Analysed]) -> Block:
    """Fixes of all rooms together, the best first; what costs nothing goes before what costs power when both save the same."""
    saved: dict[tuple[str, str], list[Fix]] = defaultdict(list)
    for item in found:
        for fix in item.climate.account.fixes:
            saved[fix.name, fix.effort].append(fix)
    title = "四、可以做什么（按预计效果排列）"
    if not saved:
        return Text(title=title, paragraphs=("按现有数据，没有哪一项措施能再省下 0.1 天以上的纸寿，保持现状即可。",))
    ranked = sorted(saved.items(), key=lambda each: (-sum(fix.saved for fix in each[1]), each[0][1] != "不花钱"))
    rows = tuple(
        (index, name, len(fixes), round(sum(fix.saved for fix in fixes), 1), effort) for index, ((name, effort), fixes) in enumerate(ranked[:8], 1)
    )
    columns = (
        Column(title="序号", width=0.5),
        Column(title="措施", width=4, align="left"),
        Column(title="适用库房（间）", width=1.1),
        Column(title="预计少耗（间·天）", width=1.3),
        Column(title="花费", width=0.8),
    )
    return Table(title=title, columns=columns, rows=rows, notes=("各项分别估算，同时采取时不能相加。",))


def _plan(found: Sequence[Analysed]) -> Text:
    """A draft of the plan that the rule wants next, out of what was found; lines to complete it by hand."""
    lines = []
    damp = [item.place.name for item in found if (kept := share(*item.climate.inside["humidity"])) is not None and kept < _POOR]
    if damp:
        lines.append(f"梅雨、回南天之前检修除湿设备，先做：{'、'.join(damp[:5])}。")
    blind = [item.place.name for item in found if item.climate.whole_ms and item.climate.known_ms < 0.95 * item.climate.whole_ms]
    if blind:
        lines.append(f"查明测量中断的原因并恢复：{'、'.join(blind[:5])}。")
    lines.append("温湿度仪器按期校准，附证书。")
    return Text(title="五、下一年管理计划（草案，请补充）", paragraphs=tuple(lines), numbered=True, blank_lines=2)


# --- one room ---------------------------------------------------------------------------------------------------------------------------


def _sheet(item: Analysed, period: Period) -> Sheet:
    place = item.place
    return Sheet(
        title=TITLE,
        subject=f"{place.unit_name}　{place.name}　{period.label}",
        pairs=(("编号", place.code), ("适用范围", "　".join(band_text(q, place.band(q)) for q in CLIMATE)), ("载体", medium(place.medium))),
        blocks=(
            Text(title="一、结论", paragraphs=sentences(item.climate), numbered=True),
            _months_table(item),
            *(_curve(item, period, quantity) for quantity in CLIMATE),
            fixes_table(item.climate.account, "三、可以做什么（按预计效果排列）"),
            Facts(
                title="四、登记",
                pairs=(("应登记", f"{item.recorded.due} 次"), ("已登记", f"{item.recorded.done} 次，其中人工抄录 {item.recorded.by_hand} 次")),
            ),
        ),
        notes=(TIME_WEIGHTED,),
        signatures=("编制", "库房责任人", "审核"),
    )


def _months_table(item: Analysed) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for month, series, inside in item.months:
        cells: list[Cell] = [month.label.partition("年")[2] if len(item.months) <= 12 else month.label]
        for quantity in CLIMATE:
            figure = extremes(series, quantity)
            cells += [figure.mean, figure.low, figure.high, share(*inside[quantity]), _outside(series, quantity)]
        cells.append(share(sum(hour.watched_ms for hour in series), len(series) * HOUR_MS))
        rows.append(tuple(cells))
    columns = (
        Column(title="月份", width=1.2),
        *(
            Column(title=title, groups=(f"{word}（{unit}）",))
            for word, unit in _WORDS.values()
            for title in ("平均", "最低", "最高", "达标 %", "室外")
        ),
        Column(title="覆盖 %"),
    )
    return Table(title="二、逐月", columns=columns, rows=tuple(rows), small=True, notes=(denominators(达标="当月有效测量时间", 覆盖="当月已过时间"),))


def _outside(series: Sequence[Hour], quantity: str) -> float | None:
    values = [value for hour in series if (value := getattr(hour, f"out_{quantity}")) is not None]
    return sum(values) / len(values) if values else None


def _curve(item: Analysed, period: Period, quantity: str) -> Curve:
    """Daily means."""
    days = [item.climate.hours[index : index + 24] for index in range(0, len(item.climate.hours), 24)]
    inside = tuple(None if (mean := extremes(day, quantity).mean) is None else round(mean, 2) for day in days)
    lines = [Line(name="库内日均", values=inside)]
    outside = tuple(None if (mean := _outside(day, quantity)) is None else round(mean, 2) for day in days)
    if any(value is not None for value in outside):
        lines.append(Line(name="室外日均", values=outside, dashed=True))
    low, high = item.place.band(quantity)
    word, unit = _WORDS[quantity]
    title = f"{word}日均（{unit}），底色为适用范围"
    return Curve(title=title, unit=unit, since=period.since, step_ms=DAY_MS, lines=tuple(lines), low=low, high=high)
