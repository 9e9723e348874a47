"""The judge bites: each guarantee switched off in turn is noticed, and with it on the very same fault does no harm.

Acknowledgement off: a batch is forgotten once published. fsync off: a power cut takes what was not synced. CRC off: a changed row is believed.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import time
import zlib
from pathlib import Path

import msgspec
import pytest

from simulators.ledger import Accepted

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

GATEWAY = "GW-350102-01"
SOME = 16  # samples: of several flushes, so that there is something to lose
STILL = 4  # seconds in which nothing more arrived, where something is lost on purpose: several times the resend time
SHIM = Path(__file__).with_name("powercut.c")


def settle(living, seconds=60, *, must=True):
    """Let everything accepted so far arrive, then stop the server. Returns the line counts that are to be judged."""
    counts, reached = living.lines(), living.last_sequences()
    arrived = living.drained(reached, seconds, None if must else STILL)
    assert arrived or not must, f"watermarks {living.watermarks()} behind {reached}"
    living.demo.server.stop()
    return counts


@pytest.mark.parametrize(("acknowledgement", "harmless"), [("end_to_end", True), ("none", False)])
def test_without_acknowledgement_a_server_that_hangs_and_dies_loses_samples(make_slice, wait_until, acknowledgement, harmless):
    # Acknowledged rows are kept for a day and sent again to a server that turns out not to have them; here nothing is kept.
    living = make_slice(edge={"uplink": {"acknowledgement": acknowledgement}, "spool": {"keep_acknowledged_h": 0}}, only=GATEWAY)
    living.demo.start()
    wait_until(lambda: living.lines()[GATEWAY] > SOME, 60, "samples are accepted")
    # A hung server is still connected: the edge goes on publishing, and the broker's delivery proves nothing.
    os.kill(living.demo.server.pid, signal.SIGSTOP)
    before = living.lines()[GATEWAY]
    wait_until(lambda: living.lines()[GATEWAY] > before + SOME, 60, "the spool goes on accepting")
    living.demo.server.kill()
    living.demo.server.start()
    after = living.lines()[GATEWAY]
    wait_until(lambda: living.lines()[GATEWAY] > after + 5, 60, "samples are accepted again")
    counts = settle(living, 60 if harmless else 15, must=harmless)
    _accepted, verdict = living.judge_samples(counts, [time.time_ns() // 1_000_000])
    assert (verdict.lost == 0) is harmless, verdict.table()


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: the disk that forgets cannot be built")
    library = tmp_path_factory.mktemp("shim") / "powercut.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"], check=True)
    return library


def cut_power(folder, shadow):
    """What a power cut leaves: the files as they were last synced, and nothing else."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        kept = shadow / path.name  # names are unique within the gateway's data
        path.unlink()
        if kept.is_file():
            shutil.copy(kept, path)


@pytest.mark.parametrize(("synchronous", "harmless"), [("full", True), ("off", False)])
def test_without_fsync_a_power_cut_loses_samples(make_slice, wait_until, shim, tmp_path, synchronous, harmless):
    gateway = GATEWAY
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    data = tmp_path / "slice0" / gateway / "data"
    environment = {"LD_PRELOAD": str(shim), "POWERCUT_ROOT": str(data), "POWERCUT_SHADOW": str(shadow)}
    living = make_slice(edge={"spool": {"synchronous": synchronous}}, environment=environment, only=gateway)
    living.demo.start()
    wait_until(lambda: living.lines()[gateway] > SOME, 60, "samples are accepted")
    living.demo.broker.kill()
    before = living.lines()[gateway]
    wait_until(lambda: living.lines()[gateway] > before + SOME, 60, "the spool goes on accepting")
    cut_at = time.time_ns() // 1_000_000
    living.demo.edges[gateway].kill()
    cut_power(data, shadow)
    living.demo.broker.start()
    counts = living.lines()
    living.demo.edges[gateway].launch()
    wait_until(lambda: living.lines()[gateway] > counts[gateway] + 5, 60, "samples are accepted again")
    settle(living, 30, must=False)
    _accepted, verdict = living.judge_samples(counts, [cut_at])
    lost = [name for name in verdict.examples["lost"] if name.startswith(gateway)]
    assert (verdict.lost == 0) is harmless, verdict.table()
    assert harmless or lost


def falsify(path):
    """Change one good value in each of the first normal rows, as a failing disk may, and leave everything else as it is."""
    changed = []
    with sqlite3.connect(path) as connection:
        epoch = connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0]
        rows = connection.execute("SELECT first, last, payload FROM batch ORDER BY first DESC LIMIT 4").fetchall()
        for first, last, payload in rows:
            columns = msgspec.msgpack.decode(zlib.decompress(payload, -zlib.MAX_WBITS))
            values = columns[4]
            index = next(i for i, value in enumerate(values) if value is not None)
            values[index] = 1 - values[index] if values[index] in (0, 1) else values[index] + 1.5
            deflate = zlib.compressobj(3, zlib.DEFLATED, -zlib.MAX_WBITS)
            connection.execute(
                "UPDATE batch SET payload = ? WHERE first = ?", (deflate.compress(msgspec.msgpack.encode(columns)) + deflate.flush(), first)
            )
            changed.append((int(epoch), first, last))
    return changed


@pytest.mark.parametrize(("verify", "harmless"), [(True, True), (False, False)])
def test_without_crc_a_changed_row_is_believed(make_slice, wait_until, verify, harmless):
    gateway = GATEWAY
    living = make_slice(edge={"spool": {"verify_crc": verify}}, only=gateway)
    living.demo.start()
    wait_until(lambda: living.lines()[gateway] > SOME, 60, "samples are accepted")
    living.demo.broker.kill()
    before = living.lines()[gateway]
    wait_until(lambda: living.lines()[gateway] > before + SOME, 60, "the spool goes on accepting")
    edge = living.demo.edges[gateway]
    killed_at = time.time_ns() // 1_000_000
    edge.kill()
    counts = living.lines()
    spool = living.folder / gateway / "data" / "spool" / "spool.db"
    changed = falsify(spool)
    assert changed
    edge.launch()
    living.demo.broker.start()
    wait_until(lambda: living.lines()[gateway] > counts[gateway] + 5, 60, "samples are accepted again")
    settle(living, 60)

    def damaged(sample: Accepted) -> bool:
        return sample.point.startswith(gateway) and any(first <= sample.seq <= last for _epoch, first, last in changed)

    _accepted, verdict = living.judge_samples(counts, [killed_at], damaged=damaged)
    assert (verdict.wrong == 0) is harmless, verdict.table()
    if harmless:
        assert verdict.ok, verdict.table()
        assert living.lost_sequences() == sum(last - first + 1 for _epoch, first, last in changed)
