"""Rows of the seals of history: chains per place, anchors per unit. What a seal is made of: server/series/digest.py."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.store.tables import Point, Room, Unit
from server.store.tables_series import SeriesAnchor, SeriesSeal

GENESIS = "0" * 64
CLOSED, LATE, ASSIGNED, DIFFERS = "closed", "late", "assigned", "differs"
"""Reasons of a revision: the day was over; samples came later; points were added to the place; what was sealed before is no longer there."""


class Parts(msgspec.Struct, frozen=True):
    """What locates a change: (point id, samples, short digest) of each point, and the short digests of 24 hours."""

    points: list[tuple[int, int, bytes]]
    hours: bytes


def pack(parts: Parts) -> bytes:
    """For column `points`."""
    return msgspec.msgpack.encode(parts)


def unpack(row: SeriesSeal) -> Parts:
    """Column `points` read back. Raises msgspec.DecodeError when it was damaged."""
    return msgspec.msgpack.decode(row.points, type=Parts)


def count(session: Session, first: int, last: int) -> int:
    """How many seals there are of the days [first, last], all revisions."""
    return session.scalar(select(func.count()).select_from(SeriesSeal).where(SeriesSeal.day.between(first, last))) or 0


def places(session: Session) -> dict[str, dict[int, str]]:
    """Point keys by point id of every place: a room, or a gateway for its points of no room."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for row in session.execute(select(Point.id, Point.room, Point.gateway, Point.device, Point.quantity, Point.channel)):
        found[row.room or row.gateway][row.id] = "/".join(part for part in (row.gateway, row.device, row.quantity, row.channel) if part)
    return found


def keys(session: Session, points: Iterable[int]) -> dict[int, str]:
    """Keys of points by id."""
    columns = select(Point.id, Point.gateway, Point.device, Point.quantity, Point.channel).where(Point.id.in_(list(points)))
    return {row.id: "/".join(part for part in (row.gateway, row.device, row.quantity, row.channel) if part) for row in session.execute(columns)}


def latest(session: Session, day: int, some: Sequence[str]) -> dict[str, SeriesSeal]:
    """The newest revision of a day for each place that has one."""
    rows = session.scalars(select(SeriesSeal).where(SeriesSeal.day == day, SeriesSeal.place.in_(some)).order_by(SeriesSeal.revision))
    return {row.place: row for row in rows}


def of_place(session: Session, place: str, first_day: int, last_day: int) -> Sequence[SeriesSeal]:
    """All revisions of a place's days, in order."""
    query = select(SeriesSeal).where(SeriesSeal.place == place, SeriesSeal.day.between(first_day, last_day))
    return session.scalars(query.order_by(SeriesSeal.day, SeriesSeal.revision)).all()


def of_day(session: Session, day: int) -> Sequence[SeriesSeal]:
    """All revisions of all places on a day."""
    return session.scalars(select(SeriesSeal).where(SeriesSeal.day == day).order_by(SeriesSeal.place, SeriesSeal.revision)).all()


def add(session: Session, row: SeriesSeal) -> None:
    """Put a seal at the end of its place's chain, in the caller's write transaction."""
    query = select(SeriesSeal.chain).where(SeriesSeal.place == row.place).order_by(SeriesSeal.id.desc()).limit(1)
    row.chain = link(session.scalar(query) or GENESIS, row)
    session.add(row)
    session.flush()


def link(previous: str, row: SeriesSeal) -> str:
    """The chain of a row behind another."""
    body = [previous, row.place, row.day, row.revision, row.reason, row.cut, row.samples, row.digest, row.points.hex(), row.sealed_at]
    return hashlib.sha256(json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def broken_chains(session: Session) -> Iterator[SeriesSeal]:
    """The first seal of each chain that does not follow from the one before it: it, or one before it, was changed, removed or slipped in."""
    heads: dict[str, str] = {}
    broken: set[str] = set()
    for row in session.scalars(select(SeriesSeal).order_by(SeriesSeal.id).execution_options(yield_per=1000)):
        if row.place not in broken and row.chain != link(heads.get(row.place, GENESIS), row):
            broken.add(row.place)
            yield row
        heads[row.place] = row.chain


# --- anchors ---------------------------------------------------------------------------------------------------------------------------


def anchor(session: Session, day: int) -> Sequence[SeriesAnchor]:
    """Fold the heads of all chains up the tree of units, one row per unit, in the caller's write transaction; nothing when the day has them."""
    if session.scalar(select(func.count()).select_from(SeriesAnchor).where(SeriesAnchor.day == day)):
        return []
    head = session.scalar(select(func.max(SeriesSeal.id))) or 0
    made = [
        SeriesAnchor(unit=unit, day=day, places=count, head=head, digest=digest) for unit, (count, digest) in _folded(session, head).items() if count
    ]
    session.add_all(made)
    session.flush()
    return made


def broken_anchors(session: Session) -> list[SeriesAnchor]:
    """Anchors of the newest day that the seals no longer give: seals at the end of a chain were removed, or rewritten with their whole chain."""
    newest = session.scalar(select(func.max(SeriesAnchor.day)))
    rows = session.scalars(select(SeriesAnchor).where(SeriesAnchor.day == newest).order_by(SeriesAnchor.unit)).all() if newest is not None else []
    folded = _folded(session, rows[0].head) if rows else {}
    return [row for row in rows if folded.get(row.unit, (0, ""))[1] != row.digest]


def _folded(session: Session, head: int) -> dict[str, tuple[int, str]]:
    """Per unit, from the bottom up: places below it, and a digest over the heads of its own chains and the digests of its children."""
    newest = select(func.max(SeriesSeal.id)).where(SeriesSeal.id <= head).group_by(SeriesSeal.place)
    own: dict[str, list[tuple[str, str]]] = defaultdict(list)
    owners, top = _owners(session)
    for place, chain in session.execute(select(SeriesSeal.place, SeriesSeal.chain).where(SeriesSeal.id.in_(newest)).order_by(SeriesSeal.place)):
        own[owners.get(place, top)].append((place, chain))
    children: dict[str | None, list[str]] = defaultdict(list)
    for row in session.execute(select(Unit.code, Unit.parent).order_by(Unit.code)):
        children[row.parent].append(row.code)
    folded: dict[str, tuple[int, str]] = {}

    def fold(unit: str) -> None:
        for child in children[unit]:
            fold(child)
        below = [(child, *folded[child]) for child in children[unit] if folded[child][0]]
        body = json.dumps([unit, own[unit], below], separators=(",", ":"), ensure_ascii=False)
        folded[unit] = (len(own[unit]) + sum(count for _, count, _ in below), hashlib.sha256(body.encode()).hexdigest())

    for top in children[None]:
        fold(top)
    return folded


def _owners(session: Session) -> tuple[Mapping[str, str], str]:
    """The unit of each room, whose code never changes; everything else (gateways, which may be handed on) is anchored at the top."""
    top = session.scalar(select(Unit.code).where(Unit.parent.is_(None)).order_by(Unit.code).limit(1)) or ""
    return {row.code: row.unit for row in session.execute(select(Room.code, Room.unit))}, top
