"""The oracle itself: every kind of fault must be seen, and a clean run must not be accused."""

import argparse
import itertools
import json
from collections.abc import Iterable
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.quantities import QUANTITIES, UnknownQuantityError
from simulators import ledger as command
from simulators.ledger import Accepted, Ledger, Stored, Verdict, check, read_stored, value, value_at
from simulators.ledger_verdict import KINDS, worst

T = "GW-1/th1/temperature"
H = "GW-1/th1/humidity"
RUN = [Accepted(point, t, value_at(point, t), "good", seq) for seq, (t, point) in enumerate(itertools.product(range(0, 60_000, 5000), (T, H)), 1)]
ROWS = [(s.point, s.taken_at, s.value) for s in RUN]


def _faults(verdict: Verdict) -> dict[str, int]:
    return {kind: getattr(verdict, kind) for kind in KINDS if getattr(verdict, kind)}


@pytest.mark.parametrize("quantity", ["temperature", "humidity", "co2"])
@given(start=st.integers(0, 2_000_000_000), step=st.integers(1, 28))
def test_values_are_plausible_tenths_and_neighbours_differ(quantity: str, start: int, step: int) -> None:
    point = f"GW-1/th1/{quantity}"
    found = value(point, start)
    assert QUANTITIES[quantity].low <= found <= QUANTITIES[quantity].high
    assert found == round(found * 10) / 10
    assert found == value(point, start)
    assert found != value(point, start + step)


def test_values_tell_points_apart_and_stay_calm() -> None:
    points = [f"GW-{n}/th1/temperature" for n in range(300)]
    walks = {tuple(value(p, t) for t in range(4)) for p in points}
    assert len(walks) > 150  # of 29 * 28 possible walks
    assert all(18.6 <= value(p, t) <= 21.4 for p in points[:20] for t in range(60))
    assert all(48.0 <= value(H, t) <= 55.8 for t in range(100))
    assert value("GW-1/smoke1/smoke", 7) == 0.0
    with pytest.raises(UnknownQuantityError):
        value("GW-1/th1/mood", 0)
    with pytest.raises(ValueError, match="metric"):
        value("GW-1", 0)


def test_clean_run_is_ok() -> None:
    verdict = check(RUN, reversed(ROWS), expected_value=value_at)
    assert (verdict.ok, verdict.exit_code, verdict.checked, _faults(verdict)) == (True, 0, len(RUN), {})


def test_empty_ledger_proves_nothing() -> None:
    assert not check([], []).ok
    assert worst([]) == 1


def test_lost_row() -> None:
    verdict = check(RUN, ROWS[1:])
    assert _faults(verdict) == {"lost": 1}
    assert verdict.exit_code == 1
    assert f"{T}@0" in verdict.table()


def test_doubled_row() -> None:
    assert _faults(check(RUN, [*ROWS, ROWS[3], ROWS[3]])) == {"dup": 2}


def test_wrong_value_in_the_store() -> None:
    rows = [(H, 0, 12.3) if (p, t) == (H, 0) else (p, t, v) for p, t, v in ROWS]
    assert _faults(check(RUN, rows)) == {"wrong": 1}


def test_missing_value_is_not_a_number() -> None:
    bad = [Accepted(T, 0, None, "bad")]
    assert check(bad, [(T, 0, None)]).ok
    assert _faults(check(bad, [(T, 0, 0.0)])) == {"wrong": 1}
    assert _faults(check([Accepted(T, 0, 20.0)], [(T, 0, None)])) == {"wrong": 1}


def test_value_of_another_register_is_seen_although_edge_and_store_agree() -> None:
    mixed = [Accepted(T, 0, value_at(H, 0)), *RUN[1:]]
    rows = [(s.point, s.taken_at, s.value) for s in mixed]
    assert check(mixed, rows).ok
    assert _faults(check(mixed, rows, expected_value=value_at)) == {"wrong": 1}


def test_ghost_row_and_the_span_of_a_kill() -> None:
    ghost = (T, 61_000, value_at(T, 61_000))
    assert _faults(check(RUN, [*ROWS, ghost])) == {"ghost": 1}
    noted = check(RUN, [*ROWS, ghost], untraced=[(60_000, 62_000)], expected_value=value_at)
    assert (noted.ok, noted.notes) == (True, {"untraced": 1})
    assert _faults(check(RUN, [*ROWS, (T, 61_000, 3.0)], untraced=[(60_000, 62_000)], expected_value=value_at)) == {"wrong": 1}


def test_late_row() -> None:
    rows = [Stored(p, t, v, t + (9000 if t == 5000 else 100)) for p, t, v in ROWS]
    verdict = check(RUN, rows, late_after_ms=1000)
    assert _faults(verdict) == {"late": 2}
    assert "+9000 ms" in verdict.table()


def test_declared_damage_is_noted_not_lost() -> None:
    verdict = check(RUN, ROWS[2:], damaged=lambda sample: sample.seq <= 2)
    assert (verdict.ok, verdict.notes) == (True, {"damaged": 2})
    assert _faults(check(RUN, ROWS[3:], damaged=lambda sample: sample.seq <= 2)) == {"lost": 1}


def _trace(samples: Iterable[Accepted]) -> bytes:
    fields = ("point", "taken_at", "value", "quality", "seq")
    return b"".join(json.dumps({name: getattr(s, name) for name in fields}).encode() + b"\n" for s in samples)


def test_trace_whose_last_line_was_torn_and_continued(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_bytes(_trace(RUN[:4])[:-20] + _trace(RUN[4:8]))
    second.write_bytes(_trace(RUN[8:])[:-3])
    ledger = Ledger()
    ledger.read(first)
    ledger.read(second)
    assert ledger.torn == 2
    assert [s.seq for s in ledger] == [s.seq for s in RUN if s.seq not in (4, len(RUN))]
    ledger.extend(RUN[:2])
    assert (len(ledger), ledger.repeats) == (len(RUN) - 2, 2)


def _parquet(path: Path, rows: Iterable[tuple[str, int, float | None]], time: str = "t") -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE r (p VARCHAR, t BIGINT, v DOUBLE)")
        connection.executemany("INSERT INTO r VALUES (?, ?, ?)", list(rows))
        connection.execute(f"COPY (SELECT p AS point_key, {time} AS time, v AS value FROM r) TO '{path}' (FORMAT parquet)")


@pytest.mark.parametrize("time", ["t", "epoch_ms(t)"])
def test_stored_file_with_either_kind_of_time(tmp_path: Path, time: str) -> None:
    _parquet(tmp_path / "s.parquet", ROWS, time)
    assert sorted(read_stored(tmp_path / "s.parquet")) == sorted(Stored(*row) for row in ROWS)


def _main(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.main(parser.parse_args(words))


def test_command_prints_and_exits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace, good, bad = tmp_path / "trace.jsonl", tmp_path / "good.parquet", tmp_path / "bad.parquet"
    trace.write_bytes(_trace(RUN))
    _parquet(good, ROWS)
    _parquet(bad, [*ROWS[2:], ROWS[5]])
    assert _main("--accepted", str(trace), "--stored", str(good), "--recompute") == 0
    assert "samples: 24 checked, ok" in capsys.readouterr().out
    assert _main("--accepted", str(trace), "--stored", str(bad), "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["lost"], report["dup"], report["ok"]) == (2, 1, False)
    assert _main("--accepted", str(trace), "--stored", str(tmp_path / "none.parquet")) == 3
    assert _main("--accepted", str(trace), "--stored", str(trace)) == 4
