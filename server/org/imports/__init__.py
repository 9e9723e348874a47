"""Import of units, people, rooms, devices, room sheets, holdings and calibrations from .xlsx and CSV.

Every row is checked before anything is written; one wrong row keeps everything out. Idempotent by code. Writing goes in parts, each with the images
that an undo needs; a part that fails takes the parts before it back.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from server.org import granting
from server.org.imports import boxes, contents, places, staff, tables
from server.org.imports.plan import Change, Context, Kind, Plan, Wrong, checked, chunks
from server.org.imports.undo import undo_images
from server.org.imports.write import PART, images, write_part
from server.store import audit, units
from server.store.session import Database
from server.store.tables_org import ImportRun, OrgChange

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {kind.name: kind for kind in (places.UNITS, staff.PEOPLE, places.ROOMS, boxes.DEVICES, contents.SHEETS, contents.HOLDINGS, boxes.CALIBRATIONS)}
)
_KEPT_ERRORS: Final = 1_000
RUNNING: Final = "running"


class ImportRefusedError(ValueError):
    """An import that cannot be taken back, or one that is not there; the text is the sentence for the person."""


@dataclass(slots=True)
class Summary:
    """What an import did, or would do. `errors` are sentences with their line number; `run` is the id of its record."""

    kind: str
    run: int
    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    errors: list[str] = field(default_factory=list)
    changed: dict[str, set[str]] = field(default_factory=dict)
    """Codes of the units, rooms and gateways whose rows changed, for the watch."""


def begin(db: Database, kind: str, name: str, content: bytes, *, by: str, unit: str | None, now: int, dry_run: bool) -> int:
    """Record that an import begins; returns its id."""
    with db.write() as session:
        run = ImportRun(kind=kind, file=name[-120:], sha256=hashlib.sha256(content).hexdigest(), unit=unit, by=by, started_at=now, dry_run=dry_run)
        session.add(run)
        session.flush()
        return run.id


def carry_out(
    db: Database, run: int, content: bytes, clock: Callable[[], int], *, grants: bool = True, progress: Callable[[int, int], None] | None = None
) -> Summary:
    """Check and write a begun import; `grants`: the importer may appoint administrators; `progress(done, rows)` hears how far the writing is.

    Raises TableError for a file that is no such table; the record says so as well.
    """
    with db.read() as session:
        row = session.get_one(ImportRun, run)
        kind, name, by, scope, dry = KINDS[row.kind], row.file, row.by, row.unit, row.dry_run
    try:
        lines = tables.read(name, content, [(column.name, column.title) for column in kind.columns], kind.required)
        plan = _plan(db, kind, lines, by=by, unit=scope, now=clock(), grants=grants)
    except ValueError as error:
        _finish(db, run, clock(), state="failed", sentence=str(error))
        raise
    summary = Summary(kind.name, run, plan.rows, plan.created, plan.updated, plan.unchanged, [str(error) for error in plan.errors])
    counts = {"rows": plan.rows, "created": plan.created, "updated": plan.updated, "unchanged": plan.unchanged}
    if plan.errors or dry:
        state = "refused" if plan.errors else "checked"
        _finish(db, run, clock(), state=state, errors=[_wrong(error) for error in plan.errors[:_KEPT_ERRORS]], **counts)
        return summary
    _write(db, run, plan, clock, progress or (lambda _done, _rows: None))
    summary.changed = touched(plan.changes)
    if len(plan.changes) >= PART:
        db.counted({change.table.name for change in plan.changes})
    _finish(db, run, clock(), state="done", **counts)
    return summary


def _plan(db: Database, kind: Kind, lines: list[tables.Line], *, by: str, unit: str | None, now: int, grants: bool) -> Plan:
    plan = Plan()
    with db.read() as session:
        scope = None if unit is None else frozenset(session.scalars(units.below(unit)))
        kind.plan(Context(session=session, now=now, scope=scope, by=by, grants=grants), list(checked(kind, lines, plan)), plan)
    plan.errors.sort(key=lambda error: error.line)
    return plan


def _write(db: Database, run: int, plan: Plan, clock: Callable[[], int], progress: Callable[[int, int], None]) -> None:
    total = max(1, len(plan.changes))
    try:
        for number, part in enumerate(chunks(plan.changes, PART)):
            done = plan.rows * min(total, (number + 1) * PART) // total
            with db.write() as session:
                write_part(session, run, number, part)
                session.get_one(ImportRun, run).done = done
            progress(done, plan.rows)
    except SQLAlchemyError as error:
        with db.write() as session:
            undo_images(session, images(session, run))
        sentence = f"写入失败，已撤回：{str(error.__cause__ or error).splitlines()[0]}"
        _finish(db, run, clock(), state="failed", sentence=sentence)
        raise


def _finish(db: Database, run: int, now: int, *, state: str, **values: Any) -> None:
    with db.write() as session:
        row = session.get_one(ImportRun, run)
        row.state, row.finished_at = state, now
        for name, value in values.items():
            setattr(row, name, value)
        if state == "done":
            row.done = row.rows
            audit.append(session, row.by, f"import_{row.kind}", row.file, _told(row), now)
            if row.kind == "people":
                granting.align(session, now, by=row.by)


def _told(row: ImportRun) -> dict[str, Any]:
    return {"run": row.id, "rows": row.rows, "created": row.created, "updated": row.updated, "sha256": row.sha256}


def _wrong(error: Wrong) -> dict[str, Any]:
    return {"line": error.line, "column": error.column, "title": error.title, "sentence": error.sentence}


_SUBJECT = {"unit": ("unit", "code"), "room": ("room", "code"), "gateway": ("gateway", "code"), "point": ("gateway", "gateway")}


def touched(changes: list[Change]) -> dict[str, set[str]]:
    """Codes of the units, rooms and gateways whose rows change, for the watch."""
    found: dict[str, set[str]] = {}
    for change in changes:
        if change.table.name in _SUBJECT:
            kind, column = _SUBJECT[change.table.name]
            found.setdefault(kind, set()).add(str(change.key[column]))
    return found


def undo(db: Database, run: int, *, by: str, reason: str, now: int) -> tuple[int, list[str], dict[str, set[str]]]:
    """Take a finished import back. Returns how many changes were taken back, sentences about the others, and what the watch must read again.

    Raises ImportRefusedError for one that is unknown, running or has nothing to take back.
    """
    with db.write() as session:
        row = session.get(ImportRun, run)
        if row is None:
            raise ImportRefusedError("没有这次导入。")
        if row.state != "done":
            raise ImportRefusedError("这次导入没有可以撤销的内容。")
        found = list(images(session, run))
        done, kept = undo_images(session, found)
        row.state, row.undone_at, row.undone_by = "undone", now, by
        row.errors = [{"line": 0, "column": "", "title": "", "sentence": sentence} for sentence in kept[:_KEPT_ERRORS]]
        row.sentence = f"撤销 {done} 处" + (f"，保留 {len(kept)} 处" if kept else "")
        for name, key, before, after in found:
            if name == "unit" and before is not None and {"parent", "name"} & set(before):
                change = OrgChange(
                    subject=f"unit:{key}", kind="undo", valid_from=now, recorded_at=now, by=by, why=reason[:200], before=after, after=before
                )
                session.add(change)
        if row.kind == "people":
            granting.align(session, now, by=by)
        audit.append(session, by, "import_undo", row.file, {"run": run, "done": done, "kept": len(kept), "reason": reason}, now)
    return done, kept, _touched_images(found)


def _touched_images(found: list[Any]) -> dict[str, set[str]]:
    codes: dict[str, set[str]] = {}
    for name, key, _, after in found:
        if name in ("unit", "room", "gateway"):
            codes.setdefault(name, set()).add(str(key))
        elif name == "point" and "gateway" in after:
            codes.setdefault("gateway", set()).add(str(after["gateway"]))
        elif name == "point":
            codes.setdefault("point", set()).add(str(key))
    return codes


def recover(db: Database, now: int) -> int:
    """Imports that a stop of the server cut off: what they had written is taken back. Returns how many there were."""
    with db.read() as session:
        cut = session.scalars(select(ImportRun.id).where(ImportRun.state == RUNNING)).all()
    for run in cut:
        with db.write() as session:
            undo_images(session, images(session, run))
        _finish(db, run, now, state="failed", sentence="服务中断，已撤回，请重新导入")
    return len(cut)


def import_csv(
    db: Database,
    kind: str,
    path: Path,
    *,
    now: int,
    actor: str = "cli",
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Load one file at once, for a command that holds the store. Raises OSError for an unreadable file, ValueError for one that is no such table."""
    content = path.read_bytes()
    run = begin(db, kind, path.name, content, by=actor, unit=None, now=now, dry_run=dry_run)
    return carry_out(db, run, content, lambda: now, progress=progress)
