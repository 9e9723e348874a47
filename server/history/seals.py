"""Sealing of closed days, and the proof that what is stored is what was sealed.

A seal covers what had arrived by its `cut`. A sample that comes later makes a new revision, which names the reason; the revision before it stays and
stays provable, because the time of arrival tells which samples it covered. Nothing is sealed before the store has it: the cut stays half an hour
behind the newest sample that all readers of the journal have passed.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from sqlalchemy.orm import Session

from server.history.drain import READER
from server.series import SeriesStore, digest
from server.series.batch import Batch
from server.series.digest import Digest
from server.series.partition import bucket_of, day_label, day_of, day_start
from server.store import audit, journal, seals, units
from server.store.seals import Parts
from server.store.session import Database
from server.store.tables_series import SeriesSeal

log = logging.getLogger("server.history")

CLOSE_MS = 2 * 3_600_000
"""How long after its end a day is sealed for the first time."""
LAG_MS = 30 * 60_000
_POINTS_AT_ONCE = 200


class Finding(NamedTuple):
    """Something that is not as it was sealed. `point` is a point key, `hours` are those of the Shanghai day in which it differs."""

    kind: str
    place: str
    day: str
    point: str = ""
    hours: tuple[int, ...] = ()
    detail: str = ""

    def sentence(self) -> str:
        """For people."""
        when = "、".join(f"{hour:02d}:00—{hour + 1:02d}:00" for hour in self.hours)
        return " ".join(part for part in (f"{self.place} {self.day}", self.point, when, self.detail) if part)


class Sealed(NamedTuple):
    """What a run of `seal` did."""

    days: int
    seals: int
    late: int
    differing: int


def seal(db: Database, store: SeriesStore, now: int) -> Sealed:
    """Job: seal every closed day in which samples came since it was sealed last, then anchor the chains upward. Raises what the store raises."""
    with db.read() as session:
        cut = min(now, _drained(session, now)) - LAG_MS
    done = [0, 0, 0, 0]
    changed: dict[int, set[int]] = defaultdict(set)
    pending = store.changed(cut - CLOSE_MS)
    for day, bucket in pending.keys:
        changed[day].add(bucket)
    for day in sorted(changed):
        done[0] += 1
        for rows in _portions(_seal_day(db, store, day, changed[day], cut, now)):
            with db.write() as session:
                for row in rows:
                    seals.add(session, row)
                    done[1] += 1
                    done[2] += row.reason == seals.LATE
                    done[3] += row.reason == seals.DIFFERS
        store.settled([(day, bucket) for bucket in changed[day]], pending.upto)
    with db.write() as session:
        for made in seals.anchor(session, day_of(now)):
            if len(units.path(session, made.unit)) == 1:
                detail = {"day": day_label(made.day), "places": made.places, "digest": made.digest}
                audit.append(session, "system", "history.anchor", f"unit:{made.unit}", detail, now)
    return Sealed(*done)


def _portions(rows: Iterator[SeriesSeal]) -> Iterator[list[SeriesSeal]]:
    """A hundred at a time: a long transaction would hold up the alarms."""
    while some := list(islice(rows, 100)):
        yield some


def verify(
    db: Database, store: SeriesStore, first_day: int, last_day: int, *, progress: Callable[[int, int], object] | None = None
) -> Iterator[Finding]:
    """Chains and anchors of all time, and every sample of the days asked for against all revisions of its seals."""
    with db.read() as session:
        for row in seals.broken_chains(session):
            yield Finding("chain", row.place, day_label(row.day), detail=f"封存记录被改动（第 {row.revision} 版或更早）")
        for top in seals.broken_anchors(session):
            yield Finding("anchor", top.unit, day_label(top.day), detail="上级锚定与封存记录对不上")
    kept_from = store.kept_from()
    for number, day in enumerate(range(first_day, last_day + 1)):
        if day_start(day) >= kept_from:
            with db.read() as session:
                yield from _verify_day(session, store, day)
        if progress is not None:
            progress(number + 1, last_day - first_day + 1)


def _drained(session: Session, now: int) -> int:
    """Instant up to which every accepted sample is in the series store."""
    waiting = journal.read_after(session, journal.cursor_of(session, READER), 1)
    return waiting[0].received_at if waiting else now


def _seal_day(db: Database, store: SeriesStore, day: int, buckets: set[int], cut: int, now: int) -> Iterator[SeriesSeal]:
    with db.read() as session:
        everything = seals.places(session)
        concerned = {place: keys for place, keys in everything.items() if any(bucket_of(point) in buckets for point in keys)}
        before = seals.latest(session, day, list(concerned))
    names = {point: key for keys in everything.values() for point, key in keys.items()}
    for place, old in before.items():  # a point that has left the place stays in the days that were sealed with it
        concerned[place] = concerned[place] | {point: names[point] for point, _, _ in seals.unpack(old).points}
    for place, batch in _samples(store, concerned, day):
        found, latest = _digest(batch, concerned[place], day, cut), before.get(place)
        if (latest is None and not found.samples) or (latest is not None and latest.digest == found.digest):
            continue
        reason = seals.CLOSED if latest is None else _reason(batch, concerned[place], latest)
        if reason == seals.DIFFERS:
            log.error("history of %s on %s is not what was sealed; `archivewatch audit verify` names the difference", place, day_label(day))
        yield _row(place, day, 1 if latest is None else latest.revision + 1, reason, cut, found, now)


def _samples(store: SeriesStore, concerned: Mapping[str, Mapping[int, str]], day: int) -> Iterator[tuple[str, Batch]]:
    """The samples of a day, place by place, read for many places at once."""
    group: list[str] = []
    points: list[int] = []
    for place in [*concerned, ""]:
        if points and (not place or len(points) + len(concerned[place]) > _POINTS_AT_ONCE):
            whole = store.samples(points, day_start(day), day_start(day + 1))
            for each in group:
                yield each, whole.take(digest.among(whole, list(concerned[each])))
            group, points = [], []
        if place:
            group.append(place)
            points += concerned[place]


def _digest(batch: Batch, keys: Mapping[int, str], day: int, cut: int) -> Digest:
    return digest.of_day(batch.take(digest.arrival(batch) <= cut), keys, day_start(day))


def _reason(batch: Batch, keys: Mapping[int, str], old: SeriesSeal) -> str:
    """Why a new revision is needed: it extends the one before if that one can still be proved."""
    again = _digest(batch.take(digest.among(batch, [point for point, _, _ in seals.unpack(old).points])), keys, old.day, old.cut)
    if again.digest != old.digest:
        return seals.DIFFERS
    return seals.ASSIGNED if _digest(batch, keys, old.day, old.cut).samples > again.samples else seals.LATE


def _row(place: str, day: int, revision: int, reason: str, cut: int, found: Digest, now: int) -> SeriesSeal:
    parts = Parts([(point, each.samples, each.short) for point, each in sorted(found.points.items())], found.hours)
    return SeriesSeal(
        place=place, day=day, revision=revision, reason=reason, cut=cut, samples=found.samples, digest=found.digest, points=seals.pack(parts),
        sealed_at=now,
    )  # fmt: skip


def _verify_day(session: Session, store: SeriesStore, day: int) -> Iterator[Finding]:
    rows = seals.of_day(session, day)
    parts = {row.id: seals.unpack(row) for row in rows}
    wanted: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        wanted[row.place] |= {point for point, _, _ in parts[row.id].points}
    keys = seals.keys(session, {point for points in wanted.values() for point in points})
    concerned = {place: {point: keys.get(point, f"?{point}") for point in points} for place, points in wanted.items()}
    revisions: dict[str, list[SeriesSeal]] = defaultdict(list)
    for row in rows:
        revisions[row.place].append(row)
    for place, batch in _samples(store, concerned, day):
        for row in revisions[place]:
            sealed = parts[row.id]
            mine = batch.take(digest.among(batch, [point for point, _, _ in sealed.points]))
            found = _digest(mine, concerned[place], day, row.cut)
            if found.digest != row.digest:
                yield from _differences(row, sealed, found, concerned[place])
                break


def _differences(row: SeriesSeal, sealed: Parts, found: Digest, keys: Mapping[int, str]) -> Iterator[Finding]:
    """Name what differs between a seal and what is stored now."""
    hours = tuple(hour for hour in range(24) if sealed.hours[4 * hour : 4 * hour + 4] != found.hours[4 * hour : 4 * hour + 4])
    day, named = day_label(row.day), False
    for point, count, short in sealed.points:
        now = found.points.get(point)
        if now is not None and (now.samples, now.short) == (count, short):
            continue
        named = True
        stored = 0 if now is None else now.samples
        kind = "missing" if stored < count else "added" if stored > count else "changed"
        said = {"missing": f"少了 {count - stored} 条", "added": f"多了 {stored - count} 条", "changed": "数值被改动"}[kind]
        yield Finding(kind, row.place, day, keys[point], hours, f"{said}（第 {row.revision} 版封存 {count} 条）")
    if not named:
        yield Finding("changed", row.place, day, hours=hours, detail=f"与第 {row.revision} 版封存不符")
