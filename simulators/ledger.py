"""The oracle of every fault test: what the devices said against what the store kept.

A simulated reading is a pure function of its point and its tick (`value`), so every stored value can be recomputed. The edge writes a trace line when
it has committed a sample to its spool; after the run `check` compares the trace with the store and prints LOST, DUP, WRONG, GHOST and LATE.
Messages and alarms have their own checks in ledger_events.py.
"""

import argparse
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import duckdb
import msgspec

from contract.quantities import Kind, quantity
from contract.sample import PointKey
from simulators.ledger_events import Due, Episode, check_alarms, check_messages, expected_episodes
from simulators.ledger_verdict import Verdict

__all__ = [
    "Accepted",
    "Due",
    "Episode",
    "Ledger",
    "Stored",
    "Verdict",
    "check",
    "check_alarms",
    "check_messages",
    "expected_episodes",
    "read_stored",
    "value",
    "value_at",
]

# quantity -> lowest value in tenths, number of values (prime). Narrow enough that no limit, rate or daily swing of the default rules is reached.
_CALM: Final = {"temperature": (186, 29), "humidity": (480, 79)}
_OTHER: Final = (0, 97)


@lru_cache(maxsize=1 << 16)
def _wave(point: str) -> tuple[int, int, int, int]:
    """Lowest value in tenths, number of values, start and step of a point. Raises ValueError, UnknownQuantityError."""
    known = quantity(PointKey.parse(point).quantity)
    if known.kind is Kind.STATE:
        return 0, 1, 0, 0
    low, span = _CALM.get(known.name, _OTHER)
    digest = hashlib.blake2b(point.encode(), digest_size=8).digest()
    return low, span, int.from_bytes(digest[:4], "big") % span, 1 + int.from_bytes(digest[4:], "big") % (span - 1)


def value(point: str, tick: int) -> float:
    """What the device at `point` (`gateway/device/quantity[/channel]`) says at a tick: tenths of the unit; a state is always 0 (at rest).

    The values of a point walk through all of a prime number of tenths before one returns, so neighbouring ticks differ, and start and step come from
    the point's name. Raises ValueError for a point that is no key, UnknownQuantityError for an unknown quantity.
    """
    low, span, start, step = _wave(point)
    return (low + (start + step * tick) % span) / 10


