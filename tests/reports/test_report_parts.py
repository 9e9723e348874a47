"""Pure parts of papers: periods, headings, digests, the preservation account, scores."""

import inspect
import math
import re
from datetime import date
from types import SimpleNamespace

import msgspec
import pytest

from alarms.climate import preservation_index
from server.reports.account import account
from server.reports.measures import EXCUSED, Answering, RoomMeasure, answering
from server.reports.paper import Column, Paper, Sheet, Table, digest_of, head_rows, sealed
from server.reports.period import DAY_MS, HOUR_MS, PeriodError, midnight, parse_period
from server.reports.scorecard import Part, Score
from server.reports.sources import Hour, share
from server.reports.words import CAUSES
from server.store.tables import Alarm
from server.watch import ledger

OCTOBER = parse_period("2026-10")
BAND = ((14.0, 24.0), (45.0, 60.0))


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-10", date(2026, 10, 1), date(2026, 10, 31)),
        ("2024-02", date(2024, 2, 1), date(2024, 2, 29)),
        ("2026-12", date(2026, 12, 1), date(2026, 12, 31)),
        ("2026-Q3", date(2026, 7, 1), date(2026, 9, 30)),
        ("2026-Q4", date(2026, 10, 1), date(2026, 12, 31)),
        ("2026", date(2026, 1, 1), date(2026, 12, 31)),
        ("2026-10-05..2026-10-05", date(2026, 10, 5), date(2026, 10, 5)),
    ],
)
def test_periods_are_calendar_days_of_beijing(text: str, first: date, last: date) -> None:
    period = parse_period(text)
    assert (period.first, period.last) == (first, last)
    assert period.since == midnight(first)
    assert period.until - period.since == period.days * DAY_MS
    assert (period.since + 8 * HOUR_MS) % DAY_MS == 0


WRONG = ("", "2026-13", "2026-Q5", "26-10", "2026-10-02..2026-10-01", "2026-02-30..2026-03-01", "1026", "2020-01-01..2026-01-01")


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_period_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(PeriodError, match=r"时间范围|结束日期|最多"):
        parse_period(text)


def test_months_of_a_range_are_cut_to_it() -> None:
    months = list(parse_period("2026-10-20..2026-12-03").months())
    assert [(month.text, month.first.day, month.last.day) for month in months] == [("2026-10", 20, 31), ("2026-11", 1, 30), ("2026-12", 1, 3)]


def test_heads_span_equal_groups_and_reach_down() -> None:
    columns = (
        Column(title="日期"),
        Column(title="时间", groups=("上午",)),
        Column(title="温度", groups=("上午", "库内")),
        Column(title="湿度", groups=("上午", "库内")),
        Column(title="温度", groups=("下午", "库内")),
    )
    rows = [[(head.text, head.column, head.across, head.down) for head in row] for row in head_rows(columns)]
    assert rows == [
        [("日期", 0, 1, 3), ("上午", 1, 3, 1), ("下午", 4, 1, 1)],
        [("时间", 1, 1, 2), ("库内", 2, 2, 1), ("库内", 4, 1, 1)],
        [("温度", 2, 1, 1), ("湿度", 3, 1, 1), ("温度", 4, 1, 1)],
    ]


def paper(**changes: object) -> Paper:
    table = Table(columns=(Column(title="名称", align="left"), Column(title="值", missing="缺测")), rows=(("甲", 1.25), ("=1+1", None)))
    sheet = Sheet(
        title="登记表", subject="2026年10月", pairs=(("单位", "鼓楼分局"),), blocks=(table,),
        notes=("说明",),
        signatures=("登记人",),
    )  # fmt: skip
    values = {
        "kind": "register", "title": "登记表", "subject": "一号库房", "subject_code": "350102000000-01", "unit": "鼓楼分局", "period": "2026-10",
        "period_label": "2026年10月", "since": OCTOBER.since, "until": OCTOBER.until, "generated_at": OCTOBER.until,
        "generator": "ArchiveWatch 0.1.0",
        "sheets": (sheet,),
    }  # fmt: skip
    return sealed(Paper(**(values | changes)))  # type: ignore[arg-type]


def test_the_digest_covers_everything_and_can_be_computed_again() -> None:
    made = paper()
    again = msgspec.json.decode(msgspec.json.encode(made), type=Paper)
    assert digest_of(again) == made.digest == digest_of(made)
    assert paper(generated_at=OCTOBER.until + 1).digest != made.digest
    assert paper(sheets=()).digest != made.digest


def hours(
    temperature: float, humidity: float, days: int = 10, *, night: float | None = None, outside: tuple[float, float] | None = None
) -> list[Hour]:
    """Hours from midnight on; `night` is the humidity from 20:00 to 08:00."""
    found = []
    for index in range(24 * days):
        dark = index % 24 < 8 or index % 24 >= 20
        wet = night if dark and night is not None else humidity
        found.append(Hour(OCTOBER.since + index * HOUR_MS, temperature, wet, HOUR_MS, *(outside or (None, None))))
    return found


