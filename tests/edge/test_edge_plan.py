from pathlib import Path
from typing import Any

import pytest

from edge.configfile import ConfigError
from edge.load import bus_load, read_s
from edge.plan import Device, Plan, Read, build
from edge.settings import BrokerSettings, CameraBus, DevicesSettings, EdgeSettings, MqttBus, SerialBus

ROOM, OTHER = "350128000001-01", "350128000001-02"
SERIAL = SerialBus(name="rs485", kind="serial", device="/dev/null", baud=9600)


def plan(*entries: dict[str, Any]) -> Plan:
    buses = (SERIAL, MqttBus(name="zigbee", kind="mqtt", host="-"), CameraBus(name="cams", kind="camera"))
    settings = EdgeSettings(
        gateway="gw-1", group="350128", broker=BrokerSettings(host="-"), data_dir=Path(), devices_file=Path("d.yaml"), buses=buses
    )
    devices = DevicesSettings.model_validate({"devices": tuple({"bus": "rs485", "room": ROOM, **entry} for entry in entries)})
    return build(settings, devices, {entry["name"]: 10 + at for at, entry in enumerate(entries)})


def device(**entry: Any) -> Device:
    return next(iter(plan({"name": "d", **entry}).devices))


def reason(*entries: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        plan(*entries)
    assert str(caught.value).startswith("d.yaml:1")
    return caught.value.reason


def test_a_climate_sensor_is_read_and_declared_at_its_interval() -> None:
    found = device(profile="renke-rs-ws-n01", unit=3, interval_s=20)
    assert [(job.period_s, job.reads) for job in found.jobs] == [(20, (Read(3, 0, 2, (("main", 0),)),))]
    declared = {point.declaration.metric: point.declaration for point in found.points.values()}
    assert declared["d/temperature"].interval_s == 20
    assert (declared["d/humidity"].unit, declared["d/humidity"].room, declared["d/humidity"].klass) == ("%RH", ROOM, "measure")
    assert device(profile="renke-rs-ws-n01", unit=3).interval_s == 30


def test_an_alias_and_a_variant_find_the_profile() -> None:
    assert device(profile="RS-WS-N01-2D", unit=1).profile.id == "renke-rs-ws-n01"
    scale = {point.id: point.scale for point in device(profile="xy-md02", unit=1, variant="x100").profile.points}
    assert scale["temperature"] == "1/100"
    assert device(profile="xy-md02", unit=1, params={"variant": "x100"}).profile.point("temperature").scale == "1/100"


def test_a_contact_module_has_the_points_that_are_wired() -> None:
    found = device(
        profile="waveshare-8di",
        unit=9,
        interval_s=30,
        channels={"di1": {"quantity": "door", "normally": "closed"}, "di4": {"quantity": "leak", "room": OTHER, "channel": "", "interval_s": 5}},
    )
    metrics = {point.key.metric: point for point in found.points.values()}
    assert set(metrics) == {"d/door/di1", "d/leak"}
    assert metrics["d/leak"].room == OTHER
    assert metrics["d/leak"].interval_s == 5
    assert metrics["d/door/di1"].interval_s == 30
    assert all(point.on_change for point in found.points.values())
    assert [job.period_s for job in found.jobs] == [1]
    assert found.profile.point("di1").invert


def test_blocks_are_joined_where_the_device_allows_it() -> None:
    apart = device(profile="wirenboard-wb-msw-v3", unit=1, interval_s=30)
    assert [len(read.blocks) for job in apart.jobs for read in job.reads] == [1] * 6
    joined = device(profile="vaisala-hmp", unit=1, interval_s=30)
    assert [job.reads for job in joined.jobs] == [(Read(3, 0, 6, (("rh", 0), ("temperatures", 2))),)]
    ups = device(profile="huawei-ups2000", unit=1, interval_s=60)
    assert {job.period_s for job in ups.jobs} == {5, 60}


def test_slow_blocks_are_not_read_more_often_than_their_profile_says() -> None:
    found = device(profile="huawei-02312pbl", unit=1, interval_s=10)
    assert sorted(job.period_s for job in found.jobs) == [10, 60]


def test_mqtt_and_camera_devices_have_one_job_without_registers() -> None:
    door = device(name="door", profile="aqara-mccgq11lm", bus="zigbee", topic="door1")
    assert (door.interval_s, len(door.jobs), door.jobs[0].reads) == (3600, 1, ())
    camera = device(name="cam", profile="generic-http-camera", bus="cams", url="http://127.0.0.1/x.jpg", interval_s=15)
    assert [job.period_s for job in camera.jobs] == [15]
    assert set(camera.points) == {"camera", "picture_age"}


TH = {"name": "a", "profile": "xy-md02", "unit": 1}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([{**TH, "profile": "nope"}], "没有设备画像 nope"),
        ([{**TH, "bus": "can"}], "没有名为 can 的总线"),
        ([{**TH, "bus": "zigbee", "topic": "x"}], "不能接在 mqtt 总线上"),
        ([{"name": "a", "profile": "xy-md02"}], "缺少 unit"),
        ([{"name": "a", "profile": "aqara-mccgq11lm", "bus": "zigbee"}], "缺少 topic"),
        ([{**TH, "variant": "x7"}], "x7"),
        ([{**TH, "params": {"colour": "red"}}], "colour"),
        ([{**TH, "channels": {"di1": {"room": OTHER}}}], "没有通道 di1"),
        ([{**TH, "profile": "waveshare-8di"}], "没有任何测点"),
        ([{**TH, "profile": "waveshare-8di", "channels": {"di1": {"normally": "closed"}}}], "写明 quantity"),
        ([{**TH, "profile": "waveshare-8di", "channels": {"di1": {"quantity": "temperature"}}}], "temperature"),
        ([{**TH, "profile": "waveshare-8di", "channels": {"di9": {"quantity": "door"}}}], "di9"),
        ([{**TH, "profile": "waveshare-8di", "channels": {d: {"quantity": "door", "channel": "x"} for d in ("di1", "di2")}}], "given twice"),
        ([TH, {**TH, "name": "b"}], "unit 1 已被同一总线上的 a 使用"),
    ],
)
def test_a_device_that_cannot_be_is_refused_with_its_line(entries: list[dict[str, Any]], words: str) -> None:
    assert words in reason(*entries)


def test_the_load_of_a_line_follows_the_budget_formula() -> None:
    read = Read(3, 0, 2, ())
    assert read_s(read, 9600, 0.02) == pytest.approx((8 + 5 + 4) * 10 / 9600 + 0.03 + 0.04)
    assert read_s(Read(2, 0, 8, ()), 4800, 0) == pytest.approx((8 + 5 + 1) * 10 / 4800 + 0.03)
    devices = [device(name=f"s{unit}", profile="generic-rs485-smoke", unit=unit) for unit in range(1, 9)]
    assert bus_load(SERIAL, devices) == pytest.approx(8 * read_s(Read(3, 16, 1, ()), 9600, 0.01))
