"""Scheduling and quarantine, with a line whose devices answer, take their time, or stay silent; the clock is driven by hand."""

import asyncio
import logging
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from contract.readings import Reading
from contract.sample import Quality, Sample
from edge.drivers import Arrival, DriverError
from edge.intake import Intake, Report
from edge.plan import Device, Job, build
from edge.polling import BusLoop
from edge.settings import BrokerSettings, DevicesSettings, EdgeSettings, MqttBus, TcpBus
from edge.taken import Stamper

NOW = 1_800_000_000_000
ROOM = "350128000001-01"


class Street:
    """A bus of devices with time: an answer takes 20 ms, a silent device the whole timeout of 500 ms."""

    def __init__(self) -> None:
        self.mono = 0.0
        self.silent: set[str] = set()
        self.refusing: set[str] = set()
        self.cut = False
        self.asked: list[tuple[float, str]] = []
        self.messages: list[Arrival] = []
        self.stalled = 0.0

    def clock(self) -> tuple[int, float]:
        return NOW + int(self.mono), self.mono

    async def open(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to let go."""

    async def read(self, job: Job | None) -> Sequence[Arrival]:
        if job is None:
            return self._spoken()
        name = job.device.name
        self.asked.append((self.mono, name))
        self.mono += self.stalled
        self.stalled = 0
        if self.cut:
            raise DriverError("unreachable", "总线断了", bus=True)
        if name in self.silent:
            self.mono += 500
            raise DriverError("timeout", f"{name} 没有应答", wait_s=2)
        self.mono += 20
        if name in self.refusing:
            raise DriverError("exception_2", f"{name} 拒绝", answered=True)
        blocks = {block for read in job.reads for block, _ in read.blocks}
        points = {point_id: planned.key.quantity for point_id, planned in job.device.points.items() if planned.point.block in blocks}
        readings = [
            Reading(point_id, quantity, "", 0.5 if quantity == "temperature" else 1, "", Quality.GOOD) for point_id, quantity in points.items()
        ]
        return [Arrival(name, tuple(readings))]

    def _spoken(self) -> Sequence[Arrival]:
        if self.cut:
            raise DriverError("unreachable", "本地消息服务器断了", bus=True)
        found, self.messages = self.messages, []
        return found

    def times(self, name: str) -> list[float]:
        return [at for at, asked in self.asked if asked == name]


class Post:
    """A loop over such a street, and the samples it produced."""

    def __init__(self, folder: Path, *entries: dict[str, Any], speaks: bool = False) -> None:
        self.street = Street()
        bus = MqttBus(name="b", kind="mqtt", host="-") if speaks else TcpBus(name="b", kind="tcp", host="-")
        settings = EdgeSettings(gateway="gw-1", group="350128", broker=BrokerSettings(host="-"), data_dir=folder, devices_file=folder, buses=(bus,))
        devices = DevicesSettings.model_validate({"devices": tuple({"bus": "b", "room": ROOM, **entry} for entry in entries)})
        self.devices: tuple[Device, ...] = build(settings, devices, {}).buses["b"]
        self.samples: list[Sample] = []
        intake = Intake(self.devices, Stamper(folder / "clock"), NOW - 86_400_000)
        self.loop = BusLoop("b", self.street, self.devices, intake, self._keep, speaks=speaks, noise=random.Random(3))

    def _keep(self, reports: Sequence[Report]) -> None:
        self.samples += [report.sample for report in reports]

    def run(self, seconds: float) -> None:
        end = self.street.mono + seconds * 1000

        async def go() -> None:
            while self.street.mono < end:
                due = await self.loop.run_once(self.street.clock)
                assert due >= self.street.mono
                self.street.mono = max(min(due, end), self.street.mono)

        asyncio.run(go())

    def of(self, device: str) -> list[Sample]:
        return [sample for sample in self.samples if sample.point.device == device]


def climate(name: str, unit: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "unit": unit, "profile": "renke-rs-ws-n01", "interval_s": 10, **more}


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path, *(climate(f"th{unit}", unit) for unit in range(1, 6)))


def test_starts_are_spread_and_periods_kept(post: Post) -> None:
    post.run(100)
    for unit in range(1, 6):
        first, *times = post.street.times(f"th{unit}")
        assert first < 3_200, "a restart costs no reading"
        assert times[0] - first <= 10_100
        assert all(9_800 <= after - before <= 10_200 for before, after in pairwise(times))
    phases = {round(post.street.times(f"th{unit}")[-1] / 200) for unit in range(1, 6)}
    assert len(phases) > 3, "they do not keep step"
    assert len(post.samples) == 2 * len(post.street.asked)


def test_missed_deadlines_are_not_made_up_for(post: Post) -> None:
    post.run(20)
    asked = len(post.street.asked)
    post.street.stalled = 600_000  # the process was stopped for ten minutes
    post.run(20)
    post.run(600)
    assert len(post.street.asked) - asked < 5 * 64
    assert post.loop.counters.late > 0
    taken = [sample.taken_at for sample in post.of("th1") if sample.point.quantity == "temperature"]
    assert taken == sorted(set(taken))


def test_a_silent_device_is_retried_then_probed_at_growing_distances(post: Post) -> None:
    post.street.silent = {"th1"}
    post.run(600)
    times = post.street.times("th1")
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses[0] <= 3_000
    assert pauses[1] <= 3_000
    assert 5_000 <= pauses[2] <= 16_000
    assert 30_000 <= pauses[3] <= 41_000
    assert all(120_000 <= pause <= 131_000 for pause in pauses[4:])


def test_a_silent_device_delays_nobody_by_more_than_its_timeout(post: Post) -> None:
    post.street.silent = {"th1", "th2"}
    post.run(600)
    for name in ("th3", "th4", "th5"):
        times = post.street.times(name)
        assert len(times) >= 59
        assert max(after - before for before, after in pairwise(times)) <= 10_000 + 2 * 520


def test_offline_is_told_once_and_then_silence_speaks(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    post.run(20)
    before = len(post.of("th1"))
    post.street.silent = {"th1"}
    post.run(50)
    assert len(post.of("th1")) == before, "a missing reading is no sample"
    post.run(550)
    last = post.of("th1")[before:]
    assert {(sample.value, sample.quality, sample.reason) for sample in last} == {(None, Quality.BAD, "device_timeout")}
    assert len(last) == 2
    assert post.loop.health["th1"].word == "offline"
    post.street.silent = set()
    post.run(200)
    assert post.loop.health["th1"].word == "ok"
    assert post.of("th1")[-1].value is not None
    words = [record.message for record in caplog.records if "th1" in record.message]
    assert len(words) == 2
    assert "失联" in words[0]
    assert "恢复" in words[1]


def test_a_short_trouble_is_not_worth_a_word(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    post.run(20)
    post.street.silent = {"th1"}
    post.run(12)
    post.street.silent = set()
    post.run(60)
    assert not caplog.records
    assert {sample.quality for sample in post.of("th1")} == {Quality.GOOD}


def test_a_refusal_is_a_bad_sample_at_each_interval_and_no_quarantine(post: Post) -> None:
    post.street.refusing = {"th2"}
    post.run(100)
    assert len(post.street.times("th2")) >= 9
    assert {(sample.value, sample.reason) for sample in post.of("th2")} == {(None, "exception_2")}
    assert len(post.of("th2")) == 2 * len(post.street.times("th2"))
    post.street.refusing = set()
    post.run(20)
    assert post.of("th2")[-1].quality is Quality.GOOD


def test_a_cut_bus_is_no_fault_of_its_devices(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    post.run(20)
    post.street.cut = True
    post.run(300)
    assert post.loop.trouble == "总线断了"
    assert {sample.reason for sample in post.samples if sample.quality is Quality.BAD} == {"bus_unreachable"}
    before = len(post.samples)
    post.street.cut = False
    post.run(12)
    assert {sample.point.device for sample in post.samples[before:]} == {f"th{unit}" for unit in range(1, 6)}, "nobody sits in quarantine"
    assert [record.message for record in caplog.records] == ["总线断了；设备读数暂停", "总线 b 恢复"]


def test_fast_and_ordinary_devices_share_a_line(tmp_path: Path) -> None:
    fast = {"name": "smoke", "unit": 9, "profile": "generic-rs485-smoke", "interval_s": 10}
    post = Post(tmp_path, climate("th1", 1), fast)
    post.run(60)
    assert len(post.street.times("smoke")) >= 58
    assert len(post.street.times("th1")) >= 6
    assert 6 <= len(post.of("smoke")) <= 8


def test_a_quarantined_device_is_probed_even_on_a_line_that_is_never_idle(tmp_path: Path) -> None:
    fast = [{"name": f"s{unit}", "unit": unit, "profile": "generic-rs485-smoke", "interval_s": 10} for unit in range(1, 61)]
    post = Post(tmp_path, *fast)  # 60 devices at 20 ms each want more than the line has
    post.street.silent = {"s1"}
    post.run(30)
    post.street.silent = set()
    post.run(120)
    assert post.loop.health["s1"].word == "ok"


# -------------------------------------------------------------------------------------------------------------------- devices that speak


DOOR = {"name": "door", "topic": "door1", "profile": "aqara-mccgq11lm", "interval_s": 30}


def spoken(post: Post, **more: Any) -> None:
    post.street.messages.append(Arrival("door", (Reading("door", "door", "", 1, "", Quality.GOOD),), **more))


def test_messages_become_samples_with_their_own_time(tmp_path: Path) -> None:
    post = Post(tmp_path, DOOR, speaks=True)
    spoken(post, taken_at=NOW - 1_234)
    asyncio.run(post.loop.run_once(post.street.clock))
    assert [(sample.value, sample.taken_at) for sample in post.samples] == [(1, NOW - 1_234)]


def test_a_device_that_speaks_no_more_is_lost_after_three_intervals(tmp_path: Path) -> None:
    post = Post(tmp_path, DOOR, speaks=True)
    spoken(post)
    asyncio.run(post.loop.run_once(post.street.clock))
    for seconds, samples in ((89, 1), (2, 3), (500, 3)):
        post.street.mono += seconds * 1000
        asyncio.run(post.loop.run_once(post.street.clock))
        assert len(post.samples) == samples
    assert {sample.reason for sample in post.samples[1:]} == {"device_silent"}
    spoken(post)
    asyncio.run(post.loop.run_once(post.street.clock))
    assert post.samples[-1].quality is Quality.GOOD


def test_a_goodbye_makes_its_points_stale_at_once(tmp_path: Path) -> None:
    post = Post(tmp_path, DOOR, speaks=True)
    spoken(post)
    post.street.messages.append(Arrival("door", available=False))
    asyncio.run(post.loop.run_once(post.street.clock))
    assert {(sample.point.quantity, sample.quality) for sample in post.samples[1:]} == {("door", Quality.STALE), ("battery", Quality.BAD)}
    assert post.loop.health["door"].word == "offline"
