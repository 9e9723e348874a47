"""The audit log: append-only, each entry hashes all of its columns and the entry before it, so that a changed, removed or moved one is found.

Where somebody acts from (address, session, unit) is known at the edge of a request and needed deep inside: `acting` carries it there, and `append`
takes it up by itself. The database refuses UPDATE and DELETE on this table by triggers; entries are kept for good (the law asks for six months).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, Text, cast, func, or_, select, text
from sqlalchemy.orm import Session

from server.store.tables import AuditEntry
from server.store.units import below

GENESIS = "0" * 64
VERSION = 2
_LOCK = 0x41574155
"""Number of the advisory lock under which PostgreSQL writers append: two that read the same last entry would fork the chain."""


@dataclass(slots=True)
class Origin:
    """Where somebody acts from: network address, the public part of his session or key, and the unit of his account."""

    address: str = ""
    session: str = ""
    unit: str = ""


_origin: ContextVar[Origin] = ContextVar("audit_origin")


def origin() -> Origin:
    """Of whoever acts in this context; empty for the server itself."""
    return _origin.get(Origin())


@contextmanager
def acting(who: Origin) -> Iterator[None]:
    """What is appended inside comes from there."""
    token = _origin.set(who)
    try:
        yield
    finally:
        _origin.reset(token)


def append(
    session: Session,
    actor: str,
    action: str,
    subject: str,
    detail: dict[str, Any],
    now: int,
    *,
    unit: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> AuditEntry:
    """Add an entry inside the caller's write transaction, which must hold the write lock (BEGIN IMMEDIATE on SQLite).

    `unit` is the unit that the entry concerns, whose auditors read it; without it that of whoever acts. `now` is UTC ms.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    last = session.execute(select(AuditEntry.id, AuditEntry.chain).order_by(AuditEntry.id.desc()).limit(1)).first()
    ident, previous = (last.id + 1, last.chain) if last is not None else (1, GENESIS)
    entry = AuditEntry(**sealed(previous, ident, now, actor, action, subject, detail, unit=unit, before=before, after=after, reason=reason))
    session.add(entry)
    session.flush()
    return entry


