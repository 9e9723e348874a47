"""The journal: every accepted batch as one compressed columnar row, kept until all its readers have passed and for a day.

The body is zlib (level 1, it carries its own checksum) around MessagePack columns; instants are stored as distances from the smallest one, so that a
batch of 500 samples takes about 2 kB. Only these two stores make an acknowledgement true: the spool of the edge and this table.
"""

import logging
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, func, insert, or_, select, text, update
from sqlalchemy.orm import Session

from contract.sample import Quality
from server.store.tables import Journal, JournalCursor, Point

log = logging.getLogger("server.journal")
KEEP_MS = 24 * 3_600_000
QUALITIES = (Quality.BAD, Quality.UNCERTAIN, Quality.GOOD, Quality.STALE)
QUALITY_CODE: Mapping[Quality, int] = {quality: code for code, quality in enumerate(QUALITIES)}
_GOOD = bytes([QUALITY_CODE[Quality.GOOD]])
_FORMAT = 1
_ORDER_LOCK = 0x41575F4A  # "AW_J", any constant that no other advisory lock of the application uses


class JournalRow(msgspec.Struct, frozen=True, gc=False):
    """One sample as the journal keeps it: instants in UTC ms, `quality` 0 bad, 1 uncertain, 2 good, 3 stale; `value` None only when bad."""

    point_id: int
    taken_at: int
    value: float | None
    quality: int
    historical: bool
    received_at: int
    reason: str = ""


class Gathered:
    """What becomes one entry, gathered column by column in the order in which it is to be read."""

    def __init__(self, rows: Iterable[JournalRow] = ()) -> None:
        self.point_ids: list[int] = []
        self.taken_at: list[int] = []
        self.values: list[float | None] = []
        self.qualities = bytearray()
        self.historical = bytearray()
        self.received_at: list[int] = []
        self.words = {"": 0}
        self.reasons: list[int] = []
        for row in rows:
            self.add(*msgspec.structs.astuple(row))

    def __len__(self) -> int:
        return len(self.point_ids)

    def add(self, point_id: int, taken_at: int, value: float | None, quality: int, historical: bool, received_at: int, reason: str = "") -> None:
        """One row. Raises ValueError when the quality code is outside 0 … 255."""
        self.qualities.append(quality)
        self.point_ids.append(point_id)
        self.taken_at.append(taken_at)
        self.values.append(value)
        self.historical.append(historical)
        self.received_at.append(received_at)
        self.reasons.append(self.words.setdefault(reason, len(self.words)))

    def good(self, point_ids: Sequence[int], taken_at: Sequence[int], values: Sequence[float | None], received_at: int) -> None:
        """Good live rows that came together."""
        number = len(point_ids)
        self.point_ids += point_ids
        self.taken_at += taken_at
        self.values += values
        self.qualities += _GOOD * number
        self.historical += bytes(number)
        self.received_at += [received_at] * number
        self.reasons += bytes(number)


class JournalDamagedError(ValueError):
    """A journal body that cannot be read back: checksum, format or column lengths are wrong."""


class Columns(msgspec.Struct, frozen=True, array_like=True):
    """The columns of one batch, all of the same length; `words[reasons[i]]` is the reason of row i, `words[0]` is always empty."""

    format: int
    point_ids: list[int]
    taken_at: list[int]
    values: list[float | None]
    qualities: bytes
    historical: bytes
    received_at: list[int]
    words: list[str]
    reasons: bytes | list[int]

    def __len__(self) -> int:
        return len(self.point_ids)

    def rows(self) -> Iterator[JournalRow]:
        """The same batch, row by row, in the order in which it was written."""
        words = self.words
        columns = zip(self.point_ids, self.taken_at, self.values, self.qualities, self.historical, self.received_at, self.reasons, strict=True)
        for point, taken, value, quality, late, received, word in columns:
            yield JournalRow(point, taken, value, quality, late == 1, received, words[word])


class Entry(NamedTuple):
    """One row of table Journal: its id, its time of acceptance (UTC ms), the number of samples and the packed body."""

    id: int
    received_at: int
    samples: int
    body: bytes

    def columns(self) -> Columns:
        """Unpack the body. Raises JournalDamagedError, so that each reader decides how to go on behind a damaged entry."""
        return decode(self.body)


_ENTRY = (Journal.id, Journal.received_at, Journal.count, Journal.body)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Columns)


def encode(rows: Gathered | Iterable[JournalRow]) -> bytes:
    """Pack rows into a body. Raises ValueError when there are none or a quality code is outside 0 … 255."""
    gathered = rows if isinstance(rows, Gathered) else Gathered(rows)
    if not gathered:
        raise ValueError("a journal row needs at least one sample")
    words, reasons = list(gathered.words), gathered.reasons
    columns = Columns(
        _FORMAT,
        gathered.point_ids,
        _distances(gathered.taken_at),
        gathered.values,
        bytes(gathered.qualities),
        bytes(gathered.historical),
        _distances(gathered.received_at),
        words,
        bytes(reasons) if len(words) <= 256 else reasons,
    )
    return zlib.compress(_encoder.encode(columns), 1)


def decode(body: bytes) -> Columns:
    """Unpack a body into columns. Raises JournalDamagedError."""
    try:
        packed = _decoder.decode(zlib.decompress(body))
    except (zlib.error, msgspec.DecodeError) as damage:
        raise JournalDamagedError(f"journal body of {len(body)} bytes cannot be read: {damage}") from damage
    if not _whole(packed):
        raise JournalDamagedError(f"journal body of {len(body)} bytes, format {packed.format}: its columns do not belong together")
    return msgspec.structs.replace(packed, taken_at=_instants(packed.taken_at), received_at=_instants(packed.received_at))


