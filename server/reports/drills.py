"""演练报告 of a unit and everything below it: who was drilled, what was detected, told, delivered and answered, what failed, who was left out."""

import hashlib
import json
from collections.abc import Sequence
from statistics import median

from sqlalchemy.orm import Session

from server.reports.paper import Block, Column, Facts, Sheet, Table, Text
from server.reports.period import Period, local
from server.reports.sources import Sources
from server.reports.words import percent
from server.store import drills, rooms, units
from server.store.tables_drill import Drill

TITLE = "告警演练报告"
_MOST_LISTED = 200
_OVER = ("ended", "failed")
"""A drill that still runs has no result: it is counted as running and not as one in which nothing was detected."""
_STAGES = (("detected_s", "测到"), ("told_s", "发出"), ("delivered_s", "送达"), ("answered_s", "答复"))


def sheet(sources: Sources, unit: tuple[str, str], period: Period, now: int) -> Sheet:
    """The report of a unit (code, name) over a period; the last drill of each room counts."""
    with sources.db.read() as session:
        begun = drills.between(session, unit[0], period.since, min(period.until, now))
        every = [row for row in begun if row.state in _OVER]
        running = {row.room for row in begun if row.state not in _OVER}
        last = {row.room: row for row in every}
        places = rooms.names(session, sorted(last))
        due = [code for code, _ in drills.rooms(session, unit[0]) if code not in last]
        latest = list(last.values())
        blocks = (
            _overview(every, latest, due, len(running)), _by_unit(session, unit[0], latest, due), _failed(session, every, places),
            _left_out(session, [code for code in due if code not in running]),
        )  # fmt: skip
    return Sheet(
        title=TITLE,
        subject=f"{unit[1]}　{period.label}",
        pairs=(("单位编号", unit[0]), ("范围", "本单位及下级在用库房"), ("时段", period.label)),
        blocks=blocks,
        notes=(
            "用时从演练指令下发到网关算起；测到=采集端注入的演练信号按真实规则产生告警；送达=短信运营商回执；答复=有人接手。",
            "同一间库房在时段内演练多次的，各项比例按最近一次计算。演练不进入任何告警统计和考评。",
            "每间结果单独签名（SHA-256）并写入审计链，“签名核对”为本报告生成时重新计算的结果。",
        ),
        signatures=("组织单位", "检查人", "审核"),
    )


def intact(row: Drill) -> bool:
    """Whether the result of a drill is still what was signed."""
    return row.signature == hashlib.sha256(json.dumps(row.result, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _seconds(found: Sequence[Drill], stage: str) -> list[float]:
    return sorted(float(row.result[stage]) for row in found if row.result.get(stage) is not None)


def _overview(every: Sequence[Drill], last: Sequence[Drill], due: Sequence[str], running: int) -> Facts:
    pairs = [("演练间次", str(len(every))), ("覆盖库房", _of(len(last), len(last) + len(due), "在用"))]
    if running:
        pairs.append(("正在演练", f"{running} 间，还没有结果"))
    for stage, word in _STAGES:
        times = _seconds(last, stage)
        slow = f"，中位 {median(times):.0f} 秒，最慢 {times[-1]:.0f} 秒" if times else ""
        pairs.append((word, f"{_of(len(times), len(last), '已演练')}{slow}"))
    signed = [row for row in every if row.signature]
    pairs.append(("签名核对", f"{sum(map(intact, signed))} 份一致，共 {len(signed)} 份"))
    return Facts(title="一、总体情况", pairs=tuple(pairs))


def _of(part: int, whole: int, of: str) -> str:
    """A count with what it is a share of, rounded as everybody does it; only all of them are 100 %."""
    near = round(100 * part / whole, 1) if whole else None
    return f"{part} 间，占{of} {whole} 间的 {percent(near if near is None or part == whole else min(near, 99.9))}"


def _by_unit(session: Session, top: str, last: Sequence[Drill], due: Sequence[str]) -> Block:
    """One row for each unit right below, itself included."""
    tree = {code: units.path(session, code) for code in {row.unit for row in last} | {code[:12] for code in due}}
    found: dict[str, list[Drill]] = {}
    missing: dict[str, int] = {}
    for row in last:
        found.setdefault(_branch(tree.get(row.unit, ()), top), []).append(row)
    for code in due:
        branch = _branch(tree.get(code[:12], ()), top)
        missing[branch] = missing.get(branch, 0) + 1
    names = units.names(session, sorted({*found, *missing}))
    rows = []
    for branch in sorted({*found, *missing}):
        mine = found.get(branch, [])
        whole, times = len(mine) + missing.get(branch, 0), _seconds(mine, "answered_s")
        counts = [len(_seconds(mine, stage)) for stage, _ in _STAGES]
        rows.append(
            (names.get(branch, branch), whole, len(mine), *counts, round(median(times)) if times else None, round(times[-1]) if times else None)
        )
    if not rows:
        return Text(title="二、分单位情况", paragraphs=("没有在用库房。",))
    columns = (
        Column(title="单位", width=3, align="left"), Column(title="在用库房"), Column(title="已演练"),
        *(Column(title=word, groups=("间数",)) for _, word in _STAGES), Column(title="中位", groups=("答复用时（秒）",)),
        Column(title="最慢", groups=("答复用时（秒）",)),
    )  # fmt: skip
    return Table(title="二、分单位情况", columns=columns, rows=tuple(rows), small=True)


def _branch(path: Sequence[str], top: str) -> str:
    at = path.index(top) if top in path else -1
    return path[at + 1] if 0 <= at < len(path) - 1 else top


def _failed(session: Session, every: Sequence[Drill], places: dict[str, tuple[str, str]]) -> Block:
    title = "三、未完成或无人答复"
    found = [row for row in every if row.state == "failed" or (row.state == "ended" and row.result.get("answered_s") is None)]
    if not found:
        return Text(title=title, paragraphs=("没有。",))
    names = units.names(session, [row.unit for row in found])
    rows = tuple(
        (
            f"{local(row.due_at):%m-%d %H:%M}", names.get(row.unit, row.unit),
            places.get(row.room, (row.room, ""))[0].removeprefix(names.get(row.unit, "")), row.reason or "已通知，规定时间内无人答复。",
        )
        for row in found[:_MOST_LISTED]
    )  # fmt: skip
    more = (f"另有 {len(found) - _MOST_LISTED} 间未列出，完整名单见系统演练页。",) if len(found) > _MOST_LISTED else ()
    columns = (
        Column(title="时间", width=1.3), Column(title="单位", width=2.2, align="left"), Column(title="库房", width=1.6, align="left"),
        Column(title="原因", width=4, align="left"),
    )  # fmt: skip
    return Table(title=title, columns=columns, rows=rows, notes=more, small=True)


def _left_out(session: Session, due: Sequence[str]) -> Text:
    title = "四、时段内没有演练的在用库房"
    if not due:
        return Text(title=title, paragraphs=("没有。",))
    names, known = rooms.names(session, list(due[:_MOST_LISTED])), units.names(session, sorted({code[:12] for code in due[:_MOST_LISTED]}))
    shown = "、".join(f"{known.get(code[:12], code[:12])}{names.get(code, (code, ''))[0]}" for code in due[:_MOST_LISTED])
    more = f"等 {len(due)} 间。" if len(due) > _MOST_LISTED else f"，共 {len(due)} 间。"
    return Text(title=title, paragraphs=(shown + more,))
