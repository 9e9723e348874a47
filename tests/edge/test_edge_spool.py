import contextlib
import itertools
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contract.declarations import PointDeclaration
from contract.sample import PointKey, Quality, Sample
from edge.rows import Lane
from edge.settings import SpoolSettings
from edge.spool import Spool
from edge.spoolfile import SpoolFullError, SpoolUnavailableError, SpoolVersionError

GATEWAY = "gw-1"
NOW = 1_800_000_000_000
HOUR = 3_600_000
EPOCHS = itertools.count(1 << 63)


def samples(count: int, start: int = 0) -> list[Sample]:
    """Self-describing: the value tells the number of the reading."""
    return [
        Sample(
            PointKey(GATEWAY, f"th{at % 3}", "temperature"),
            NOW + at * 1000,
            at / 8,
            Quality.GOOD if at % 5 else Quality.UNCERTAIN,
            "" if at % 5 else "suspect",
        )
        for at in range(start, start + count)
    ]


def opened(folder: Path, now: int = NOW, **options: object) -> Spool:
    """Without fsync, which is most of the time: no power is cut here (tests/faults does that), and what another process sees is the same."""
    return Spool(folder, GATEWAY, SpoolSettings.model_validate({"synchronous": "off", **options}), now, lambda: next(EPOCHS))


def held(spool: Spool, start: int | None = None) -> list[Sample]:
    """Every sample from `start` (by default: not acknowledged) on, in order, through the checks."""
    found: list[Sample] = []
    position = spool.acknowledged + 1 if start is None else start
    while heads := spool.rows.heads(position, 50):
        for head in heads:
            batch = spool.rows.read(head.first)
            assert batch is not None
            found += batch.samples
        position = heads[-1].last + 1
    return found


def gaps(spool: Spool) -> list[tuple[int, int, str]]:
    read = [spool.rows.read(head.first) for head in spool.rows.heads(1, 10_000)]
    return [(batch.first, batch.last, batch.gap) for batch in read if batch and batch.gap]


def crashed(folder: Path, to: Path) -> Path:
    """What kill -9 leaves: the files as they are, without a close."""
    shutil.copytree(folder, to)
    return to


# ------------------------------------------------------------------------------------------------------------------------------------- order