def append(session: Session, rows: Gathered | Sequence[JournalRow], now: int) -> int:
    """Write one batch within the caller's transaction; returns its journal id. `now` is its time of acceptance, UTC ms."""
    if session.get_bind().dialect.name == "postgresql":
        # Ids are drawn before the commit; without this lock a reader could see id 8, move on, and never see a later commit of id 7.
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ORDER_LOCK})
    statement = insert(Journal).values(received_at=now, count=len(rows), body=encode(rows)).returning(Journal.id)
    return session.execute(statement).scalar_one()


def read_after(session: Session, cursor: int, limit: int) -> list[Entry]:
    """Up to `limit` entries with an id above `cursor`, oldest first."""
    return [Entry(*row) for row in session.execute(select(*_ENTRY).where(Journal.id > cursor).order_by(Journal.id).limit(limit))]


def walk_back(session: Session, page: int = 64) -> Iterator[Entry]:
    """All entries from the newest backwards, read `page` at a time; stop iterating as soon as enough is known."""
    below = select(*_ENTRY).order_by(Journal.id.desc()).limit(page)
    query = below
    while found := [Entry(*row) for row in session.execute(query)]:
        yield from found
        query = below.where(Journal.id < found[-1].id)


def cursor_of(session: Session, reader: str) -> int:
    """The id that the reader has passed; 0 for one that has never read."""
    return session.scalar(select(JournalCursor.journal).where(JournalCursor.reader == reader)) or 0


def register(session: Session, reader: str) -> None:
    """Make a reader known without moving it: from now on nothing is pruned before this reader has passed it."""
    if session.get(JournalCursor, reader) is None:
        session.execute(insert(JournalCursor).values(reader=reader, journal=0))


def advance(session: Session, reader: str, journal: int) -> None:
    """Move a reader forward to `journal`; a smaller id than its present one changes nothing."""
    register(session, reader)
    session.execute(update(JournalCursor).where(JournalCursor.reader == reader, JournalCursor.journal < journal).values(journal=journal))


def rewind(session: Session, reader: str, journal: int) -> None:
    """Move a reader back to `journal` so that it reads again what follows (a restored series store); never moves it forward."""
    session.execute(update(JournalCursor).where(JournalCursor.reader == reader, JournalCursor.journal > journal).values(journal=journal))


def backlog(session: Session, reader: str) -> int:
    """Samples that the reader has not passed yet."""
    return session.scalar(select(func.coalesce(func.sum(Journal.count), 0)).where(Journal.id > cursor_of(session, reader))) or 0


def waiting_since(session: Session, reader: str) -> int | None:
    """When the oldest entry came that the reader has not passed (UTC ms); None when it has read everything."""
    return session.scalar(select(Journal.received_at).where(Journal.id > cursor_of(session, reader)).order_by(Journal.id).limit(1))


def oldest(session: Session) -> int | None:
    """The id of the oldest entry kept, None when there is none."""
    return session.scalar(select(func.min(Journal.id)))


def prune(session: Session, now: int, keep_ms: int = KEEP_MS, limit: int = 200) -> int:
    """Delete up to `limit` of the oldest entries that every reader has passed and that are older than `keep_ms`; returns how many.

    The caller repeats it, one transaction each, until it returns less than `limit`: a long one would hold up the alarms. Before an entry goes,
    `Point.last_at` is raised to the newest sample in it, so that the last sign of life of every point stays known. No reader registered, nothing
    deleted. An entry that is damaged is deleted like any other; what it said can no longer be known.
    """
    passed = session.scalar(select(func.min(JournalCursor.journal)))
    if passed is None:
        return 0
    old = select(Journal.id, Journal.body).where(Journal.id <= passed, Journal.received_at < now - keep_ms).order_by(Journal.id).limit(limit)
    found = session.execute(old).all()
    if found:
        _remember_last(session, (body for _, body in found))
        session.execute(delete(Journal).where(Journal.id.in_([id_ for id_, _ in found])))
    return len(found)


def _remember_last(session: Session, bodies: Iterable[bytes]) -> None:
    last: dict[int, int] = {}
    for body in bodies:
        try:
            columns = decode(body)
        except JournalDamagedError:
            log.warning("a damaged journal entry is deleted; the last samples it named are unknown")
            continue
        for point, taken in zip(columns.point_ids, columns.taken_at, strict=True):
            if taken > last.get(point, -1):
                last[point] = taken
    table = Point.__table__
    newer = or_(table.c.last_at.is_(None), table.c.last_at < bindparam("at"))
    statement = update(Point.__table__).where(table.c.id == bindparam("point"), newer).values(last_at=bindparam("at"))  # type: ignore[arg-type]
    if last:
        session.connection().execute(statement, [{"point": point, "at": at} for point, at in last.items()])


def _distances(instants: Sequence[int]) -> list[int]:
    base = min(instants)
    return [base, *[instant - base for instant in instants]]


def _instants(packed: list[int]) -> list[int]:
    base, *distances = packed
    return [base + distance for distance in distances]


def _whole(packed: Columns) -> bool:
    columns = (packed.values, packed.qualities, packed.historical, packed.reasons, packed.taken_at[1:], packed.received_at[1:])
    same_length = len(packed) > 0 and all(len(column) == len(packed) for column in columns)
    return packed.format == _FORMAT and same_length and max(packed.reasons) < len(packed.words)