def value_at(point: str, taken_at: int) -> float:
    """`value` with the seconds of `taken_at` (UTC ms) as tick: what the fleet sends with --values ledger."""
    return value(point, taken_at // 1000)


class Accepted(msgspec.Struct, frozen=True):
    """A line of the trace: one sample that the edge's spool has. `value` None is a BAD sample; `seq` is its place in the spool."""

    point: str
    taken_at: int
    value: float | None
    quality: str = "good"
    seq: int = 0


class Stored(NamedTuple):
    """A row of the store; `received_at` (UTC ms) only where lateness is checked."""

    point: str
    taken_at: int
    value: float | None
    received_at: int | None = None


class Ledger:
    """Accepted samples of one or more edges: by point and time, in the order in which they were accepted.

    `torn` counts lines that a kill cut in two, `repeats` samples that were accepted twice under one key (the first stands).
    """

    def __init__(self, samples: Iterable[Accepted] = ()) -> None:
        self.samples: dict[tuple[str, int], Accepted] = {}
        self.torn = 0
        self.repeats = 0
        self.extend(samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Accepted]:
        return iter(self.samples.values())

    def extend(self, samples: Iterable[Accepted]) -> None:
        """Add accepted samples."""
        for sample in samples:
            if self.samples.setdefault((sample.point, sample.taken_at), sample) is not sample:
                self.repeats += 1

    def read(self, path: Path) -> None:
        """Add a trace file. Raises OSError."""
        with path.open("rb") as file:
            self.read_lines(file)

    def read_lines(self, lines: Iterable[bytes]) -> None:
        """Add trace lines. A kill may cut the last line of a run anywhere; the next run may have appended to the stump, and its line is saved."""
        for line in lines:
            self._line(line)

    def _line(self, line: bytes) -> None:
        try:
            self.extend([_decode(line)])
        except msgspec.DecodeError:
            self.torn += 1
            stump, mark, rest = line.rpartition(b'{"')
            if stump and mark:
                self._line(mark + rest)


_decode = msgspec.json.Decoder(Accepted).decode


def check(
    accepted: Iterable[Accepted],
    stored: Iterable[Sequence[object]],
    *,
    expected_value: Callable[[str, int], float | None] | None = None,
    damaged: Callable[[Accepted], bool] | None = None,
    untraced: Sequence[tuple[int, int]] = (),
    late_after_ms: int | None = None,
) -> Verdict:
    """Compare what was accepted with the rows of a store: (point key, taken_at, value[, received_at]).

    `expected_value(point, taken_at)` recomputes the truth; both sides are compared with it. `damaged` names samples that the system itself declared
    lost (a gap): noted, not LOST. `untraced` are spans of `taken_at` around a kill, in which the spool may hold samples without a trace line: noted,
    not GHOST. `late_after_ms` is the longest allowed time from taken_at to received_at.
    """
    ledger = accepted if isinstance(accepted, Ledger) else Ledger(accepted)
    verdict = Verdict("samples", checked=len(ledger))
    seen: set[tuple[str, int]] = set()
    for row in (Stored(*item) for item in stored):  # type: ignore[arg-type]
        key = (row.point, row.taken_at)
        if key in seen:
            verdict.add("dup", _name(*key))
            continue
        seen.add(key)
        _check_row(verdict, ledger, row, expected_value, untraced)
        if late_after_ms is not None and row.received_at is not None and row.received_at - row.taken_at > late_after_ms:
            verdict.add("late", f"{_name(*key)} +{row.received_at - row.taken_at} ms")
    for sample in ledger:
        _check_sample(verdict, sample, seen, expected_value, damaged)
    if ledger.torn:
        verdict.note("torn", ledger.torn)
    return verdict


def _check_row(
    verdict: Verdict,
    ledger: Ledger,
    row: Stored,
    expected_value: Callable[[str, int], float | None] | None,
    untraced: Sequence[tuple[int, int]],
) -> None:
    sample = ledger.samples.get((row.point, row.taken_at))
    if sample is None and not any(first <= row.taken_at <= last for first, last in untraced):
        verdict.add("ghost", _name(row.point, row.taken_at))
        return
    if sample is None:
        verdict.note("untraced")
        truth = row.value if expected_value is None else expected_value(row.point, row.taken_at)
    else:
        truth = sample.value
    if not _same(row.value, truth):
        verdict.add("wrong", f"{_name(row.point, row.taken_at)} {row.value} instead of {truth}")


def _check_sample(
    verdict: Verdict,
    sample: Accepted,
    seen: set[tuple[str, int]],
    expected_value: Callable[[str, int], float | None] | None,
    damaged: Callable[[Accepted], bool] | None,
) -> None:
    if (sample.point, sample.taken_at) not in seen:
        if damaged is not None and damaged(sample):
            verdict.note("damaged")
        else:
            verdict.add("lost", _name(sample.point, sample.taken_at))
    if expected_value is not None and sample.value is not None:
        truth = expected_value(sample.point, sample.taken_at)
        if not _same(sample.value, truth):
            verdict.add("wrong", f"{_name(sample.point, sample.taken_at)} accepted {sample.value} instead of {truth}")


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=0, abs_tol=1e-6)


def _name(point: str, taken_at: int) -> str:
    return f"{point}@{taken_at}"


def read_stored(path: Path) -> Iterator[Stored]:
    """Rows of a Parquet file with point_key, time (int64 UTC ms, or a timestamp), value and perhaps received_at. Raises duckdb.Error."""
    with duckdb.connect() as connection:
        columns = {name: kind for name, kind, *_ in connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()}
        time = "time" if columns.get("time") == "BIGINT" else "epoch_ms(time)"
        received = "received_at" if "received_at" in columns else "NULL"
        # only the two words chosen above enter the text
        connection.execute(f"SELECT point_key, {time}, value, {received} FROM read_parquet(?)", [str(path)])  # noqa: S608
        while rows := connection.fetchmany(10_000):
            yield from (Stored(*row) for row in rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `archivewatch-sim ledger`."""
    parser.add_argument("--accepted", type=Path, nargs="+", required=True, metavar="FILE", help="trace files of the edges")
    parser.add_argument("--stored", type=Path, required=True, metavar="FILE.parquet", help="point_key, time, value[, received_at]")
    parser.add_argument("--recompute", action="store_true", help="values must be those of the ledger function (fleet --values ledger)")
    parser.add_argument("--late-after", type=float, metavar="S", help="longest allowed time from taken_at to received_at")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def main(args: argparse.Namespace) -> int:
    """Check the files and print the verdict: 1 when it is not ok, 3 when a file is missing, 4 when one is unreadable."""
    ledger = Ledger()
    late = None if args.late_after is None else round(args.late_after * 1000)
    try:
        for path in args.accepted:
            ledger.read(path)
        verdict = check(ledger, read_stored(args.stored), expected_value=value_at if args.recompute else None, late_after_ms=late)
    except (OSError, duckdb.IOException) as error:
        print(json.dumps({"ok": False, "error": str(error)}))
        return 3
    except (duckdb.Error, ValueError) as error:
        print(json.dumps({"ok": False, "error": str(error)}))
        return 4
    print(json.dumps(verdict.report(), ensure_ascii=False) if args.json else verdict.table())
    return verdict.exit_code
