"""The people feed: rows from a personnel system become people by the same import as everybody's tables; who has left is disabled with all accounts.

A row may carry `state` (在职 or 离职). A whole list names everybody of the units that occur in it: who is missing has left. A list that would take
out more than a tenth of them is refused: it is far more often half a file than a mass exit. A feed appoints no administrators.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import select

from server.org import imports, notice_words, notices, people
from server.org.checks import CheckError, one_of
from server.store import audit
from server.store.session import Database
from server.store.tables import Person, Unit
from server.store.tables_org import ImportRun

BY: Final = "人员同步"
LEFT: Final = ("离职", "退休", "left", "inactive", "disabled", "0")
HERE: Final = ("", "在职", "active", "enabled", "1")
SILENT_MS: Final = 24 * 3_600_000
_FEW, _SHARE = 20, 0.1
_state = one_of((*HERE, *LEFT))
Row = Mapping[str, str]


class FeedError(ValueError):
    """A list that was not taken; the text is the sentence for the person."""


@dataclass(slots=True, kw_only=True)
class Taken:
    """What a list changed."""

    created: int = 0
    updated: int = 0
    left: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)


def absorb(db: Database, name: str, rows: Sequence[Row], *, whole: bool, now: int) -> Taken:
    """Take a list over. Raises FeedError when a row is wrong or too many would leave; nothing is written then."""
    gone = {row["code"] for row in rows if _left(row)}
    here = [row for row in rows if row.get("code", "") not in gone]
    if whole:
        gone |= _missing(db, here)
    content = _table(here)
    _check(db, name, content, now)  # before anything is written
    taken = Taken(left=_disable(db, sorted(gone), now), returned=_enable(db, [row["code"] for row in here], now))
    run = imports.begin(db, "people", name, content, by=BY, unit=None, now=now, dry_run=False)
    summary = imports.carry_out(db, run, content, lambda: now, grants=False)
    if summary.errors:
        raise FeedError("；".join(summary.errors[:5]))
    taken.created, taken.updated = summary.created, summary.updated
    return taken


def _left(row: Row) -> bool:
    try:
        return _state(row.get("state", "")) in LEFT
    except CheckError as error:
        raise FeedError(f"{row.get('code', '')}：状态{error}") from error


def _table(rows: Iterable[Row]) -> bytes:
    names = [column.name for column in imports.KINDS["people"].columns if any(column.name in row for row in rows) or column.required]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, extrasaction="ignore", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def _check(db: Database, name: str, content: bytes, now: int) -> None:
    run = imports.begin(db, "people", name, content, by=BY, unit=None, now=now, dry_run=True)
    try:
        wrong = imports.carry_out(db, run, content, lambda: now, grants=False).errors
    except ValueError as error:
        raise FeedError(str(error)) from error
    if wrong:
        raise FeedError("；".join(wrong[:5]))
    with db.write() as session:  # the trial of a list that is taken next is no record of its own
        session.delete(session.get_one(ImportRun, run))


def _missing(db: Database, here: Sequence[Row]) -> set[str]:
    """Codes of people of the units named who are not named themselves. Raises FeedError when they are too many."""
    named = {row["code"] for row in here}
    with db.read() as session:
        query = select(Person.code).where(Person.unit.in_({row.get("unit", "") for row in here}), Person.disabled_at.is_(None))
        known = set(session.scalars(query))
    missing = known - named
    if len(missing) > max(_FEW, _SHARE * len(known)):
        raise FeedError(f"名单里少了 {len(missing)} 人（原有 {len(known)} 人），超过一成，没有执行，请核对后再送")
    return missing


def _disable(db: Database, codes: Sequence[str], now: int) -> list[str]:
    found = []
    with db.write() as session:
        for person in session.scalars(select(Person).where(Person.code.in_(codes), Person.disabled_at.is_(None))).all():
            accounts = people.disable(session, person, why=f"{BY}：已离职", by=BY, now=now)
            audit.append(session, BY, "person_left", f"people:{person.code}", {"accounts": accounts}, now, unit=person.unit)
            found.append(person.code)
    return sorted(found)


def _enable(db: Database, codes: Sequence[str], now: int) -> list[str]:
    """Those whom an earlier list had taken out; roles and accounts have to be given anew."""
    with db.write() as session:
        back = session.scalars(select(Person).where(Person.disabled_at.is_not(None), Person.disabled_why.startswith(BY))).all()
        back = [person for person in back if person.code in set(codes)]
        for person in back:
            people.enable(session, person, why=f"{BY}：复职", by=BY, now=now)
            audit.append(session, BY, "person_back", f"people:{person.code}", {}, now, unit=person.unit)
        return sorted(person.code for person in back)


def failed(db: Database, name: str, sentence: str, now: int) -> None:
    """Put up a notice that a list was not taken."""
    _notice(db, f"feed:{name}", notice_words.FEED_FAILED % {"file": name, "why": sentence}, "alarm", now)


def taken(db: Database, name: str, now: int) -> None:
    """A list was taken: what stood against this source is over."""
    with db.write() as session:
        for key in (f"feed:{name}", "feed:silent"):
            notices.take_down(session, key[:120], now)


def listen(db: Database, since: int, now: int) -> bool:
    """Put up a notice when no list has come for a day: leavers would stay unnoticed. `since` is when the server began to listen."""
    with db.read() as session:
        last = session.scalar(
            select(ImportRun.finished_at).where(ImportRun.by == BY, ImportRun.state == "done").order_by(ImportRun.id.desc()).limit(1)
        )
    if now - max(last or 0, since) <= SILENT_MS:
        return False
    _notice(db, "feed:silent", notice_words.FEED_SILENT, "alarm", now)
    return True


def _notice(db: Database, key: str, sentence: str, level: str, now: int) -> None:
    with db.write() as session:
        top = session.scalar(select(Unit.code).where(Unit.parent.is_(None)).order_by(Unit.code).limit(1))
        if top is not None:
            notices.put_up(session, key=key[:120], kind="feed", level=level, unit=top, subject=key[:80], sentence=sentence, now=now)
