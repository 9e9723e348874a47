"""The storage thread's work, driven by hand: what is stored when, what waits where when the disk refuses."""

import json
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from contract.declarations import PointDeclaration
from contract.sample import PointKey, Sample
from edge.intake import Report
from edge.link import Event
from edge.outlet import Outlet
from edge.rows import Lane
from edge.settings import SpoolSettings, UplinkSettings
from edge.uplink import Identity, Uplink

NOW = 1_800_000_000_000
POINTS = [PointDeclaration("th/temperature", None, "350128000001-01", "°C", 30.0, "measure")]


class Nowhere:
    """A link to a broker that never answers."""

    def open(self, will_topic: str, will: bytes) -> None:
        """Nobody is there."""

    def publish(self, topic: str, payload: bytes, qos: int = 0) -> None:
        raise AssertionError("published without a connection")

    def close(self) -> None:
        """Nothing to close."""

    def events(self) -> list[Event]:
        return []


class Store:
    """An outlet with time."""

    def __init__(self, folder: Path, ring: int = 1000, trace: Path | None = None) -> None:
        self.folder, self.ring, self.trace = folder, ring, trace
        self.mono, self.count = 0.0, 0
        self.latest: dict[str, Sample] = {}
        self.start()

    def start(self) -> None:
        settings = UplinkSettings(flush_ms=1000)
        uplink = Uplink(Identity("350128", "gw-1", "aw"), settings, Nowhere(), POINTS, lambda: 0)
        spool = SpoolSettings(ring_samples=self.ring, synchronous="off")
        self.outlet = Outlet(self.folder, "gw-1", POINTS, spool, settings, uplink, threading.Event(), self.latest, self.trace)

    def offer(self, count: int = 1, lane: Lane = Lane.NORMAL) -> None:
        point = PointKey("gw-1", "th", "temperature")
        self.outlet.offer([Report(Sample(point, NOW + self.count + at, float(self.count + at)), lane) for at in range(count)])
        self.count += count

    def run(self, ms: float = 0) -> float:
        self.mono += ms
        return self.outlet.run_once(NOW + int(self.mono), self.mono)

    @property
    def accepted(self) -> int:
        return self.outlet.counters.accepted


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data", trace=tmp_path / "trace.jsonl")


def test_ordinary_samples_wait_for_company_and_alarms_do_not(store: Store) -> None:
    store.offer(3)
    assert store.run() <= 1_000
    assert store.accepted == 0
    store.offer(1, Lane.URGENT)
    store.run(10)
    assert store.accepted == 1
    store.run(989)
    assert store.accepted == 1
    store.run(1)
    assert store.accepted == 4
    assert store.outlet.spool is not None
    assert [head.last - head.first + 1 for head in store.outlet.spool.rows.heads(1, 9)] == [1, 3]


def test_a_full_batch_does_not_wait(store: Store) -> None:
    store.offer(1_250)
    store.run()
    assert store.accepted == 1_250
    assert store.outlet.spool is not None
    assert [head.last for head in store.outlet.spool.rows.heads(1, 9)] == [500, 1_000, 1_250]


def test_every_accepted_sample_is_traced_after_its_commit(store: Store, tmp_path: Path) -> None:
    store.offer(2)
    store.run()
    assert not (tmp_path / "trace.jsonl").exists()
    store.run(1_000)
    lines = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert lines == [
        {"point": "gw-1/th/temperature", "taken_at": NOW, "value": 0.0, "quality": "good", "seq": 1},
        {"point": "gw-1/th/temperature", "taken_at": NOW + 1, "value": 1.0, "quality": "good", "seq": 2},
    ]


def test_what_waits_at_the_end_is_stored(store: Store) -> None:
    store.offer(5)
    store.run()
    store.offer(2, Lane.URGENT)
    store.outlet.close(NOW)
    assert store.accepted == 7


