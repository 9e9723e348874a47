"""The broker: really MQTT, restartable after kill -9 with its sessions, and honest when it cannot start."""

import socket
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from simulators.broker import Broker, BrokerError, accepts_mqtt, free_port


def _client(name: str, clean: bool = True) -> mqtt.Client:
    return mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean)


def test_message_and_retained_message_go_through(broker: Broker) -> None:
    got: list[tuple[str, bytes]] = []
    arrived = threading.Event()
    reader, writer = _client("reader"), _client("writer")
    reader.on_connect = lambda client, *_: client.subscribe("spBv1.0/#", 0)
    subscribed = threading.Event()
    reader.on_subscribe = lambda *_: subscribed.set()

    def on_message(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        got.append((message.topic, message.payload))
        if len(got) == 2:
            arrived.set()

    reader.on_message = on_message
    writer.connect(broker.host, broker.port)
    writer.loop_start()
    writer.publish("spBv1.0/STATE/aw", b"kept", qos=1, retain=True).wait_for_publish(10)
    reader.connect(broker.host, broker.port)
    reader.loop_start()
    assert subscribed.wait(10)
    writer.publish("spBv1.0/350102/NDATA/GW-1", b"live", qos=0)
    assert arrived.wait(10)
    for client in (reader, writer):
        client.disconnect()
        client.loop_stop()
    assert sorted(got) == [("spBv1.0/350102/NDATA/GW-1", b"live"), ("spBv1.0/STATE/aw", b"kept")]


def test_killed_and_restarted_on_the_same_store_and_port(broker: Broker) -> None:
    port, pid = broker.port, broker.pid
    broker.kill()
    assert not broker.running
    assert not accepts_mqtt(broker.host, port)
    broker.start()
    assert broker.running
    assert broker.port == port
    assert broker.pid != pid
    assert accepts_mqtt(broker.host, port)


def test_paused_broker_answers_nobody_until_resumed(broker: Broker) -> None:
    broker.pause()
    assert not accepts_mqtt(broker.host, broker.port, timeout=0.2)
    assert broker.running
    broker.resume()
    assert accepts_mqtt(broker.host, broker.port, timeout=10)


def test_taken_port_is_told_with_the_log(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(BrokerError, match="address already in use"):
        Broker(tmp_path, listener.getsockname()[1]).start()


def test_commands_on_a_stopped_broker_are_refused(tmp_path: Path) -> None:
    stopped = Broker(tmp_path, free_port())
    stopped.stop()
    with pytest.raises(BrokerError, match="not running"):
        stopped.kill()
