"""The synthetic past: regular, plausible, with holes and bad readings, the same for one seed."""

import argparse
import json
from pathlib import Path

import duckdb
import pytest

from contract.quantities import QUANTITIES
from simulators import history
from simulators.province import Province, small, write
from simulators.weather import DAY, HOUR

UNTIL = 1_780_000_000_000


def _part(province: Province, rooms: int) -> Province:
    """The first rooms of the demo with their points, and the weather."""
    kept = province.rooms[:rooms]
    codes = {room.code for room in kept}
    return Province(province.units, province.people, kept, tuple(p for p in province.points if p.room in codes or p.feed == "weather"))


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> tuple[Province, Path, int]:
    province = _part(small(1), 6)
    path = tmp_path_factory.mktemp("past") / "history.parquet"
    return province, path, history.write(province, path, history.instants(UNTIL, 30, 600), 1)


def _ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(sql.replace("PAST", f"read_parquet('{path}')")).fetchall()


def test_columns_and_points(past: tuple[Province, Path, int]) -> None:
    province, path, rows = past
    assert _ask(path, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM PAST)") == [
        ("point_key", "VARCHAR"),
        ("time", "BIGINT"),
        ("value", "DOUBLE"),
        ("quality", "VARCHAR"),
    ]
    assert _ask(path, "SELECT count(*) FROM PAST") == [(rows,)]
    assert {key for (key,) in _ask(path, "SELECT DISTINCT point_key FROM PAST")} == {str(p.key) for p in province.points}
    assert _ask(path, "SELECT count(*) FROM (SELECT DISTINCT point_key, time FROM PAST)") == [(rows,)]
    assert _ask(path, "SELECT count(*) FROM PAST WHERE time % 600000 <> 0") == [(0,)]
    ((first, last),) = _ask(path, "SELECT min(time), max(time) FROM PAST")
    assert (first, last) == (UNTIL // 600_000 * 600_000 - 30 * DAY + 600_000, UNTIL // 600_000 * 600_000)


def test_values_are_plausible_and_bad_ones_have_none(past: tuple[Province, Path, int]) -> None:
    _, path, rows = past
    for name, low, high in _ask(path, "SELECT split_part(point_key, '/', 3) AS q, min(value), max(value) FROM PAST GROUP BY q"):
        assert QUANTITIES[str(name)].low <= float(str(low)) <= float(str(high)) <= QUANTITIES[str(name)].high
    assert _ask(path, "SELECT count(*) FROM PAST WHERE (quality = 'bad') <> (value IS NULL)") == [(0,)]
    share = dict(_ask(path, "SELECT quality, count(*) FROM PAST GROUP BY quality"))
    assert set(share) == {"good", "uncertain", "bad"}
    assert int(str(share["good"])) > 0.98 * rows


def test_some_gateways_have_gaps_that_hit_all_their_points(past: tuple[Province, Path, int]) -> None:
    province, path, rows = past
    missing = len(province.points) * 30 * 144 - rows
    assert 0 < missing < 0.1 * rows
    counts = _ask(
        path, "SELECT split_part(point_key, '/', 1) AS g, min(n), max(n) FROM (SELECT point_key, count(*) AS n FROM PAST GROUP BY 1) GROUP BY g"
    )
    assert all(low == high for _, low, high in counts)
    assert len({low for _, low, _ in counts}) > 1
    longest = _ask(path, "SELECT max(d) FROM (SELECT time - lag(time) OVER (PARTITION BY point_key ORDER BY time) AS d FROM PAST)")
    assert 600_000 < int(str(longest[0][0])) <= 12 * HOUR


def test_seed_decides_everything(tmp_path: Path) -> None:
    province = _part(small(1), 2)
    times = history.instants(UNTIL, 2, 600)
    files = [tmp_path / name for name in ("a", "b", "c")]
    for path, seed in zip(files, (1, 1, 2), strict=True):
        history.write(province, path, times, seed)
    one, two, three = (_ask(path, "SELECT * FROM PAST ORDER BY ALL") for path in files)
    assert one == two
    assert one != three


def _main(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    parser = argparse.ArgumentParser()
    history.add_arguments(parser)
    code = history.main(parser.parse_args(words))
    return code, json.loads(capsys.readouterr().out)


def test_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write(_part(small(1), 1), tmp_path / "province")
    words = ("-o", str(tmp_path / "out"), "--days", "1", "--until", "2026-03-01T00:00:00", "--province", str(tmp_path / "province"))
    code, told = _main(capsys, *words)
    assert (code, told["points"]) == (0, 10)
    path = tmp_path / "out" / "history.parquet"
    assert _ask(path, "SELECT max(time) FROM PAST") == [(1_772_294_400_000,)]  # midnight in China
    assert _main(capsys, "-o", str(tmp_path), "--step", "0")[0] == 2
    assert _main(capsys, "-o", str(tmp_path), "--province", str(tmp_path / "none"))[0] == 3


def test_instants_end_at_or_before_until() -> None:
    assert list(history.instants(25_000, 1, 43_200)) == [-43_200_000, 0]
    with pytest.raises(ValueError, match="no step"):
        history.instants(0, 0.001, 600)
