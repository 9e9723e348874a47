from pathlib import Path
from typing import Any

import pytest

from contract.readings import Reading
from contract.sample import Quality
from edge.intake import Intake
from edge.plan import Device, build
from edge.rows import Lane
from edge.settings import BrokerSettings, DevicesSettings, EdgeSettings, TcpBus
from edge.taken import Stamper

NOW = 1_800_000_000_000
LONG_AGO = NOW - 86_400_000
ROOM = "350128000001-01"
BUS = TcpBus(name="b", kind="tcp", host="-")


def device(**entry: Any) -> Device:
    settings = EdgeSettings(gateway="gw-1", group="350128", broker=BrokerSettings(host="-"), data_dir=Path(), devices_file=Path(), buses=(BUS,))
    devices = DevicesSettings.model_validate({"devices": ({"name": "d", "bus": "b", "room": ROOM, "unit": 1, **entry},)})
    return build(settings, devices, {}).buses["b"][0]


class Desk:
    """An intake for one device, with time."""

    def __init__(self, folder: Path, found: Device, awake_since: int = LONG_AGO) -> None:
        self.device = found
        self.stamper = Stamper(folder / "clock")
        self.intake = Intake([found], self.stamper, awake_since)
        self.now, self.mono = NOW, 0.0

    def wait(self, ms: int) -> None:
        self.now += ms
        self.mono += ms

    def take(
        self, quality: Quality = Quality.GOOD, reason: str = "", event: int | None = None, **values: float | None
    ) -> list[tuple[str, Any, Any, Lane]]:
        readings = []
        for point_id, value in values.items():
            key = self.device.points[point_id].key
            readings.append(Reading(point_id, key.quantity, key.channel, value, "", Quality.GOOD))
        period = self.device.jobs[0].period_s * 1000
        return [self.told(report) for report in self.intake.take("d", readings, self.now, self.mono, event=event, period_ms=period)]

    def told(self, report: Any) -> tuple[str, Any, Any, Lane]:
        return report.sample.point.metric, report.sample.value, report.sample.taken_at - NOW, report.lane

    def tick(self) -> list[tuple[str, Any, Any, Lane]]:
        return [self.told(report) for report in self.intake.tick(self.now, self.mono)]


@pytest.fixture
def climate(tmp_path: Path) -> Desk:
    return Desk(tmp_path, device(profile="renke-rs-ws-n01", interval_s=30))


@pytest.fixture
def contacts(tmp_path: Path) -> Desk:
    return Desk(tmp_path, device(profile="waveshare-8di", interval_s=10, channels={"di1": {"quantity": "door"}, "di2": {"quantity": "leak"}}))


@pytest.fixture
def smoke(tmp_path: Path) -> Desk:
    return Desk(tmp_path, device(profile="generic-rs485-smoke", interval_s=10))


def test_an_ordinary_point_is_sent_at_each_reading_on_a_whole_second(climate: Desk) -> None:
    climate.wait(400)
    climate.take(temperature=20.0)
    climate.wait(30_300)
    assert climate.take(temperature=20.0) == [("d/temperature", 20.0, 30_000, Lane.NORMAL)]
    climate.wait(29_800)
    assert climate.take(temperature=20.0) == [("d/temperature", 20.0, 60_000, Lane.NORMAL)]


def test_two_readings_in_one_second_have_two_instants(climate: Desk) -> None:
    climate.take(temperature=20.0)
    climate.wait(5_100)
    climate.take(temperature=20.0)
    climate.wait(300)
    assert climate.take(temperature=20.1)[0][2] == 5_001


def test_a_fast_point_is_sent_on_change_at_once_and_else_once_per_interval(contacts: Desk) -> None:
    contacts.wait(5_000)
    assert contacts.take(di1=0, di2=0) == [("d/door/di1", 0, 5_000, Lane.URGENT), ("d/leak/di2", 0, 5_000, Lane.URGENT)]
    sent = []
    for second in range(1, 31):
        contacts.wait(1_000)
        sent += [(second, *told) for told in contacts.take(di1=1 if second >= 14 else 0, di2=0)]
    door = [(second, value, lane) for second, metric, value, _, lane in sent if metric == "d/door/di1"]
    assert door == [(10, 0, Lane.NORMAL), (14, 1, Lane.URGENT), (24, 1, Lane.NORMAL)]
    assert [second for second, metric, *_ in sent if metric == "d/leak/di2"] == [10, 20, 30]


def test_an_interval_is_a_promise_that_late_readings_do_not_break(contacts: Desk) -> None:
    contacts.take(di1=0)
    for _ in range(9):
        contacts.wait(1_040)
        last = contacts.take(di1=0)
    contacts.wait(1_040)
    last = last or contacts.take(di1=0)
    assert last, "10.4 s after the last one at the latest; waiting for the next reading would be too late"


