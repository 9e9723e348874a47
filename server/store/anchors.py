"""Daily anchors of the audit log: evidence that leaves the database, so that even whoever rewrites the whole chain, or cuts its end, is found.

Each unit's entries of a day are hashed; each unit's node hashes its own and those of the units below it, up to the province (`""`), whose node also
fixes the end of the chain. A line on paper at any level is enough to check that level's branch.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.files import write_whole
from server.store.tables import AuditEntry, Unit
from server.store.tables_security import AuditAnchor
from server.store.units import below

ZONE = ZoneInfo("Asia/Shanghai")
TOP = ""
FIELDS = ("day", "unit", "first", "last", "chain", "count", "own", "children", "node", "made_at")


def make(session: Session, now: int) -> list[AuditAnchor]:
    """Anchor all entries since the anchor before, in the caller's write transaction. Empty when there are none, or when the day has its anchor."""
    day = f"{datetime.fromtimestamp(now / 1000, ZONE):%Y-%m-%d}"
    before = newest(session)
    if before is not None and before.day >= day:
        return []
    first = 1 if before is None else before.last + 1
    rows = session.execute(select(AuditEntry.id, AuditEntry.unit, AuditEntry.chain).where(AuditEntry.id >= first).order_by(AuditEntry.id)).all()
    if not rows:
        return []
    chains: dict[str, list[str]] = defaultdict(list)
    parents = {code: parent or TOP for code, parent in session.execute(select(Unit.code, Unit.parent))}
    for row in rows:
        chains[row.unit if row.unit in parents else TOP].append(row.chain)
    span = (day, first, rows[-1].id, rows[-1].chain)
    anchors = [AuditAnchor(**line, made_at=now) for line in _tree(chains, parents, span)]
    session.add_all(anchors)
    session.flush()
    return anchors


def newest(session: Session) -> AuditAnchor | None:
    """The last anchor of the whole."""
    return session.scalar(select(AuditAnchor).where(AuditAnchor.unit == TOP).order_by(AuditAnchor.day.desc()).limit(1))


def _tree(chains: Mapping[str, list[str]], parents: Mapping[str, str], span: tuple[str, int, int, str]) -> list[dict[str, Any]]:
    """Lines from the leaves up; only units with entries in their branch have one."""
    children: dict[str, set[str]] = defaultdict(set)
    for code in chains:
        while code != TOP:
            children[parents[code]].add(code)
            code = parents[code]  # noqa: PLW2901 - the way up
    found: list[dict[str, Any]] = []

    def build(code: str) -> str:
        under = [[child, build(child)] for child in sorted(children[code])]
        day, first, last, chain = span
        line = {"day": day, "unit": code, "first": first, "last": last, "chain": chain, "count": len(chains.get(code, ())), "children": under}
        line["own"] = own(chains.get(code, ()))
        line["node"] = node(line)
        found.append(line)
        return str(line["node"])

    build(TOP)
    return found


def own(chains: Iterable[str]) -> str:
    """Hash of one unit's entries."""
    return hashlib.sha256("".join(chains).encode()).hexdigest()


def node(line: Mapping[str, Any]) -> str:
    """Hash of a line and of the nodes below it."""
    under = ",".join(f"{code}:{value}" for code, value in line["children"])
    return hashlib.sha256("|".join(str(line[name]) for name in FIELDS[:7]).encode() + b"|" + under.encode()).hexdigest()


def of_day(session: Session, day: str, scope: str | None) -> list[AuditAnchor]:
    """Anchors of a day below a unit, from the top down; "" is the last day that has any."""
    if not day:
        day = session.scalar(select(AuditAnchor.day).order_by(AuditAnchor.day.desc()).limit(1)) or ""
    query = select(AuditAnchor).where(AuditAnchor.day == day).order_by(AuditAnchor.unit)
    return list(session.scalars(query if scope is None else query.where(AuditAnchor.unit.in_(below(scope)))))


def as_line(anchor: AuditAnchor) -> dict[str, Any]:
    """A line of a file of anchors."""
    return {name: getattr(anchor, name) for name in FIELDS}


def write(folder: Path, anchors: Iterable[AuditAnchor]) -> Path | None:
    """One file a day, e.g. 2026-11-26.jsonl, written once. Returns its path; None without anchors. Raises OSError."""
    lines = [json.dumps(as_line(anchor), ensure_ascii=False) for anchor in anchors]
    if not lines:
        return None
    path = folder / f"{json.loads(lines[0])['day']}.jsonl"
    if not path.exists():
        write_whole(path, ("\n".join(lines) + "\n").encode())
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """Lines of a file of anchors, or of all files of a folder. Raises OSError, ValueError."""
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines() if line.strip()]


def contradicted(session: Session, lines: Iterable[Mapping[str, Any]]) -> str | None:
    """Compare anchors with the log that is there: a sentence for the first one that does not fit, None when all do."""
    days: dict[tuple[str, int, int], list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        days[line["day"], line["first"], line["last"]].append(line)
    for (_, first, last), of_one_day in sorted(days.items()):
        query = select(AuditEntry.id, AuditEntry.unit, AuditEntry.chain).where(AuditEntry.id.between(first, last)).order_by(AuditEntry.id)
        sentence = _day_contradicted([(row.id, row.unit, row.chain) for row in session.execute(query)], of_one_day)
        if sentence is not None:
            return sentence
    return None


def _day_contradicted(rows: Sequence[tuple[int, str, str]], lines: Sequence[Mapping[str, Any]]) -> str | None:
    named = {line["unit"] for line in lines}
    chains: dict[str, list[str]] = defaultdict(list)
    for _, unit, chain in rows:
        chains[unit if unit in named else TOP].append(chain)
    for line in lines:
        where = f"{line['day']} {line['unit'] or '全省'}"
        if node(line) != line["node"]:
            return f"锚点 {where} 自身被改动。"
        if not rows or rows[-1][0] != line["last"] or rows[-1][2] != line["chain"]:
            return f"锚点 {where} 记下的第 {line['last']} 条不在日志里，或与当时不同。"
        # Which entries belong to no unit's branch is known only where the branches are given.
        judged = line["unit"] or len(lines) > 1 or not line["children"]
        if judged and (len(chains[line["unit"]]) != line["count"] or own(chains[line["unit"]]) != line["own"]):
            return f"锚点 {where} 与日志里该单位的记录不符。"
    return None


def in_database(session: Session) -> list[dict[str, Any]]:
    """All anchors that the database itself holds."""
    return [as_line(anchor) for anchor in session.scalars(select(AuditAnchor).order_by(AuditAnchor.day, AuditAnchor.unit))]
