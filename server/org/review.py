"""The quarterly review: who holds which role at a unit and below is read and signed by its security administrator; the hash fixes what was read."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.org import notice_words, notices
from server.org.checks import ZONE, CheckError
from server.store import audit
from server.store.people import valid
from server.store.tables import Account, Person
from server.store.tables_org import PersonReview, PersonRole
from server.store.units import inside

KIND: Final = "review"
LATE_DAYS: Final = 14
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What there is to sign: numbers of people, roles and accounts, and what changed since the review before (appointed, ended, left).

    `sha256` fixes the whole list, name by name; "" where nobody is about to sign: at a province it takes half a second.
    """

    quarter: str
    ends_at: int
    people: int
    roles: int
    accounts: int
    appointed: int
    ended: int
    left: int
    since: int | None
    sha256: str
    signed: PersonReview | None


def quarter(now: int) -> str:
    """E.g. 2026-Q4, by Beijing's calendar."""
    here = datetime.fromtimestamp(now / 1000, ZONE)
    return f"{here.year}-Q{(here.month + 2) // 3}"


def ends_at(now: int) -> int:
    """The instant at which the quarter ends."""
    here = datetime.fromtimestamp(now / 1000, ZONE)
    month = (here.month + 2) // 3 * 3 + 1
    return int(datetime(here.year + month // 13, (month - 1) % 12 + 1, 1, tzinfo=ZONE).timestamp() * 1000)


def standing(session: Session, unit: str, now: int, *, to_sign: bool = True) -> Standing:
    """The books of a unit and below as they are now; `to_sign`: with the hash of the list."""
    last = session.scalar(select(PersonReview).where(PersonReview.unit == unit).order_by(PersonReview.signed_at.desc()).limit(1))
    since = last.signed_at if last is not None else 0
    mine, theirs = inside(session, PersonRole.unit, unit), inside(session, Person.unit, unit)
    here = Person.disabled_at.is_(None)
    people, left = session.execute(
        select(func.count().filter(here), func.count().filter(Person.disabled_at > since)).select_from(Person).where(theirs)
    ).one()
    appointed, ended = session.execute(
        select(func.count().filter(PersonRole.since > since), func.count().filter(PersonRole.until > since)).where(mine)
    ).one()
    held = select(func.count(PersonRole.id)).join(Person, Person.id == PersonRole.person).where(mine, valid(now), theirs, here)
    return Standing(
        quarter=quarter(now), ends_at=ends_at(now), people=people, roles=_count(session, held),
        accounts=_count(session, select(func.count(Account.id)).where(inside(session, Account.unit, unit), Account.disabled.is_(False))),
        appointed=appointed, ended=ended, left=left, since=since or None, sha256=_hash(_rows(session, unit, now)) if to_sign else "",
        signed=last if last is not None and last.quarter == quarter(now) else None,
    )  # fmt: skip


def _count(session: Session, query: Any) -> int:
    return int(session.scalar(query) or 0)


def _rows(session: Session, unit: str, now: int) -> list[tuple[str, str, str, list[str]]]:
    """(code, name, unit, roles) of everybody who is in the books, by code."""
    held: dict[int, list[str]] = {}
    query = select(PersonRole.person, PersonRole.unit, PersonRole.role).where(inside(session, PersonRole.unit, unit), valid(now))
    for person, at, role in session.execute(query):
        held.setdefault(person, []).append(f"{at}/{role}")
    people = select(Person.id, Person.code, Person.name, Person.unit).where(inside(session, Person.unit, unit), Person.disabled_at.is_(None))
    return [(code, name, at, sorted(held.get(ident, []))) for ident, code, name, at in session.execute(people.order_by(Person.code))]


def _hash(rows: Sequence[tuple[str, str, str, list[str]]]) -> str:
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def sign(session: Session, unit: str, *, sha256: str, by: str, remark: str, now: int) -> PersonReview:
    """Sign what was read. Raises CheckError when the quarter is signed already, or the books changed since the page was shown."""
    found = standing(session, unit, now)
    if found.signed is not None:
        raise CheckError(f"{found.quarter} 已由 {found.signed.signed_by} 签署")
    if found.sha256 != sha256:
        raise CheckError("名单刚刚有变动，请重新核对后再签")
    row = PersonReview(
        unit=unit, quarter=found.quarter, people=found.people, roles=found.roles, sha256=sha256, signed_by=by, signed_at=now, remark=remark[:200]
    )
    session.add(row)
    session.flush()
    detail = {"people": found.people, "roles": found.roles, "sha256": sha256}
    audit.append(session, by, "review_sign", f"review:{unit}:{found.quarter}", detail, now, unit=unit, reason=remark)
    notices.take_down(session, _key(unit, found.quarter), now)
    return row


def remind(session: Session, now: int) -> int:
    """A notice to each unit that has a security administrator and has not signed this quarter; from two weeks before its end on a higher level."""
    this, late = quarter(now), ends_at(now) - now <= LATE_DAYS * _DAY_MS
    signed = set(session.scalars(select(PersonReview.unit).where(PersonReview.quarter == this)))
    units = session.scalars(select(Account.unit).where(Account.role == "security", Account.disabled.is_(False)).distinct()).all()
    sentence = (notice_words.REVIEW_LATE if late else notice_words.REVIEW) % {"quarter": this}
    level = "alarm" if late else "warn"
    return sum(
        notices.put_up(session, key=_key(unit, this), kind=KIND, level=level, unit=unit, subject=f"review:{unit}", sentence=sentence, now=now)
        for unit in units
        if unit not in signed
    )


def _key(unit: str, of: str) -> str:
    return f"{KIND}:{unit}:{of}"