def test_a_day_at_the_reference_costs_a_day() -> None:
    book = account(hours(20, 50), *BAND)
    assert math.isclose(book.used, 10, rel_tol=1e-9)
    assert math.isclose(book.extra, 0, abs_tol=1e-9)
    assert book.humid_nights == 0


def test_a_worse_climate_costs_by_the_preservation_index() -> None:
    book = account(hours(24, 60), *BAND)
    assert math.isclose(book.used, 10 * preservation_index(20, 50) / preservation_index(24, 60), rel_tol=1e-9)


def test_humid_nights_are_found_named_and_the_largest_cause() -> None:
    book = account(hours(22, 50, night=72), *BAND)
    assert (book.humid_nights, book.nights) == (11, 11)  # the first morning belongs to the night before
    assert book.causes[0].name.startswith("湿夜")
    assert book.causes[0].lasted_ms == 10 * 12 * HOUR_MS
    assert book.fixes[0].name.startswith("夜间")
    assert sum(cause.days for cause in book.causes) == pytest.approx(book.extra)


def test_fixes_follow_the_air_outside() -> None:
    wet_outside = {fix.name: fix for fix in account(hours(22, 68, outside=(27, 90)), *BAND).fixes}
    dry_outside = {fix.name: fix for fix in account(hours(22, 68, outside=(18, 50)), *BAND).fixes}
    closing, airing = "室外更湿时不开窗、不通风，关好门窗、封好缝隙", "室外更干时开窗或开新风，通风后随即关闭"
    assert closing in wet_outside
    assert airing not in wet_outside
    assert airing in dry_outside
    assert closing not in dry_outside
    assert 0 < dry_outside[airing].saved < account(hours(22, 68), *BAND).used
    hot = account(hours(29, 55, outside=(35, 50)), *BAND)
    assert {fix.name for fix in hot.fixes} == {"温度降到上限 24 ℃ 以内（检查空调）", "空调设定值调低 1 ℃"}


def test_unknown_time_costs_nothing() -> None:
    book = account([Hour(OCTOBER.since, None, None, 0), Hour(OCTOBER.since + HOUR_MS, 20, None, HOUR_MS)], *BAND)
    assert (book.used, book.elapsed, book.causes, book.fixes) == (0, 0, (), ())


def alarm(level: str, acked: int | None, **more: object) -> Alarm:
    return Alarm(level=level, raised_at=0, acked_at=acked, **{"drill": False, "known_late": False, **more})


def test_answering_counts_what_asked_and_when_it_was_taken_over() -> None:
    found = answering(
        [
            alarm("critical", 30_000), alarm("critical", 90_000), alarm("urgent", None), alarm("alarm", 29 * 60_000), alarm("warn", None),
            alarm("urgent", 1, drill=True), alarm("urgent", 1, known_late=True),
        ]
    )  # fmt: skip
    assert found == Answering(
        by_level={"critical": 2, "urgent": 1, "alarm": 1, "warn": 1}, late_known=1, asked=4, timely=2, never=1, times_ms=(30_000, 90_000, 29 * 60_000)
    )
    assert found.median_ms == 90_000


def score(*parts: tuple[int, int], rooms: int = 1) -> Score:
    names = ("coverage", "answering", "climate", "data")
    made = tuple(Part(name=name, part=part, whole=whole) for name, (part, whole) in zip(names, parts, strict=True))
    return Score(unit="u", name="u", rooms=rooms, parts=made)


def test_a_score_is_the_weighted_mean_of_what_could_be_measured() -> None:
    assert score((100, 100), (1, 2), (80, 100), (100, 100)).total == 40 + 15 + 16 + 10
    assert score((90, 100), (0, 0), (80, 100), (100, 100)).total == round((40 * 90 + 20 * 80 + 10 * 100) / 70, 1)


def test_causes_are_those_that_the_ledger_writes() -> None:
    """Every string in the ledger's code that is a cause has a word, and neither the server's absence nor a cut network is held against a unit."""
    source = inspect.getsource(ledger.Ledger._cause) + inspect.getsource(ledger.Ledger.outage)
    written = {word for word in re.findall(r'"(\w+)"', source) if word != "quantity"}
    assert {"server", "bus", "power", "uplink"} <= written
    assert written <= set(CAUSES)
    assert set(EXCUSED) <= written, "what nobody writes excuses nothing"
    lost = {"server": 5, "planned": 7, "uplink": 3, "bus": 11}
    assert RoomMeasure.excused_ms.fget(SimpleNamespace(lost=lost)) == 15  # type: ignore[attr-defined]


def test_a_unit_that_nobody_watches_has_no_score() -> None:
    assert score((0, 0), (1, 1), (100, 100), (100, 100)).total is None


def test_a_share_is_never_rounded_up_to_complete() -> None:
    assert (share(99_999, 100_000), share(100_000, 100_000), share(0, 0)) == (99.9, 100.0, None)
