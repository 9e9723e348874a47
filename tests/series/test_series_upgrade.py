"""Stores of earlier versions: files whose integers count from 0 are read as they are, roll-ups of doubles are made anew."""

import json
import sys
from pathlib import Path

import duckdb
import pytest

from server.series import Limits, SeriesError, backup
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


def test_a_backup_of_format_2_is_restored_and_its_roll_ups_are_made_anew(folder, tmp_path):
    store = EmbeddedStore(folder)
    expected = store.figures(LIMITS, MIDNIGHT, MIDNIGHT + 72 * HOUR, HOUR).rows()
    store.backup(tmp_path / "b")
    store.close()
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["rollups"]
    for name, *_ in manifest["rollups"]:
        (tmp_path / "b" / name).write_bytes(b"doubles, which nobody reads any more")
    (tmp_path / "b" / "judged_earlier.parquet").unlink()
    del manifest["tables"]["judged_earlier"]
    old = manifest | {"format": 2, "files": [entry[:8] for entry in manifest["files"]]}  # which files are plain was not known yet
    (tmp_path / "b" / "manifest.json").write_text(json.dumps(old))
    backup.load(tmp_path / "b", tmp_path / "restored")
    store = EmbeddedStore(tmp_path / "restored")
    assert everything(store, POINTS) == sorted(month_of(POINTS, days=3))
    assert (store.rollup_files(), store.set_limits(LIMITS)) == ([], 0)
    store.compact(LATER)
    assert store.rollup_files() != []
    assert store.figures(LIMITS, MIDNIGHT, MIDNIGHT + 72 * HOUR, HOUR).rows() == expected
    store.close()
    (tmp_path / "b" / "manifest.json").write_text(json.dumps(old | {"format": 1}))
    with pytest.raises(SeriesError, match="format 1; this program reads 2 to 4"):
        backup.read(tmp_path / "b")


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
