"""Stores of earlier versions: files whose integers count from 0 are read as they are, roll-ups of doubles are made anew."""

import sys
from pathlib import Path

import duckdb
import pytest

from server.series import Limits
from server.series.embedded import EmbeddedStore

sys.path.insert(0, str(Path(__file__).parent))
from some_rows import HOUR, LATER, MIDNIGHT, everything, month_of

POINTS = [1, 2, 20]
LIMITS = {point: Limits(2 * HOUR, 14, 24) for point in POINTS}


@pytest.fixture
def folder(tmp_path):
    store = EmbeddedStore(tmp_path / "series")
    store.set_limits(LIMITS)
    store.write(month_of(POINTS, days=3))
    store.compact(LATER)
    store.close()
    return tmp_path / "series"


def test_integers_that_count_from_nothing_are_read(folder):
    store = EmbeddedStore(folder)
    before, listed = everything(store, POINTS), []
    for path in folder.glob("20*/*.parquet"):
        with duckdb.connect() as connection:
            connection.execute(
                "CREATE TABLE t AS SELECT * REPLACE (scaled + value::BIGINT AS scaled, NULL::DOUBLE AS value) FROM read_parquet(?)", [str(path)]
            )
            assert connection.execute("SELECT min(scaled) > 100 FROM t").fetchall() == [(True,)]
            connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
        listed.append((path.stat().st_size, f"{path.parent.name}/{path.name}"))
    with store._hot.writing() as connection:
        connection.executemany("UPDATE partition SET bytes = ? WHERE file = ?", listed)
        assert connection.execute("SELECT count(*) FROM partition WHERE plain = 10").fetchall() == [(len(listed),)]
    store.close()
    store = EmbeddedStore(folder)
    assert everything(store, POINTS) == before == sorted(month_of(POINTS, days=3))
    assert store.samples(POINTS, MIDNIGHT, LATER).rows() == before
    store.close()


def test_roll_ups_of_doubles_are_made_anew(folder):
    store = EmbeddedStore(folder)
    expected = store.figures(LIMITS, MIDNIGHT, MIDNIGHT + 72 * HOUR, HOUR).rows()
    with store._hot.writing() as connection:
        connection.execute("UPDATE state SET format = 1")
    store.close()
    for path in (folder / "rollup").glob("*"):
        with duckdb.connect() as connection:
            connection.execute("COPY (SELECT 1 AS point, 0 AS time, 1.5 AS min) TO ? (FORMAT parquet)", [str(path)])
    store = EmbeddedStore(folder)
    assert store.rollup_files() == []
    assert store.figures(LIMITS, MIDNIGHT, MIDNIGHT + 72 * HOUR, HOUR).count.tolist() == [row[5] for row in expected]
    store.compact(LATER)
    assert store.rollup_files() != []
    assert store.figures(LIMITS, MIDNIGHT, MIDNIGHT + 72 * HOUR, HOUR).rows() == expected
    store.close()
