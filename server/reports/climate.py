"""库房气候月报: the climate of a room in plain words, with the preservation account and what would have helped."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date

from alarms.climate_series import TWPI_MIN_COVERAGE
from server.reports.account import REFERENCE, Account, cost_days
from server.reports.paper import Block, Cell, Column, Curve, Facts, Line, Progress, Sheet, Table, Text
from server.reports.period import HOUR_MS, Period, local
from server.reports.sources import CLIMATE, Hour, Place, Sources, places, share
from server.reports.survey import Climate, extremes, survey
from server.reports.words import TIME_WEIGHTED, band_text, duration, medium, percent
from server.series import Compliance
from server.store.tables import Room

TITLE = "库房气候报告"
_MOST_POINTS = 360
_UNITS = {"temperature": ("温度", "℃", 1), "humidity": ("湿度", "%RH", 0)}
ACCOUNT_NOTE = (
    f"“纸寿账”以 {REFERENCE[0]:g} ℃、{REFERENCE[1]:g} %RH 下过一天为一天，按保存指数（PI，闭合公式）折算，"
    "只用于比较不同时间、不同库房，不是对任何一份档案寿命的承诺。"
)


def build(sources: Sources, rooms: Sequence[Room], period: Period, now: int, progress: Progress) -> list[Sheet]:
    """One sheet per room."""
    with sources.db.read() as session:
        found = places(session, sources, rooms)
    sheets = []
    for place in found:
        sheets.append(_sheet(place, survey(sources, place, period, now), period))
        progress(len(sheets), len(found))
    return sheets


def sentences(climate: Climate) -> tuple[str, ...]:
    """The period in plain words."""
    book = climate.account
    if not book.elapsed:
        return ("这段时间没有有效的温湿度数据，无法评价。请先查明原因（见值守台账），恢复测量。",)
    texts = [_cost_sentence(book)]
    worst = book.causes[0]
    if book.extra >= 1 and worst.days > 0:
        whole = sum(max(cause.days, 0) for cause in book.causes)
        texts.append(f"多耗的部分里，“{worst.name}”占 {100 * worst.days / whole:.0f} %，历时 {duration(worst.lasted_ms)}。")
    texts.append(
        f"有数据的 {book.nights} 个夜晚中，{book.humid_nights} 个夜晚平均湿度高于 65 %RH。"
        if book.humid_nights
        else "没有平均湿度高于 65 %RH 的夜晚。"
    )
    texts.append(_mould_sentence(climate.mould))
    if climate.moisture is not None and not (climate.moisture[0] >= 5 and climate.moisture[1] <= 12.5):
        texts.append(
            f"纸张平衡含水率在 {climate.moisture[0]:.1f} % 到 {climate.moisture[1]:.1f} % 之间，超出 5 %–12.5 % 的机械安全范围，注意变形和脆化。"
        )
    if climate.by_hand:
        texts.append(f"本库没有传感器，以上按 {climate.by_hand} 次人工抄录估算，每次最多代表 12 小时，可信度低于自动测量。")
    elif climate.known_ms < 0.9 * climate.whole_ms:
        texts.append(f"有效测量只占 {100 * climate.known_ms / max(climate.whole_ms, 1):.0f} %，结论仅供参考。")
    return tuple(texts)


def fixes_table(book: Account, title: str = "可以做什么（按预计效果排列）") -> Block:
    """What would have helped, best first."""
    if not book.fixes:
        return Text(title=title, paragraphs=("按现有数据，没有哪一项措施能再省下 0.1 天以上的纸寿，保持现状即可。",))
    rows = tuple((index, fix.name, fix.reason, round(fix.saved, 1), fix.effort) for index, fix in enumerate(book.fixes[:6], 1))
    return Table(
        title=title,
        rows=rows,
        columns=(
            Column(title="序号", width=0.5),
            Column(title="措施", width=3.4, align="left"),
            Column(title="依据（本期数据）", width=3.4, align="left"),
            Column(title="预计少耗（天）", width=1.1),
            Column(title="花费", width=0.8),
        ),
        notes=("各项分别估算，同时采取时不能相加。",),
    )


def _sheet(place: Place, climate: Climate, period: Period) -> Sheet:
    notes = [TIME_WEIGHTED if not climate.by_hand else "达标率按抄录次数计算，不是按时间。", ACCOUNT_NOTE]
    notes.append(f"TWPI 为按时间加权的保存指数（调和平均，未经平滑）；覆盖低于 {TWPI_MIN_COVERAGE:g} % 时不给出。")
    notes.append("霉变风险系数达到 1 表示预计孢子萌发，随后重新累计。")
    return Sheet(
        title=TITLE,
        subject=f"{place.unit_name}　{place.name}　{period.label}",
        pairs=(("编号", place.code), ("适用范围", "　".join(band_text(q, place.band(q)) for q in CLIMATE)), ("载体", medium(place.medium))),
        blocks=(
            Text(title="一、结论", paragraphs=sentences(climate), numbered=True),
            _figures(climate),
            fixes_table(climate.account, "三、可以做什么（按预计效果排列）"),
            *(_curve(climate, place, period, quantity) for quantity in CLIMATE),
            _causes(climate.account),
            _daily(climate),
        ),
        notes=tuple(notes),
        signatures=("编制", "库房责任人", "审核"),
    )


def _figures(climate: Climate) -> Facts:
    pairs: list[tuple[str, str]] = []
    for quantity in CLIMATE:
        word, unit, decimals = _UNITS[quantity]
        figure = climate.figures[quantity]
        pairs.append((f"{word} 平均", _number(figure.mean, decimals, unit)))
        pairs.append((f"{word} 最低 / 最高（小时均值）", f"{_number(figure.low, decimals, '')} / {_number(figure.high, decimals, unit)}"))
        pairs.append((f"{word} 达标率", rate(climate.inside[quantity], bool(climate.by_hand))))
    pairs = [pair for both in zip(pairs[:3], pairs[3:], strict=True) for pair in both]
    covered = share(climate.known_ms, climate.whole_ms)
    pairs.append(("测量覆盖", f"{percent(covered)}（{duration(climate.known_ms)}，本期已过 {duration(climate.whole_ms)}）"))
    pairs.append(("保存指数 TWPI", "数据覆盖不足，不给出" if climate.twpi is None else f"{climate.twpi:.0f} 年"))
    pairs.append(("霉变风险系数（本期最高）", f"{climate.mould:.2f}"))
    moisture = climate.moisture
    pairs.append(("平衡含水率", "—" if moisture is None else f"{moisture[0]:.1f}–{moisture[1]:.1f} %"))
    pairs.append(("纸寿账", "—" if not climate.account.elapsed else f"实过 {climate.account.elapsed:.1f} 天，耗去 {climate.account.used:.1f} 天"))
    pairs.append(("湿夜", f"{climate.account.humid_nights} 个，共 {climate.account.nights} 个夜晚有数据"))
    return Facts(title="二、主要指标", pairs=tuple(pairs))


def rate(inside: Compliance, by_hand: bool = False) -> str:
    """A share in band with its denominator."""
    value = percent(share(inside.in_band_ms, inside.valid_ms))
    return f"{value}（{inside.in_band_ms} 次，共 {inside.valid_ms} 次）" if by_hand else f"{value}（有效测量 {duration(inside.valid_ms)}）"


def _cost_sentence(book: Account) -> str:
    if book.extra >= 1:
        return f"这段时间实过 {book.elapsed:.0f} 天，纸张耗去 {book.used:.0f} 天的寿命，多耗 {book.extra:.0f} 天。"
    if book.extra <= -1:
        return f"这段时间实过 {book.elapsed:.0f} 天，纸张只耗去 {book.used:.0f} 天的寿命，省下 {-book.extra:.0f} 天。"
    return f"这段时间实过 {book.elapsed:.0f} 天，纸张的消耗与之相当。"


def _mould_sentence(risk: float) -> str:
    if risk >= 1:
        return f"霉变风险系数达到 {risk:.1f}：条件已足够孢子萌发，请马上开箱抽查，并降湿。"
    if risk >= 0.5:
        return f"霉变风险系数 {risk:.2f}，有一定风险，请抽查墙角和底层。"
    return f"霉变风险系数 {risk:.2f}，较低。" if risk > 0 else "没有适合霉菌生长的时间。"


def _curve(climate: Climate, place: Place, period: Period, quantity: str) -> Curve:
    word, unit, _ = _UNITS[quantity]
    every = max(1, -(-len(climate.hours) // _MOST_POINTS))
    groups = [climate.hours[index : index + every] for index in range(0, len(climate.hours), every)]
    low, high = place.band(quantity)
    lines = [Line(name="库内", values=tuple(_group(group, quantity) for group in groups))]
    if any(getattr(hour, f"out_{quantity}") is not None for hour in climate.hours):
        lines.append(Line(name="室外参考", values=tuple(_group(group, f"out_{quantity}") for group in groups), dashed=True))
    return Curve(
        title=f"{word}（{unit}），底色为适用范围", unit=unit, since=period.since, step_ms=every * HOUR_MS, lines=tuple(lines), low=low, high=high
    )


def _group(group: Sequence[Hour], name: str) -> float | None:
    values = [value for hour in group if (value := getattr(hour, name)) is not None]
    return round(sum(values) / len(values), 2) if values else None


def _causes(book: Account) -> Block:
    rows = tuple((cause.name, duration(cause.lasted_ms), round(cause.days, 1)) for cause in book.causes)
    columns = (Column(title="时间的性质", width=3, align="left"), Column(title="历时", width=1.5), Column(title="比基准多耗（天）", width=1.3))
    return Table(title="四、多耗在哪里", columns=columns, rows=rows, notes=("负数为比基准省下的天数。每个小时只归入一类。",))


def _daily(climate: Climate) -> Table:
    by_day: dict[date, list[Hour]] = defaultdict(list)
    for hour in climate.hours:
        by_day[local(hour.time).date()].append(hour)
    columns = (
        Column(title="日期", width=1.2),
        *(
            Column(title=title, groups=(f"{word}（{unit}）",), decimals=decimals)
            for word, unit, decimals in (_UNITS[quantity] for quantity in CLIMATE)
            for title in ("平均", "最低", "最高", "日较差")
        ),
        Column(title="有数据（小时）", width=1.1),
        Column(title="纸寿（天）", decimals=2),
    )
    return Table(title="五、逐日", columns=columns, rows=tuple(_day(day, list(group)) for day, group in by_day.items()), small=True)


def _day(day: date, group: Sequence[Hour]) -> tuple[Cell, ...]:
    cells: list[Cell] = [f"{day.month}月{day.day}日"]
    for quantity in CLIMATE:
        figure = extremes(group, quantity)
        swing = None if figure.high is None or figure.low is None else figure.high - figure.low
        cells += [figure.mean, figure.low, figure.high, swing]
    costs = [cost for hour in group if (cost := cost_days(hour)) is not None]
    return (*cells, round(sum(hour.watched_ms for hour in group) / HOUR_MS, 1), sum(costs) if costs else None)


def _number(value: float | None, decimals: int, unit: str) -> str:
    return "—" if value is None else f"{value:.{decimals}f} {unit}".strip()
