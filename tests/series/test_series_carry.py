"""From one back end to another and back, on real servers."""

import json

import pytest

from server.cli import main
from server.history import carry
from server.series import Row
from server.series.embedded import EmbeddedStore
from server.series.influx import InfluxStore
from server.series.partition import day_label, day_of
from server.store.session import Database
from server.store.tables import Point
from tests.fresh import fresh

T0 = 1_790_000_000_000
HOUR = 3_600_000


@pytest.fixture
def db(tmp_path):
    made = Database(fresh(tmp_path / "aw.db"))
    with made.write() as session:
        session.add_all(Point(id=n, gateway="GW", device=f"d{n}", quantity="temperature", created_at=0) for n in range(1, 131))
    yield made
    made.close()


def test_all_samples_move_there_and_back(db, embedded, influx_database, tmp_path):
    rows = [Row(point, T0 + hour * HOUR, 20 + hour / 10, 2, T0 + hour * HOUR + 900) for hour in range(0, 72, 6) for point in (1, 17, 130)]
    rows += [Row(1, T0 + 5, None, 0, T0 + 1000, "crc"), Row(130, T0 + 7, 0.1 + 0.2, 1, T0 + 1000, '"卡" 死')]
    embedded.write(rows, mark=42)
    url, bucket = influx_database
    middle, back = InfluxStore(url, bucket=bucket), EmbeddedStore(tmp_path / "back")
    told = []
    moved = carry.migrate(db, embedded, middle, lambda done, of: told.append((done, of)))
    assert (moved.samples, moved.differing) == (len(rows), [])
    assert told == [(day, 4) for day in range(1, 5)]
    assert carry.migrate(db, middle, back).differing == []
    assert carry.migrate(db, middle, back).new == 0, "again changes nothing"
    assert back.raw([1, 17, 130], 0, T0 * 2) == embedded.raw([1, 17, 130], 0, T0 * 2)
    assert (middle.mark(), back.mark()) == (42, 42)
    middle.close()
    back.close()


def test_a_day_that_did_not_arrive_is_named(db, embedded, tmp_path):
    embedded.write([Row(1, T0, 20.0, 2, T0)])
    other = EmbeddedStore(tmp_path / "other")
    other.write([Row(1, T0, 21.0, 2, T0)])
    assert carry.migrate(db, embedded, other).differing == [day_label(day_of(T0))]
    other.close()


def test_a_person_moves_all_history_by_command_and_back(db, embedded, influx_database, tmp_path, capsys):
    rows = [Row(point, T0 + hour * HOUR, 20 + hour / 10, 2, T0 + hour * HOUR + 900) for hour in range(0, 72, 6) for point in (1, 17)]
    url, bucket = influx_database
    data, config = tmp_path / "data", tmp_path / "server.yaml"
    (data / "series").parent.mkdir()
    db.close()
    (tmp_path / "aw.db").rename(data / "archivewatch.db")
    first = EmbeddedStore(data / "series")
    first.write(rows, mark=7)
    first.close()

    def command(to, *more):
        code = main(["history", "migrate", "--to", to, *more, "--json", "--config", str(config)])
        said = capsys.readouterr()
        return code, json.loads(said.out), said.err

    config.write_text(f"data_dir: {data}\n")
    code, moved, said = command("influx", "--url", url, "--bucket", bucket)
    assert (code, moved) == (0, {"samples": 24, "new": 24, "differing": []})
    assert "4 / 4 天" in said
    (data / "series").rename(data / "series-before")
    config.write_text(f"data_dir: {data}\nseries: {{kind: influx, url: '{url}', bucket: '{bucket}'}}\n")
    assert command("embedded")[:2] == (0, {"samples": 24, "new": 24, "differing": []})
    assert command("embedded")[1]["new"] == 0, "again changes nothing"
    back = EmbeddedStore(data / "series")
    assert (back.raw([1, 17], 0, T0 * 2), back.mark()) == (sorted(rows), 7)
    back.close()
