"""Carrying samples out of the series store: whole months as Parquet with checksums, and all of them into another store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np

from server.series import SeriesStore
from server.series.batch import Batch
from server.series.hot import sync_folder
from server.series.partition import checksum, day_label, day_number, day_of, day_start, month_end, sync_file
from server.store import seals
from server.store.session import Database

SUMS = "SHA256SUMS"
_POINTS_AT_ONCE = 100
Progress = Callable[[int, int], object]


class Exported(NamedTuple):
    """A file that was written."""

    file: str
    samples: int
    sha256: str


class Moved(NamedTuple):
    """What a migration did; `days` differing in number are listed."""

    samples: int
    new: int
    differing: list[str]


def export_month(db: Database, store: SeriesStore, month: str, target: Path, progress: Progress | None = None) -> Exported:
    """Write `archivewatch-2026-10.parquet` (columns as `import history` reads them, and the room) and its line in SHA256SUMS.

    Raises ValueError for no month, FileExistsError, and what the store raises.
    """
    first, last = day_number(f"{month}-01"), day_of(month_end(month)) - 1
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"archivewatch-{month}.parquet"
    if path.exists():
        raise FileExistsError(f"{path} 已经存在")
    with db.read() as session:
        places = seals.places(session)
    rows = 0
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE sample (point_key VARCHAR, room VARCHAR, time BIGINT, value DOUBLE, quality UTINYINT, received_at BIGINT, reason VARCHAR)"
        )
        for number, day in enumerate(range(first, last + 1)):
            for keys, rooms, batch in _portions(store, places, day):
                rows += _insert(connection, keys, rooms, batch)
            if progress is not None:
                progress(number + 1, last - first + 1)
        quoted = str(path.with_suffix(".part")).replace("'", "''")
        connection.execute(f"COPY (FROM sample ORDER BY point_key, time) TO '{quoted}' (FORMAT parquet, PARQUET_VERSION V2, COMPRESSION zstd)")
    sync_file(path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)
    made = Exported(path.name, rows, checksum(path))
    with (target / SUMS).open("a", encoding="ascii") as sums:
        sums.write(f"{made.sha256}  {made.file}\n")
    sync_file(target / SUMS)
    sync_folder(target)
    return made


def migrate(db: Database, source: SeriesStore, target: SeriesStore, progress: Progress | None = None) -> Moved:
    """Copy every sample of every known point into another store, day by day; may be repeated, what is there already is left alone.

    At the end the target has the source's mark, so that the journal goes on where it stood. A day counts as differing when the target does not hold
    the very samples afterwards. Raises what the stores raise.
    """
    reach = source.extent()
    with db.read() as session:
        places = seals.places(session)
    samples = new = 0
    differing: list[str] = []
    days = range(day_of(reach[0]), day_of(reach[1]) + 1) if reach is not None else range(0)
    for number, day in enumerate(days):
        same = True
        for keys, _, batch in _portions(source, places, day):
            samples += len(batch)
            if len(batch):
                new += target.write(batch)
                same &= _print(target.samples(list(keys), day_start(day), day_start(day + 1))) == _print(batch)
        if not same:
            differing.append(day_label(day))
        if progress is not None:
            progress(number + 1, len(days))
    mark = source.mark()
    if mark is not None and reach is not None:
        last = source.last([point for keys in places.values() for point in keys])
        target.write([max(last.values(), key=lambda row: row.received_at)], mark)
    return Moved(samples, new, differing)


def _portions(store: SeriesStore, places: Mapping[str, Mapping[int, str]], day: int) -> Iterator[tuple[dict[int, str], dict[int, str], Batch]]:
    """Keys, rooms and samples of a day, some points at a time."""
    everything = sorted((point, key, place) for place, keys in places.items() for point, key in keys.items())
    for offset in range(0, len(everything), _POINTS_AT_ONCE):
        some = everything[offset : offset + _POINTS_AT_ONCE]
        batch = store.samples([point for point, _, _ in some], day_start(day), day_start(day + 1))
        yield {point: key for point, key, _ in some}, {point: place for point, _, place in some}, batch


def _insert(connection: duckdb.DuckDBPyConnection, keys: Mapping[int, str], rooms: Mapping[int, str], batch: Batch) -> int:
    if not len(batch):
        return 0
    columns = {
        "point": batch.point, "time": batch.taken_at, "value": batch.value, "quality": batch.quality, "received_at": batch.received_at,
        "word": batch.reason,
    }  # fmt: skip
    connection.register("incoming", columns)  # NaN arrives in DuckDB as NULL
    connection.register("named", {"point": np.array(list(keys), dtype=np.int64), "n": np.arange(1, len(keys) + 1)})
    connection.execute(
        "INSERT INTO sample SELECT ?[n], ?[n], time, value, quality, received_at, ?[word + 1] FROM incoming JOIN named USING (point)",
        [list(keys.values()), list(rooms.values()), list(batch.words)],
    )
    for name in ("incoming", "named"):
        connection.unregister(name)
    return len(batch)


def _print(batch: Batch) -> str:
    """What two stores must agree on. The time of arrival is not among it: one keeps it to the second, the other to the millisecond."""
    sound = np.where(np.isnan(batch.value), np.nan, batch.value)
    words = [batch.words[index] for index in batch.reason.tolist()] if len(batch.words) > 1 else []
    parts = (batch.point.tobytes(), batch.taken_at.tobytes(), sound.tobytes(), batch.quality.tobytes(), "\0".join(words).encode())
    return hashlib.sha256(b"".join(parts)).hexdigest()
