"""Child process of the crash tests: writes and compacts a store until it is killed, or kills itself before the n-th change of a file name or sync.

Usage: crash_worker.py FOLDER START SEED [DIE_AT]. Prints each batch number after the store has said that it is durable.
"""

import os
import random
import signal
import sys
from pathlib import Path

from server.series import Limits, Row
from server.series.compaction import Policy
from server.series.embedded import EmbeddedStore
from server.series.partition import DAY_MS, day_start

DAY = day_start(20_000)
POLICY = Policy(grace_ms=0, seal_rows=400, together=150, month_delay_ms=0)
POINTS = (1, 2, 17, 33)
BATCHES_A_DAY = 8
LIMITS = {point: Limits(900_000, 20, 80) for point in POINTS}


def batch(number):
    """Four points, twelve instants; every third batch brings late samples of the day before, which are nobody else's."""
    late = DAY_MS if number % 3 == 0 else 0
    start = DAY + number * DAY_MS // BATCHES_A_DAY - late
    offset = 500 if late else 0
    instants = [start + index * 600_000 + offset for index in range(12)]
    return [Row(point, taken, value(point, taken), 2, taken) for taken in instants for point in POINTS]


def value(point, taken):
    return round(10 + point + (taken // 1000) % 977 / 10, 1)


def dying_at(count):
    """Before the count-th rename, unlink or fsync of this process, kill it as `kill -9` does."""
    left = [count]

    def wrapped(original):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        return call

    os.rename, os.unlink, os.fsync = wrapped(os.rename), wrapped(os.unlink), wrapped(os.fsync)
    return left


def main(folder, start, seed, die_at=0):
    chance = random.Random(seed)
    counter = dying_at(die_at) if die_at else [0]
    store = EmbeddedStore(Path(folder), policy=POLICY)
    store.set_limits(LIMITS)
    for number in range(start, start + 40):
        rows = batch(number)
        store.write(rows, mark=number)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        if die_at or chance.random() < 0.3:
            store.compact(rows[0].taken_at + (2 * DAY_MS if number % 3 == 0 else 0))
    store.close()
    sys.stdout.write(f"steps {-counter[0]}\n")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
