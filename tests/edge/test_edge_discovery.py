"""Home Assistant discovery becomes profiles that our own loader and driver accept; what is code or no quantity of ours is left out with a reason."""

import json
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from contract.decoding import decode_message
from contract.profile import load_folder, load_text
from edge import cli
from edge.discover import proposals, write
from simulators.broker import Broker

DEVICE = {"ids": ["0x1"], "name": "Store 1", "mf": "Aqara", "mdl": "T1"}
ZIGBEE = {
    "homeassistant/sensor/0x1/temperature/config": {
        "name": "T", "stat_t": "zigbee2mqtt/store1", "val_tpl": "{{ value_json.temperature }}", "dev_cla": "temperature", "unit_of_meas": "°C",
        "avty": [{"t": "zigbee2mqtt/bridge/state"}], "dev": DEVICE,
    },
    "homeassistant/sensor/0x1/odd/config": {
        "name": "H", "stat_t": "zigbee2mqtt/store1", "val_tpl": "{{ value_json['humidity:0'].rh | float }}", "dev_cla": "humidity",
        "unit_of_meas": "%", "dev": DEVICE,
    },
    "homeassistant/binary_sensor/0x1/contact/config": {
        "name": "D", "~": "zigbee2mqtt/store1", "stat_t": "~", "val_tpl": "{{ value_json.contact }}", "pl_on": False, "pl_off": True,
        "dev_cla": "door", "dev": DEVICE,
    },
    "homeassistant/sensor/0x1/code/config": {
        "name": "Code", "stat_t": "x", "val_tpl": "{% if value %}1{% endif %}", "dev_cla": "humidity", "dev": DEVICE,
    },
    "homeassistant/light/0x1/light/config": {"name": "Light", "stat_t": "x", "dev": DEVICE},
}  # fmt: skip
ESP = {
    "homeassistant/device/esp/config": {
        "dev": {"ids": "esp", "name": "esp"}, "avty_t": "esp/status",
        "cmps": {"t": {"p": "sensor", "stat_t": "esp/sensor/t/state", "dev_cla": "temperature", "unit_of_meas": "°F"}},
    }
}  # fmt: skip


def messages(configs: dict[str, Any]) -> list[tuple[str, bytes]]:
    return [(topic, json.dumps(config).encode()) for topic, config in configs.items()]


def test_a_zigbee_device_becomes_one_profile() -> None:
    (found,) = proposals(messages(ZIGBEE))
    ((ident, text),) = found["profiles"].items()
    assert ident == "own-store-1"
    assert len(found["left_out"]) == 2
    profile = load_text(text, f"{ident}.yaml")
    payload = b'{"temperature": 21.5, "humidity:0": {"rh": 48}, "contact": false}'
    assert {one.point_id: one.value for one in decode_message(profile, "zigbee2mqtt/store1", payload).readings} == {
        "temperature": 21.5,
        "humidity": 48,
        "door": 1,
    }
    assert decode_message(profile, "zigbee2mqtt/bridge/state", b'{"state":"offline"}').available is False


def test_plain_values_and_fahrenheit() -> None:
    (found,) = proposals(messages(ESP))
    ((ident, text),) = found["profiles"].items()
    profile = load_text(text, f"{ident}.yaml")
    (one,) = decode_message(profile, "esp/sensor/t/state", b"68").readings
    assert (ident, one.value, one.unit) == ("own-esp-plain", 20, "°C")


KEYS = st.sampled_from(["dev", "cmps", "stat_t", "~", "val_tpl", "dev_cla", "avty", "ids", "p", "pl_on", "exp_aft"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8)


@given(st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=12))
def test_any_json_is_read_or_left_out(content: Any) -> None:
    proposals([("homeassistant/sensor/x/config", json.dumps(content).encode()), ("homeassistant/device/y/config", json.dumps(content).encode())])


def test_nothing_is_overwritten_and_own_names_are_kept_apart(tmp_path: Path) -> None:
    found = proposals(messages(ZIGBEE | ESP))
    assert len(write(found, tmp_path)) == 2
    assert write(found, tmp_path) == []
    assert set(load_folder(tmp_path)) == {"own-store-1", "own-esp-plain"}


def test_the_command_asks_a_real_broker(broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str], free_port: int) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    ready = threading.Event()
    client.on_connect = lambda *_: ready.set()
    client.connect(broker.host, broker.port)
    client.loop_start()
    assert ready.wait(20)
    for topic, payload in messages(ZIGBEE):
        client.publish(topic, payload, 1, retain=True).wait_for_publish(20)
    client.disconnect()
    client.loop_stop()
    where = ["discover", "--host", broker.host, "--json", "--seconds", "0.5", "-o", str(tmp_path)]
    assert cli.main([*where, "--port", str(broker.port)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [device["device"] for device in said["devices"]] == ["Store 1"]
    assert [Path(path).name for path in said["written"]] == ["own-store-1.yaml"]
    message = tmp_path / "message.json"
    message.write_text('{"contact": true}')
    assert cli.main(["decode", str(tmp_path / "own-store-1.yaml"), "--topic", "zigbee2mqtt/store1", "--payload", str(message)]) == 0
    assert cli.main([*where, "--port", str(free_port)]) == 5