def sealed(
    previous: str,
    ident: int,
    now: int,
    actor: str,
    action: str,
    subject: str,
    detail: dict[str, Any],
    *,
    unit: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> dict[str, Any]:
    """The columns of an entry that follows `previous`, its chain value among them."""
    where = origin()
    entry: dict[str, Any] = {
        "id": ident, "at": now, "actor": actor[:60], "action": action[:40], "subject": subject[:120], "detail": detail, "version": VERSION,
        "unit": unit or where.unit, "address": where.address[:45], "session": where.session[:16], "before": before, "after": after,
        "reason": reason[:200],
    }  # fmt: skip
    texts = {name: None if entry[name] is None else json.dumps(entry[name]) for name in _DOCUMENTS}
    return entry | {"chain": link(previous, *((entry | texts)[name] for name in COLUMNS[:-1]))}


def link(
    previous: str,
    version: int,
    ident: int,
    at: int,
    actor: str,
    action: str,
    subject: str,
    detail: str | None,
    unit: str = "",
    address: str = "",
    session: str = "",
    before: str | None = None,
    after: str | None = None,
    reason: str = "",
) -> str:
    """SHA-256 over the chain so far and every column, each with its length before it. Documents (detail, before, after) count as stored.

    Entries of version 1 had fewer columns and were hashed as JSON. Spelled out without loops: it is called for each row of a log of millions.
    """
    if version == 1:
        old = [previous, at, actor, action, subject, json.loads(str(detail))]
        return hashlib.sha256(json.dumps(old, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    body = (
        f"{previous}|{version}|{ident}|{at}|{len(actor)}:{actor}|{len(action)}:{action}|{len(subject)}:{subject}|"
        f"{'-' if detail is None else f'{len(detail)}:{detail}'}|{len(unit)}:{unit}|{len(address)}:{address}|{len(session)}:{session}|"
        f"{'-' if before is None else f'{len(before)}:{before}'}|{'-' if after is None else f'{len(after)}:{after}'}|{len(reason)}:{reason}|"
    )
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


COLUMNS = ("version", "id", "at", "actor", "action", "subject", "detail", "unit", "address", "session", "before", "after", "reason", "chain")
"""In the order in which they are hashed; the chain is the last."""
_DOCUMENTS = ("detail", "before", "after")


def stored(after: int = 0) -> Select[Any]:
    """The entries behind an id, by id, documents as the text that is stored."""
    columns = [cast(getattr(AuditEntry, name), Text) if name in _DOCUMENTS else getattr(AuditEntry, name) for name in COLUMNS]
    return select(*columns).where(AuditEntry.id > after).order_by(AuditEntry.id).execution_options(yield_per=5_000)


def _tuples(session: Session, after: int) -> Iterator[tuple[Any, ...]]:
    """Entries as the driver gives them, past SQLAlchemy's rows, which cost as much as the hashing."""
    connection = session.connection()
    postgres = connection.dialect.name == "postgresql"
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor(name="audit_walk") if postgres else driver.cursor()  # named: the server keeps the rows, they are fetched in parts
    if postgres:
        cursor.itersize = 5_000
    cursor.execute(str(stored(after).compile(session.get_bind(), compile_kwargs={"literal_binds": True})))
    try:
        yield from cursor
    finally:
        cursor.close()


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk over the chain found: entries seen, the first that does not follow (None: all do), and the last entry's id and chain."""

    rows: int
    broken: int | None
    last: int
    chain: str


def walk(session: Session, after: int = 0, chain_there: str = GENESIS, *, tell: Callable[[int], None] = lambda _: None, every: int = 1 << 62) -> Walk:
    """Check every entry against the one before it. Ids are without gaps: a removed entry is missed even where the chain was mended around it.

    `after` and `chain_there` begin behind an entry that was checked before, e.g. that of an anchor; `rows` counts from there.
    `tell` hears how many have been seen each time that `every` more have.
    """
    if after and session.scalar(select(AuditEntry.chain).where(AuditEntry.id == after)) != chain_there:
        return Walk(0, after, after - 1, chain_there)
    previous, expected, said = chain_there, after + 1, after + every
    for *values, chain in _tuples(session, after):
        if values[1] != expected or _linked(previous, values) != chain:
            return Walk(expected - 1 - after, values[1], expected - 1, previous)
        previous, expected = chain, expected + 1
        if expected > said:
            tell(said - after)
            said += every
    return Walk(expected - 1 - after, None, expected - 1, previous)


def _linked(previous: str, values: Sequence[Any]) -> str | None:
    """The chain value of a row as it is stored; None for one that was made unreadable."""
    try:
        return link(previous, *values)
    except (TypeError, ValueError):
        return None


def verify(session: Session) -> int | None:
    """The id of the first entry that does not follow from the one before, or None when all do."""
    return walk(session).broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries: `scope` a unit with all below it (None: all, also those of the server itself); instants UTC ms, from included, to excluded."""

    scope: str | None = None
    actor: str = ""
    action: str = ""
    text: str = ""
    since: int | None = None
    until: int | None = None


def page(session: Session, *, before: int | None, limit: int, wanted: Wanted | None = None) -> Sequence[AuditEntry]:
    """Entries with an id below `before`, newest first."""
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    return session.scalars(filtered(query, wanted or Wanted())).all()


def filtered(query: Select[Any], wanted: Wanted) -> Select[Any]:
    """A query narrowed to what is wanted."""
    if wanted.scope is not None:
        query = query.where(AuditEntry.unit.in_(below(wanted.scope)))
    for column, value in ((AuditEntry.actor, wanted.actor), (AuditEntry.action, wanted.action)):
        if value:
            query = query.where(column == value)
    if wanted.text:
        like = f"%{wanted.text}%"
        query = query.where(or_(AuditEntry.actor.like(like), AuditEntry.subject.like(like), AuditEntry.reason.like(like)))
    if wanted.since is not None:
        query = query.where(AuditEntry.at >= wanted.since)
    return query if wanted.until is None else query.where(AuditEntry.at < wanted.until)


def latest(session: Session, *, action: str, subject: str, actor: str | None = None) -> AuditEntry | None:
    """The newest entry about a subject, or None."""
    query = select(AuditEntry).where(AuditEntry.subject == subject, AuditEntry.action == action).order_by(AuditEntry.id.desc()).limit(1)
    return session.scalar(query if actor is None else query.where(AuditEntry.actor == actor))


def about(
    session: Session, subject: str, actions: Sequence[str], *, actor: str = "", since: int = 0, before: int | None = None, limit: int = 500
) -> Sequence[AuditEntry]:
    """Entries of these actions about a subject, newest first; `before` is an id, `since` UTC ms."""
    query = select(AuditEntry).where(AuditEntry.subject == subject, AuditEntry.action.in_(actions), AuditEntry.at >= since)
    if actor:
        query = query.where(AuditEntry.actor == actor)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    return session.scalars(query.order_by(AuditEntry.id.desc()).limit(limit)).all()


def count_since(session: Session, *, action: str, subject: str, since: int, most: int) -> int:
    """How many of the newest `most` entries of an action on a subject are not older than an instant (UTC ms)."""
    newest = select(AuditEntry.at).where(AuditEntry.subject == subject, AuditEntry.action == action).order_by(AuditEntry.id.desc()).limit(most)
    return sum(instant >= since for instant in session.scalars(newest))


def oldest(session: Session) -> int | None:
    """Instant of the first entry (UTC ms)."""
    return session.scalar(select(func.min(AuditEntry.at)))


def as_line(row: Row[Any]) -> str:
    """An entry of `stored()` as a line of an export: documents stay text, for the stand-alone check hashes what is stored."""
    return json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False)