def test_smoke_must_be_seen_twice_and_then_goes_out_as_an_alarm(smoke: Desk) -> None:
    smoke.take(smoke=0)
    smoke.wait(1_000)
    assert smoke.take(smoke=1) == []
    smoke.wait(1_000)
    assert smoke.take(smoke=1) == [("d/smoke", 1, 2_000, Lane.URGENT)]
    smoke.wait(1_000)
    assert smoke.take(smoke=1) == []


def test_smoke_that_cannot_be_looked_at_again_is_told_with_a_doubt(smoke: Desk) -> None:
    smoke.take(smoke=0)
    smoke.wait(1_000)
    smoke.take(smoke=1)
    smoke.wait(4_900)
    assert smoke.tick() == []
    smoke.wait(100)
    assert smoke.tick() == [("d/smoke", 1, 6_000, Lane.URGENT)]
    assert smoke.intake.latest["d/smoke"].quality is Quality.UNCERTAIN
    assert smoke.intake.latest["d/smoke"].reason == "unconfirmed"
    assert smoke.tick() == []


def test_a_lost_device_is_told_once_per_point_with_the_reason(contacts: Desk) -> None:
    contacts.take(di1=0, di2=1)
    contacts.wait(60_000)
    reports = contacts.intake.lost("d", "device_timeout", contacts.now, contacts.mono)
    assert {(report.sample.value, report.sample.quality, report.sample.reason, report.lane) for report in reports} == {
        (None, Quality.BAD, "device_timeout", Lane.URGENT)
    }
    assert len(reports) == 2


def test_a_device_that_said_goodbye_leaves_its_last_value_stale(contacts: Desk) -> None:
    contacts.take(di1=1)
    contacts.wait(1_000)
    door, leak = contacts.intake.lost("d", "device_offline", contacts.now, contacts.mono, stale=True)
    assert (door.sample.value, door.sample.quality) == (1, Quality.STALE)
    assert (leak.sample.value, leak.sample.quality) == (None, Quality.BAD)


def test_a_refusal_is_bad_at_the_usual_interval(climate: Desk) -> None:
    sent = []
    for _ in range(3):
        climate.wait(30_000)
        sent += climate.intake.refused(climate.device, ["main"], "exception_2", climate.now, climate.mono, 30_000)
    assert [(report.sample.value, report.sample.reason) for report in sent] == [(None, "exception_2")] * 6


def test_an_event_keeps_its_own_time(climate: Desk) -> None:
    climate.wait(10_000)
    assert climate.take(temperature=20.0, event=NOW + 8_123)[0][2] == 8_123
    assert climate.take(temperature=20.5, event=NOW + 8_123)[0][2] == 8_124


def test_a_device_that_woke_up_is_warming_up(smoke: Desk) -> None:
    smoke.take(smoke=0)
    assert smoke.intake.latest["d/smoke"].reason == ""
    smoke.intake.woke("d", smoke.now)
    smoke.wait(1_000)
    smoke.take(smoke=0)
    assert smoke.intake.latest["d/smoke"].reason == "warm_up"


def test_readings_of_unknown_points_are_counted(climate: Desk) -> None:
    assert climate.intake.take("d", [Reading("radon", "co2", "", 1, "", Quality.GOOD)], NOW, 0.0) == []
    assert climate.intake.undeclared == 1


# ------------------------------------------------------------------------------------------------------------------------------------- time


def test_a_clock_that_is_set_back_never_reuses_an_instant(tmp_path: Path) -> None:
    stamper = Stamper(tmp_path / "clock")
    used = [stamper.stamp("m", NOW + second * 1000 + 100, whole_second=True) for second in range(100)]
    for restart in (False, True):
        stamper.save()
        again = Stamper(tmp_path / "clock") if restart else stamper
        more = [again.stamp("m", NOW - 3_600_000 + second * 1000 + 200 + restart, whole_second=True) for second in range(4_000)]
        assert len(set(more)) == len(more)
        assert more == sorted(more)
        assert not set(used) & set(more)
        used += more
        stamper = again
        assert all(abs(taken - (NOW - 3_600_000 + second * 1000)) < 1_000 for second, taken in enumerate(more))


def test_a_slewed_clock_only_bumps(tmp_path: Path) -> None:
    stamper = Stamper(tmp_path / "clock")
    stamper.stamp("m", NOW)
    assert stamper.stamp("m", NOW - 400) == NOW + 1
    assert stamper.stamp("other", NOW - 400) == NOW - 400


def test_the_second_of_the_start_is_not_used_whole(tmp_path: Path) -> None:
    stamper = Stamper(tmp_path / "clock")
    assert stamper.stamp("m", NOW + 700, whole_second=True) == NOW + 700
    assert stamper.stamp("m", NOW + 1_700, whole_second=True) == NOW + 1_000


def test_a_spoilt_clock_file_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "clock").write_text("?", encoding="utf-8")
    assert Stamper(tmp_path / "clock").stamp("m", NOW) == NOW