def test_after_a_restart_the_last_values_are_known(store: Store) -> None:
    store.offer(5)
    store.outlet.run_once(NOW, 0)
    store.outlet.close(NOW)
    store.latest.clear()
    store.start()
    store.run(10)
    assert store.latest["th/temperature"].value == 4.0


def test_sampling_goes_on_while_the_folder_cannot_be_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocker = tmp_path / "data"
    blocker.write_text("a file where the folder should be", encoding="utf-8")
    store = Store(blocker, ring=100)
    for _ in range(30):
        store.offer(10)
        store.run(1_000)
    assert store.accepted == 0
    assert store.outlet.counters.dropped == 200
    assert len([record for record in caplog.records if "内存" in record.message]) == 1
    blocker.unlink()
    store.run(6_000)
    store.run(1_000)
    assert store.accepted == 100
    assert store.outlet.spool is not None
    kept = store.outlet.spool.rows.read(1)
    assert kept is not None
    assert [sample.value for sample in kept.samples] == [float(value) for value in range(200, 300)]
    store.outlet.close(NOW)


def test_alarms_are_the_last_to_be_given_up(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("", encoding="utf-8")
    store = Store(tmp_path / "data", ring=100)
    store.offer(60, Lane.URGENT)
    store.offer(500)
    store.run()
    (tmp_path / "data").unlink()
    store.run(6_000)
    store.run(1_000)
    assert store.outlet.spool is not None
    assert sum(head.last - head.first + 1 for head in store.outlet.spool.rows.urgent(1, 99)) == 60
    assert store.accepted == 100


def test_a_file_that_breaks_while_it_is_used_is_replaced(store: Store) -> None:
    store.offer(600)
    store.run()
    spool = store.outlet.spool
    assert spool is not None
    epoch = spool.epoch
    path = store.folder / "spool" / "spool.db"
    spool._file.shrink_wal()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\x00" * (len(content) - 4096))
    reader = sqlite3.connect(path)
    reader.close()
    spool._file.rows("PRAGMA shrink_memory")
    for _ in range(5):
        store.offer(10)
        store.run(1_000)
    assert spool.epoch != epoch
    assert store.accepted == 650
    assert [found.gap for head in spool.rows.heads(1, 99) if (found := spool.rows.read(head.first)) and found.gap] == []


def test_samples_of_a_clock_that_was_never_set_get_their_time_when_it_is(store: Store) -> None:
    point = PointKey("gw-1", "th", "temperature")
    for second in range(3):
        store.outlet.offer([Report(Sample(point, 5_000 + 1000 * second, float(second)), Lane.NORMAL)])
        store.outlet.run_once(5_000 + 1000 * second, 1000.0 * second)
    assert store.outlet.status(2_000)["clock_unset"]
    assert store.accepted == 0
    store.outlet.run_once(NOW, 10_000.0)
    store.outlet.run_once(NOW + 1000, 11_000.0)
    assert store.outlet.spool is not None
    found = store.outlet.spool.rows.read(1)
    assert found is not None
    assert [(sample.taken_at - NOW, sample.value) for sample in found.samples] == [(-10_000, 0.0), (-9_000, 1.0), (-8_000, 2.0)]


def test_an_unexpected_error_does_not_end_the_storage_thread(store: Store) -> None:
    times = iter(range(10_000))

    def clock() -> tuple[int, float]:
        at = next(times)
        if at == 3:
            raise RuntimeError("a fault of the program")
        return NOW + at, float(at)

    thread = threading.Thread(target=store.outlet.run, args=(clock,))
    thread.start()
    store.offer(500)
    while store.accepted < 500 and thread.is_alive():
        store.outlet.offer([])
    store.outlet.end()
    thread.join(10)
    assert store.accepted == 500
    assert not thread.is_alive()


def test_the_status_says_what_people_ask(store: Store) -> None:
    store.offer(500)
    store.run()
    status = store.outlet.status(store.mono)
    assert status["spool"]["unacknowledged"] == 500
    assert status["uplink"]["phase"] == "connecting"
    assert json.dumps(status)
    shutil.rmtree(store.folder, ignore_errors=True)
