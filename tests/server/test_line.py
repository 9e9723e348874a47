"""The process that talks to the broker: it hands over and publishes, is replaced when it dies, and says offline when the server leaves."""

import os
import queue
import signal
import subprocess
import sys
import time

import paho.mqtt.client as paho
import pytest

from contract.topics import read_state
from server.ingest import line as line_module
from server.ingest.line import Line
from server.ingest.mqtt import Connection, Incoming
from simulators.broker import Broker

WAIT = 20.0


class Other:
    """Somebody else at the broker: a gateway that speaks and hears."""

    def __init__(self, broker: Broker) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda _client, _userdata, message: self.heard.put((message.topic, message.payload))
        subscribed: queue.Queue[None] = queue.Queue()
        self.client.on_subscribe = lambda *_: subscribed.put(None)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        self.client.subscribe([("spBv1.0/STATE/aw", 1), ("spBv1.0/+/NCMD/+", 0)])
        subscribed.get(timeout=WAIT)

    def say(self, payload: bytes) -> None:
        self.client.publish("spBv1.0/350100/NDATA/g", payload).wait_for_publish(WAIT)

    def hears_state(self, online: bool) -> None:
        while True:
            topic, payload = self.heard.get(timeout=WAIT)
            if "STATE" in topic and read_state(payload)[0] is online:
                return

    def now(self) -> list[tuple[str, bytes]]:
        return [self.heard.get_nowait() for _ in range(self.heard.qsize())]

    def leave(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def connected(line: Line, *, after: object = None) -> None:
    """By another process than the one before."""
    deadline = time.monotonic() + WAIT
    while not line.connected or line._process is after:
        assert time.monotonic() < deadline, "never connected"
        time.sleep(0.02)


def test_the_line_is_replaced_when_its_process_dies(broker: Broker) -> None:
    refused: list[tuple[str, int]] = []
    line = Line(Connection(host=broker.host, port=broker.port, host_id="aw", groups=("+",)), lambda *what: refused.append(what))
    line.start()
    connected(line)
    other = Other(broker)
    for number in range(50):
        other.say(b"%d" % number)
    first = [line.incoming.get(timeout=WAIT) for _ in range(50)]
    assert [one.payload for one in first] == [b"%d" % number for number in range(50)]
    assert line._process is not None
    os.kill(line._process.pid, signal.SIGKILL)
    other.hears_state(False)  # its Will
    other.hears_state(True)
    connected(line)
    other.say(b"again")
    again: Incoming = line.incoming.get(timeout=WAIT)
    assert again.payload == b"again"
    assert again.connection > first[-1].connection  # births of the time between were not heard: ingest must ask for them
    line.send("spBv1.0/350100/NCMD/g", b"ack")
    while (heard := other.heard.get(timeout=WAIT))[0] != "spBv1.0/350100/NCMD/g":
        pass
    assert heard[1] == b"ack"
    line.stop()
    other.hears_state(False)
    assert not refused
    other.leave()


def test_a_process_that_dies_with_something_still_to_be_said_is_replaced(broker: Broker) -> None:
    line = Line(Connection(host=broker.host, port=broker.port, host_id="aw", groups=("+",)), lambda *_: None)
    line.start()
    connected(line)
    process = line._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.write(b"\0")  # not yet flushed: what closes the pipe finds that nobody reads it
    os.kill(process.pid, signal.SIGKILL)
    other = Other(broker)
    connected(line, after=process)
    line.send("spBv1.0/350100/NCMD/h", b"ack")
    while (heard := other.heard.get(timeout=WAIT))[0] != "spBv1.0/350100/NCMD/h":
        pass
    assert heard[1] == b"ack"
    line.stop()
    other.leave()


def test_a_frame_that_cannot_be_read_costs_the_process_and_not_the_line(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = [b"\xc1"]  # a byte that MessagePack never uses
    decode = line_module._armful.decode

    class Damaging:
        def decode(self, frame: bytes) -> line_module.Armful:
            return decode(damaged.pop() if damaged else frame)

    monkeypatch.setattr(line_module, "_armful", Damaging())
    line = Line(Connection(host=broker.host, port=broker.port, host_id="aw", groups=("+",)), lambda *_: None)
    line.start()
    connected(line)
    assert not damaged
    other = Other(broker)
    other.say(b"heard")
    assert line.incoming.get(timeout=WAIT).payload == b"heard"
    line.stop()
    other.leave()


FROZEN = """
import sys, time
from server.ingest.line import Line
from server.ingest.mqtt import Connection
line = Line(Connection(host=sys.argv[1], port=int(sys.argv[2]), host_id="aw", groups=("+",), patience_s=1.0), lambda *_: None)
line.start()
sys.stdin.read()
line.stop()
"""


def test_a_server_that_stands_still_is_said_to_be_offline_and_comes_back_when_it_goes_on(broker: Broker) -> None:
    other = Other(broker)
    server = subprocess.Popen([sys.executable, "-c", FROZEN, broker.host, str(broker.port)], stdin=subprocess.PIPE)
    try:
        other.hears_state(True)
        for _ in range(3):  # calm, but alive: STATE stays
            time.sleep(0.7)
            assert all(read_state(payload)[0] for topic, payload in other.now() if "STATE" in topic)
        os.kill(server.pid, signal.SIGSTOP)
        other.hears_state(False)
        os.kill(server.pid, signal.SIGCONT)
        other.hears_state(True)
        server.communicate(timeout=WAIT)
        other.hears_state(False)
    finally:
        server.kill()
        other.leave()