def test_sequences_are_gapless_over_both_lanes_and_survive_a_restart(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    assert spool.outbox == (spool.epoch, 1, 0)
    assert spool.append(samples(3), Lane.NORMAL) == (1, 3, Lane.NORMAL)
    assert spool.append(samples(1, 3), Lane.URGENT) == (4, 4, Lane.URGENT)
    assert spool.append(samples(2, 4), Lane.NORMAL) == (5, 6, Lane.NORMAL)
    epoch = spool.epoch
    spool.close()
    spool = opened(tmp_path)
    assert spool.outbox == (epoch, 1, 6)
    assert held(spool) == samples(6)
    assert spool.rows.urgent(1, 9) == [(4, 4, Lane.URGENT)]
    assert spool.rows.urgent(5, 9) == []
    assert spool.rows.heads(5, 1) == [(5, 6, Lane.NORMAL)]
    assert spool.rows.heads(6, 9) == [(5, 6, Lane.NORMAL)]
    assert spool.rows.heads(7, 9) == []
    spool.close()


def test_an_empty_batch_is_a_mistake(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    with pytest.raises(ValueError, match="empty"):
        spool.append([], Lane.NORMAL)
    spool.close()


def test_bad_and_event_samples_come_back_as_they_went(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    point = PointKey(GATEWAY, "di", "door", "di1")
    sent = [
        Sample(point, NOW + 7, None, Quality.BAD, "device_silent"),
        Sample(point, NOW - 5, 1, Quality.GOOD),
        Sample(PointKey(GATEWAY, "th", "humidity"), NOW, -0.0, Quality.UNCERTAIN, "超出常见范围"),
    ]
    spool.append(sent, Lane.URGENT)
    assert held(spool) == sent
    spool.close()


def test_the_data_folder_belongs_to_one_agent(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    with pytest.raises(SpoolUnavailableError, match="正被另一个"):
        opened(tmp_path)
    spool.close()
    opened(tmp_path).close()


def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append(samples(2), Lane.NORMAL)
    spool.close()
    db = sqlite3.connect(tmp_path / "spool" / "spool.db")
    db.execute("PRAGMA user_version=9")
    db.close()
    with pytest.raises(SpoolVersionError, match="格式 9"):
        opened(tmp_path)
    assert [path.name for path in tmp_path.glob("spool-damaged*")] == []


def test_points_are_remembered_without_a_promise(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.remember([PointDeclaration("th1/temperature", 4, "350128000001-01", "°C", 30.0, "measure")])
    spool.close()
    spool = opened(tmp_path)
    assert spool.remembered() == {"th1/temperature": PointDeclaration("th1/temperature", None, "350128000001-01", "°C", None, "measure")}
    spool.close()


# ---------------------------------------------------------------------------------------------------------------------------- acknowledgement


def test_acknowledged_rows_stay_for_a_day(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for at in range(10):
        spool.append(samples(2, 2 * at), Lane.NORMAL)
    spool.acknowledge(20, NOW)
    spool.append(samples(1, 20), Lane.NORMAL)
    assert spool.purge(NOW + 23 * HOUR) == 0
    assert spool.outbox.first == 1
    assert spool.purge(NOW + 25 * HOUR) == 10
    assert spool.outbox == (spool.epoch, 21, 21)
    assert held(spool) == samples(1, 20)
    spool.close()


def test_the_newest_row_stays_because_it_carries_the_sequence(tmp_path: Path) -> None:
    spool = opened(tmp_path, keep_acknowledged_h=0)
    spool.append(samples(2), Lane.NORMAL)
    spool.append(samples(2, 2), Lane.NORMAL)
    spool.acknowledge(4, NOW)
    spool.append(samples(1, 4), Lane.NORMAL)
    spool.acknowledge(5, NOW)
    spool.close()
    spool = opened(tmp_path, keep_acknowledged_h=0)
    assert spool.acknowledged == 5
    assert spool.purge(NOW + HOUR) == 2
    assert spool.append(samples(1, 5), Lane.NORMAL).first == 6
    spool.close()


def test_a_lower_watermark_makes_rows_unsent_again(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for at in range(5):
        spool.append(samples(2, 2 * at), Lane.NORMAL)
    spool.acknowledge(10, NOW)
    spool.append(samples(2, 10), Lane.NORMAL)
    spool.acknowledge(4, NOW + 1)
    assert held(spool) == samples(8, 4)
    spool.close()
    spool = opened(tmp_path)
    assert spool.acknowledged == 4
    spool.close()


def test_what_a_restored_server_misses_and_nobody_holds_is_a_gap(tmp_path: Path) -> None:
    spool = opened(tmp_path, keep_acknowledged_h=1)
    for at in range(5):
        spool.append(samples(2, 2 * at), Lane.NORMAL)
    spool.acknowledge(6, NOW)
    spool.append(samples(2, 10), Lane.NORMAL)
    spool.purge(NOW + 2 * HOUR)
    assert spool.outbox.first == 7
    spool.acknowledge(3, NOW + 2 * HOUR)
    assert gaps(spool) == [(4, 6, "missing")]
    assert held(spool) == samples(6, 6)
    spool.close()


def test_an_acknowledgement_of_the_unwritten_is_refused(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append(samples(2), Lane.NORMAL)
    with pytest.raises(ValueError, match="3"):
        spool.acknowledge(3, NOW)
    spool.renew("copied", NOW)
    while spool.salvage():
        pass
    assert held(spool) == samples(2)
    spool.close()


# ------------------------------------------------------------------------------------------------------------------------------------- quota


def test_a_full_spool_gives_up_the_oldest_readings_and_says_so(tmp_path: Path) -> None:
    spool = opened(tmp_path, quota_mb=0.5)
    noise = random.Random(1)
    written = 0
    while not spool.counters.evicted or spool.last < 20_000:
        block = [Sample(PointKey(GATEWAY, "th", "temperature"), NOW + noise.getrandbits(40), noise.random()) for _ in range(100)]
        head = spool.append(block, Lane.URGENT if written % 10 == 0 else Lane.NORMAL)
        written += 1
    told = gaps(spool)
    assert {reason for _, _, reason in told} == {"evicted"}
    assert sum(last - first + 1 for first, last, _ in told) == spool.counters.evicted
    kept = spool.rows.heads(1, 100_000)
    assert [head.last + 1 for head in kept[:-1]] == [head.first for head in kept[1:]]
    assert (kept[0].first, kept[-1].last) == (1, head.last)
    assert len([head for head in kept if head.lane is Lane.URGENT]) == (written + 9) // 10
    size = sum(path.stat().st_size for path in (tmp_path / "spool").iterdir())
    assert size < 2.2 * 1024 * 1024
    spool.close()


def test_what_the_server_has_goes_before_anything_is_given_up(tmp_path: Path) -> None:
    spool = opened(tmp_path, quota_mb=0.5)
    noise = random.Random(1)
    while spool.last < 40_000:
        head = spool.append([Sample(PointKey(GATEWAY, "th", "temperature"), NOW, noise.random()) for _ in range(100)], Lane.NORMAL)
        spool.acknowledge(head.last, NOW)
    assert spool.counters.evicted == 0
    assert gaps(spool) == []
    spool.close()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 8 MiB, with a mount of its own."""
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=8m none {folder} 2>/dev/null") != 0:
        folder.rmdir()
        pytest.skip("mounting a small file system needs root")
    yield folder
    os.system(f"umount -l {folder}")
    folder.rmdir()


def _fill(path: Path) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):  # until the disk is full
        while os.write(file, b"x" * 4096):
            pass
    os.close(file)


def _until_refused(step: Callable[[], None]) -> None:
    for _ in range(10_000):
        step()


def test_a_full_disk_keeps_what_was_accepted_and_still_takes_alarms(small_disk: Path) -> None:
    spool = opened(small_disk)
    noise = random.Random(1)
    accepted: list[Sample] = []

    def reading() -> list[Sample]:
        return [Sample(PointKey(GATEWAY, "th", "temperature"), NOW + len(accepted) + at, noise.random()) for at in range(100)]

    def store(lane: Lane) -> None:
        block = reading()
        spool.append(block, lane)
        accepted.extend(block)

    store(Lane.NORMAL)
    filler = small_disk / "filler"
    _fill(filler)
    with pytest.raises(SpoolFullError):
        _until_refused(lambda: store(Lane.NORMAL))
    for _ in range(40):
        store(Lane.URGENT)
    with pytest.raises(SpoolFullError):
        spool.append(reading(), Lane.NORMAL)
    filler.unlink()
    store(Lane.NORMAL)
    assert held(spool) == accepted
    spool.close()
    spool = opened(small_disk)
    assert held(spool) == accepted
    assert spool.counters.renewed == 0
    spool.close()


# ------------------------------------------------------------------------------------------------------------------------------------ damage


def _flip(path: Path, bits: int) -> None:
    noise = random.Random(bits)
    content = bytearray(path.read_bytes())
    for _ in range(bits):
        content[noise.randrange(4096, len(content))] ^= 1 << noise.randrange(8)
    path.write_bytes(content)


def _truncate(path: Path, size: Callable[[int], int]) -> None:
    os.truncate(path, size(path.stat().st_size))


def _overwrite(path: Path, at: int, count: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:at] + b"\x00" * count + content[at + count :])


DAMAGE: dict[str, Callable[[Path], None]] = {
    "flipped bits": lambda db: _flip(db, 20),
    "end cut off": lambda db: _truncate(db, lambda size: size - 100),
    "half the file": lambda db: _truncate(db, lambda size: size // 2),
    "zero page": lambda db: _overwrite(db, 21 * 4096, 4096),
    "zero header": lambda db: _overwrite(db, 0, 100),
    "empty file": lambda db: _truncate(db, lambda size: 0),
    "file gone": lambda db: db.unlink(),
    "folder gone": lambda db: shutil.rmtree(db.parent),
}


def _written(folder: Path) -> tuple[list[Sample], int]:
    spool = opened(folder)
    sent: list[Sample] = []
    for at in range(400):
        block = samples(10, 10 * at)
        spool.append(block, Lane.NORMAL if at % 7 else Lane.URGENT)
        sent += block
    epoch = spool.epoch
    spool.close()
    return sent, epoch


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_told_and_survived(tmp_path: Path, kind: str) -> None:
    sent, epoch = _written(tmp_path)
    DAMAGE[kind](tmp_path / "spool" / "spool.db")
    spool = opened(tmp_path, now=NOW + 1)
    more = samples(5, len(sent))
    spool.append(more, Lane.NORMAL)
    while spool.salvage():
        pass
    good = held(spool)
    assert len(set(good)) == len(good)
    assert set(good) <= set(sent) | set(more), "a value that was never written"
    assert set(more) <= set(good)
    counters = spool.counters
    told = counters.lost + sum(last - first + 1 for first, last, _ in gaps(spool))
    assert len(sent) - (len(good) - len(more)) == told, "a loss that nobody is told of"
    assert told > 0
    assert counters.renewed == (spool.epoch != epoch)
    spool.close()
    spool = opened(tmp_path, now=NOW + 2)
    assert held(spool) == good
    assert spool.counters.renewed == 0
    spool.close()


def test_most_of_a_half_destroyed_file_comes_back(tmp_path: Path) -> None:
    sent, _ = _written(tmp_path)
    DAMAGE["half the file"](tmp_path / "spool" / "spool.db")
    spool = opened(tmp_path)
    while spool.salvage():
        pass
    assert spool.counters.salvaged > len(sent) / 4
    assert spool.counters.salvaged + spool.counters.lost == len(sent)
    spool.close()


def _live_copy(folder: Path, to: Path) -> tuple[list[Sample], Path]:
    spool = opened(folder)
    sent: list[Sample] = []
    for at in range(30):
        block = samples(10, 10 * at)
        spool.append(block, Lane.NORMAL)
        sent += block
    crashed(folder, to)
    spool.close()
    return sent, to / "spool" / "spool.db-wal"


def test_a_cut_wal_is_noticed(tmp_path: Path) -> None:
    sent, wal = _live_copy(tmp_path / "a", tmp_path / "b")
    _truncate(wal, lambda size: size // 2)
    spool = opened(tmp_path / "b")
    assert spool.counters.renewed == 1
    while spool.salvage():
        pass
    assert spool.counters.lost > 0
    assert spool.counters.salvaged + spool.counters.lost == len(sent)
    assert held(spool) == sent[: spool.counters.salvaged]
    spool.close()


def test_garbage_behind_the_wal_costs_nothing(tmp_path: Path) -> None:
    sent, wal = _live_copy(tmp_path / "a", tmp_path / "b")
    wal.write_bytes(wal.read_bytes() + random.Random(3).randbytes(10_000))
    spool = opened(tmp_path / "b")
    assert held(spool) == sent
    assert spool.counters.renewed == 0
    spool.close()


def _damage_payload(folder: Path, first: int) -> None:
    db = sqlite3.connect(folder / "spool" / "spool.db")
    db.execute("PRAGMA synchronous=OFF")
    payload = bytearray(db.execute("SELECT payload FROM batch WHERE first = ?", (first,)).fetchone()[0])
    payload[len(payload) // 2] ^= 4
    db.execute("UPDATE batch SET payload = ? WHERE first = ?", (bytes(payload), first))
    db.commit()
    db.close()


def test_one_damaged_row_is_set_aside_and_becomes_a_gap(tmp_path: Path) -> None:
    sent, epoch = _written(tmp_path)
    _damage_payload(tmp_path, 101)
    spool = opened(tmp_path)
    batch = spool.rows.read(101)
    assert batch is not None
    assert (batch.samples, batch.gap) == ((), "damaged")
    assert held(spool) == sent[:100] + sent[110:]
    assert gaps(spool) == [(101, 110, "damaged")]
    assert spool.epoch == epoch
    spool.close()


def test_without_the_check_a_damaged_row_can_be_sent(tmp_path: Path) -> None:
    """The switch exists so that this can be shown: raw deflate does not notice every flipped bit, the checksum does."""
    sent = set(_written(tmp_path)[0])
    wrong = 0
    for first in range(1, 4000, 10):
        _damage_payload(tmp_path, first)
    spool = opened(tmp_path, verify_crc=False)
    for sample in held(spool):
        wrong += sample not in sent
    spool.close()
    assert wrong > 0


def test_a_mark_of_another_epoch_means_a_foreign_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        spool = opened(tmp_path / name)
        spool.append(samples(3), Lane.NORMAL)
        spool.close()
    shutil.copy(tmp_path / "a" / "spool.mark", tmp_path / "b" / "spool.mark")
    spool = opened(tmp_path / "b")
    assert spool.counters.renewed == 1
    spool.close()


def test_a_torn_mark_falls_back_to_the_one_before(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append(samples(3), Lane.NORMAL)
    spool.close()
    mark = tmp_path / "spool.mark"
    content = mark.read_bytes()
    for at in (0, 4096):
        mark.write_bytes(content[:at] + b"torn" + content[at + 4 :])
        spool = opened(tmp_path)
        assert held(spool) == samples(3)
        assert spool.counters.renewed == 0
        spool.close()
    mark.unlink()
    spool = opened(tmp_path)
    assert held(spool) == samples(3)
    spool.close()


def test_a_crash_between_setting_aside_and_putting_in_place(tmp_path: Path) -> None:
    sent, _ = _written(tmp_path)
    DAMAGE["zero page"](tmp_path / "spool" / "spool.db")
    shutil.copytree(tmp_path / "spool", tmp_path / "copy")
    mark = (tmp_path / "spool.mark").read_bytes()
    opened(tmp_path).close()
    # back to the instant after the first rename: the old mark, no spool, a complete new one
    (tmp_path / "spool.mark").write_bytes(mark)
    (tmp_path / "spool").rename(tmp_path / "spool-new")
    spool = opened(tmp_path)
    while spool.salvage():
        pass
    assert set(held(spool)) <= set(sent)
    assert spool.counters.salvaged + spool.counters.lost == len(sent)
    spool.close()


def test_salvage_goes_on_after_a_crash(tmp_path: Path) -> None:
    sent, _ = _written(tmp_path / "a")
    DAMAGE["zero page"](tmp_path / "a" / "spool" / "spool.db")
    spool = opened(tmp_path / "a")
    for _ in range(5):
        assert spool.salvage()
    crashed(tmp_path / "a", tmp_path / "b")
    spool.close()
    spool = opened(tmp_path / "b")
    while spool.salvage():
        pass
    good = held(spool)
    assert len(set(good)) == len(good)
    assert len(good) + spool.counters.lost == len(sent)
    spool.close()


# --------------------------------------------------------------------------------------------------------------------------------- any order


class SpoolMachine(RuleBasedStateMachine):
    """Whatever is appended, acknowledged, purged or cut off by a crash: nothing unacknowledged is ever missing, changed or out of order."""

    @initialize()
    def start(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.life = 0
        self.sent: list[Sample] = []
        self.acked = 0
        self.now = NOW
        self.spool = opened(self.root / "0", keep_acknowledged_h=1)

    @rule(count=st.integers(1, 40), lane=st.sampled_from([Lane.URGENT, Lane.NORMAL]))
    def append(self, count: int, lane: Lane) -> None:
        block = samples(count, len(self.sent))
        head = self.spool.append(block, lane)
        assert (head.first, head.last) == (len(self.sent) + 1, len(self.sent) + count)
        self.sent += block

    @precondition(lambda self: self.acked < len(self.sent))
    @rule(share=st.floats(0, 1))
    def acknowledge(self, share: float) -> None:
        self.acked += round((len(self.sent) - self.acked) * share)
        self.spool.sending()
        self.spool.acknowledge(self.acked, self.now)

    @rule(minutes=st.integers(0, 90))
    def wait(self, minutes: int) -> None:
        self.now += minutes * 60_000
        self.spool.purge(self.now)

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        self.life += 1
        before, after = self.root / str(self.life - 1), self.root / str(self.life)
        if clean:
            self.spool.close()
            before.rename(after)
        else:
            crashed(before, after)
            self.spool.close()
        epoch = self.spool.epoch
        self.spool = opened(after, keep_acknowledged_h=1)
        assert self.spool.epoch == epoch
        assert self.spool.acknowledged <= self.acked, "forgot what the server does not have"
        self.acked = self.spool.acknowledged

    @precondition(lambda self: self.acked > 0)
    @rule()
    def server_restored(self) -> None:
        first = self.spool.outbox.first
        self.acked = max(0, min(self.acked, first - 1))
        self.spool.acknowledge(self.acked, self.now)

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "spool"):
            assert held(self.spool, self.acked + 1)[-len(self.sent[self.acked :]) or len(self.sent) :] == self.sent[self.acked :]
            assert gaps(self.spool) == []

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.close()
            shutil.rmtree(self.root)


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))


# --------------------------------------------------------------------------------------------------------------------------------- age and size


def test_what_nobody_took_for_a_month_is_given_up_and_told(tmp_path: Path) -> None:
    """Two days stand for 31; one batch an hour."""
    spool = opened(tmp_path, keep_days=2)
    point = PointKey(GATEWAY, "th", "temperature")
    for hour in range(60):
        spool.append([Sample(point, NOW + hour * HOUR, float(hour))], Lane.URGENT if hour == 3 else Lane.NORMAL)
    assert spool.expire() == 11
    assert gaps(spool) == [(1, 11, "expired")], "59 hours before now to 49: alarms too"
    assert [sample.value for sample in held(spool)] == [float(hour) for hour in range(11, 60)]
    assert spool.expire() == 0
    assert spool.counters.expired == 11
    spool.close()
    again = opened(tmp_path, keep_days=2)
    again.append([Sample(point, NOW + 60 * HOUR, 60.0)], Lane.NORMAL)
    assert again.expire() == 1, "a restart forgets no hour"
    again.close()


def test_what_the_server_has_is_not_given_up(tmp_path: Path) -> None:
    spool = opened(tmp_path, keep_days=1)
    point = PointKey(GATEWAY, "th", "temperature")
    for hour in range(60):
        spool.append([Sample(point, NOW + hour * HOUR, float(hour))], Lane.NORMAL)
    spool.acknowledge(50, NOW)
    assert spool.expire() == 0
    spool.close()


def test_a_clock_that_jumps_for_years_ages_nothing(tmp_path: Path) -> None:
    spool = opened(tmp_path, keep_days=1)
    point = PointKey(GATEWAY, "th", "temperature")
    for at in (0, 1, 9_000 * HOUR, 9_000 * HOUR + 1, 2, 3):
        spool.append([Sample(point, NOW + at, 1.0)], Lane.NORMAL)
    assert spool.expire() == 0
    spool.close()


@pytest.mark.parametrize(
    ("points", "batch", "samples_wanted", "most_bytes"),
    [
        pytest.param(100, 100, 31 * 24 * 60 * 100, 1_000_000_000, id="31 days of 100 points a minute"),
        pytest.param(1_000, 500, 72 * 360 * 1_000, 512_000_000, id="72 hours of 1,000 points each ten seconds"),
    ],
)
def test_a_spool_of_the_promised_length_fits(points: int, batch: int, samples_wanted: int, most_bytes: int, tmp_path: Path) -> None:
    """Two scaled files show that the size grows with the number of readings and not faster; the larger one's bytes per reading then bound the whole.

    Values are those of a sensor with noise in its last digit, which do not compress well; one batch is what one poll brings.
    """
    noise = random.Random(1)
    keys = [PointKey(GATEWAY, f"th{n // 2}", ("temperature", "humidity")[n % 2]) for n in range(points)]
    values = [200 + n % 300 for n in range(points)]

    def written(count: int) -> int:
        spool = opened(tmp_path / str(count), synchronous="off")
        for at in range(count // points):
            for n in range(points):
                values[n] += noise.choice((-1, 0, 0, 1))
            for first in range(0, points, batch):
                block = [Sample(keys[n], NOW + 10_000 * at, values[n] / 10) for n in range(first, first + batch)]
                spool.append(block, Lane.NORMAL)
        spool.close()
        return sum(file.stat().st_size for file in (tmp_path / str(count) / "spool").iterdir())

    small, large = written(20_000), written(60_000)
    per_sample = (large - small) / 40_000
    assert small <= 1.2 * 20_000 * per_sample + 200_000, "no size but what grows with the readings"
    assert per_sample * samples_wanted < most_bytes
    assert per_sample * samples_wanted < 0.7 * SpoolSettings().quota_mb * 1024 * 1024, "and no alarm on the way there"
