"""`kill -9` of the process that holds the store: what was acknowledged is there, once, and nothing else."""

import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from server.series import fold
from server.series.batch import Batch
from server.series.embedded import EmbeddedStore

sys.path.insert(0, str(Path(__file__).parent))
import crash_worker

ROOT = Path(__file__).parents[2]


def samples_of(rows):
    batch, _ = Batch.of(rows).firsts()
    return fold.Samples(batch.point, batch.taken_at, batch.value, batch.quality)


def start(folder, *arguments):
    command = [sys.executable, str(Path(crash_worker.__file__)), str(folder), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


def check(folder, acknowledged):
    """Batches 0 … acknowledged are complete, the next one may be, and nothing else is there. Returns the next number to write."""
    store = EmbeddedStore(folder, policy=crash_worker.POLICY)
    found = store.raw(crash_worker.POINTS, 0, 1 << 60)
    mark = store.mark()
    assert mark is None or mark in (acknowledged, acknowledged + 1)
    reached = -1 if mark is None else mark
    assert reached >= acknowledged
    expected = sorted(row for number in range(reached + 1) for row in crash_worker.batch(number))
    assert found == expected
    assert store.count() == len(expected)
    if expected:
        start, end = crash_worker.DAY - 86_400_000, expected[-1].taken_at // 86_400_000 * 86_400_000 + 2 * 86_400_000
        by_roll_up = store.figures(crash_worker.LIMITS, start, end, 3_600_000)
        from_samples = fold.figures(samples_of(expected), start, end, 3_600_000, crash_worker.LIMITS)
        assert np.allclose(by_roll_up.mean, from_samples.mean, rtol=0, atol=5.1e-5), "to a thousandth of the resolution"
        assert replace(by_roll_up, mean=from_samples.mean).rows() == from_samples.rows()
    listed = store.stats().files + len(store.rollup_files())
    store.close()
    assert len([*Path(folder).glob("*/*")]) == listed, "no file is left over"
    return reached + 1


@pytest.mark.faults
def test_killed_at_random_moments(tmp_path):
    chance = random.Random(20_261_122)
    acknowledged, number = -1, 0
    for seed in range(7):
        process = start(tmp_path / "series", number, seed)
        for _ in range(chance.randint(1, 6)):
            acknowledged = int(process.stdout.readline())
        try:
            process.wait(chance.uniform(0, 0.08))  # how far it gets in this time is the point of the test
        except subprocess.TimeoutExpired:
            process.kill()
        for line in process.stdout:
            acknowledged = int(line) if line.strip().isdigit() else acknowledged
        process.wait()
        number = check(tmp_path / "series", acknowledged)


@pytest.mark.faults
@pytest.mark.parametrize("die_at", [1, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15, 20, 24, 28, 33, 37])
def test_killed_before_each_step_of_a_move(tmp_path, die_at):
    """1 syncs the folder at opening, 2 … 4 the new files, 5 … 7 give them their names, 8 and 9 sync the folders; the second move also deletes."""
    process = start(tmp_path / "series", 0, 1, die_at)
    output = process.communicate(timeout=60)[0].split()
    assert process.returncode == -signal.SIGKILL, output
    acknowledged = int(output[-1]) if output else -1
    check(tmp_path / "series", acknowledged)
