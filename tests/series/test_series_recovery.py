"""The embedded store after a loss: damaged or strange files, a move that fails, a backup."""

import sys
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from server.series import SeriesError, backup, compaction, partition
from server.series.compaction import Policy
from server.series.embedded import EmbeddedStore
from server.series.partition import DAY_MS, day_label

sys.path.insert(0, str(Path(__file__).parent))
from some_rows import DAY, HOUR, LATER, MIDNIGHT, everything, month_of, reading


class Filled:
    """A closed store folder with three days in files and one hot."""

    def __init__(self, folder):
        self.folder = folder
        self.points = [1, 2, 20]
        self.rows = month_of(self.points, days=4)
        store = EmbeddedStore(folder)
        store.write(self.rows, mark=5)
        store.compact(MIDNIGHT + 3 * DAY_MS + 3 * HOUR)
        assert store.stats().hot_rows == 72
        store.close()

    def parquet(self):
        return sorted(self.folder.glob("*/*.parquet"))

    def check(self, missing=0, mark=5):
        store = EmbeddedStore(self.folder)
        found = everything(store, self.points)
        assert set(found) <= set(self.rows)
        assert len(found) == len(set(found)) == len(self.rows) - missing == store.count()
        assert store.mark() == mark
        assert store.write(self.rows) == missing
        store.compact(LATER)
        assert everything(store, self.points) == sorted(self.rows)
        assert store.verify() == []
        store.close()


@pytest.fixture
def filled(tmp_path):
    return Filled(tmp_path / "series")


def test_recovery_when_the_hot_database_is_lost(filled):
    (filled.folder / "hot.duckdb").unlink()
    filled.check(missing=72, mark=None)


def test_recovery_when_a_file_is_lost(filled, caplog):
    filled.parquet()[0].unlink()
    filled.check(missing=48, mark=None)
    assert "is missing" in caplog.text


def test_recovery_when_a_file_is_cut_short(filled, caplog):
    victim = filled.parquet()[1]
    victim.write_bytes(victim.read_bytes()[:-100])
    filled.check(missing=24, mark=None)
    assert "cannot be read and is set aside" in caplog.text
    assert len([*filled.folder.glob("*/*.damaged")]) == 1


def test_recovery_from_files_that_the_list_does_not_name(filled):
    """A crash between rename and commit, and a file brought from elsewhere."""
    first, *_ = filled.parquet()
    first.with_name(first.name.replace("00000001", "00000777")).write_bytes(first.read_bytes())
    (first.parent / "2026-01-01.b00.00000900.tmp").write_bytes(b"half a file")
    with duckdb.connect() as connection:
        stranger = first.with_name(first.name.replace("00000001", "00000800"))
        connection.execute(f"COPY (SELECT * REPLACE (point + 1000 AS point) FROM '{first}') TO '{stranger}'")
    filled.rows += [row._replace(point_id=row.point_id + 1000) for row in filled.rows if row.point_id != 20 and row.taken_at < MIDNIGHT + DAY_MS]
    filled.points = [1, 2, 20, 1001, 1002]
    filled.check()
    assert not [*filled.folder.glob("*/*.tmp")]


def test_a_flipped_bit_in_a_file_is_found(filled):
    victim = filled.parquet()[1]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    store = EmbeddedStore(filled.folder)
    assert store.verify() == [f"{victim.parent.name}/{victim.name}"]
    store.close()


def test_a_damaged_file_is_a_sentence_for_those_who_ask(filled):
    victim = filled.parquet()[1]
    victim.write_bytes(bytes(victim.stat().st_size))
    store = EmbeddedStore(filled.folder)
    with pytest.raises(SeriesError, match="the series store failed"):
        everything(store, filled.points)
    assert store.write([reading(1, MIDNIGHT + 5 * DAY_MS)]) == 1, "writing goes on"
    store.close()


def test_files_that_differ_from_their_source_are_thrown_away_and_nothing_moves(filled):
    """The check before a move, given files that were made of something else."""
    store = EmbeddedStore(filled.folder)
    hot = store._hot
    with hot.reading() as snapshot:
        (step,) = compaction._day_steps(snapshot, Policy(), LATER)
        compaction._gather(snapshot, hot, step)
        snapshot.execute("UPDATE moving SET value = value + 0.1 WHERE point = 1 AND taken_at = (SELECT min(taken_at) FROM moving)")
        made = partition.write(snapshot, "moving", filled.folder, step.period, store._generations)
        with pytest.raises(SeriesError, match="do not hold what they were made of"):
            compaction._compare(snapshot, hot, step, made)
    assert not any((filled.folder / file.file).exists() for file in made)
    with hot.reading() as snapshot:
        (seq,) = snapshot.execute("SELECT seq FROM state").fetchone()
    with pytest.raises(SeriesError, match="nothing is changed"), hot.writing() as connection:
        compaction._swap(connection, step, made, seq, 71)
    assert everything(store, filled.points) == sorted(filled.rows)
    store.close()
    filled.check()


def test_a_failed_move_leaves_everything_where_it_was(filled):
    store = EmbeddedStore(filled.folder)
    label = day_label(DAY + 3)
    blocker = filled.folder / label[:7]
    files = filled.parquet()
    blocker.rename(filled.folder / "elsewhere")
    blocker.write_text("a file where a folder must be")
    with pytest.raises((OSError, SeriesError)):
        store.compact(LATER)
    blocker.unlink()
    (filled.folder / "elsewhere").rename(blocker)
    assert filled.parquet() == files
    assert everything(store, filled.points) == sorted(filled.rows)
    store.close()
    filled.check()


def test_a_backup_becomes_the_same_store(filled, tmp_path):
    store = EmbeddedStore(filled.folder)
    assert store.backup(tmp_path / "backup") == 5
    store.write([reading(1, MIDNIGHT + 5 * DAY_MS)], mark=6)
    store.compact(LATER)
    store.close()
    assert backup.load(tmp_path / "backup", tmp_path / "restored") == 5
    Filled.check(SimpleNamespace(folder=tmp_path / "restored", points=filled.points, rows=filled.rows))
    with pytest.raises(SeriesError, match="not empty"):
        backup.load(tmp_path / "backup", tmp_path / "restored")


def test_an_empty_store_has_a_backup_too(embedded, tmp_path):
    assert embedded.backup(tmp_path / "backup") is None
    assert backup.load(tmp_path / "backup", tmp_path / "restored") is None
    restored = EmbeddedStore(tmp_path / "restored")
    assert restored.count() == 0
    restored.close()


@pytest.mark.parametrize("victim", ["manifest.json", "hot.parquet", "first"])
@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_harmed_backup_is_refused(filled, tmp_path, victim, harm):
    store = EmbeddedStore(filled.folder)
    store.backup(tmp_path / "backup")
    store.close()
    path = next((tmp_path / "backup").glob("*/*.parquet")) if victim == "first" else tmp_path / "backup" / victim
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        path.unlink()
    with pytest.raises(SeriesError, match=r"not what was saved|not a backup"):
        backup.load(tmp_path / "backup", tmp_path / "restored")
