"""The process that talks to the broker: it hands over and publishes, is replaced when it dies, and says offline when the server leaves."""

import os
import queue
import signal
import subprocess
import sys
import time
from collections import Counter

import paho.mqtt.client as paho
import pytest
from sqlalchemy.exc import OperationalError

from contract.batch import Ack, Outbox, PointDeclaration, node_birth, node_data, read_command
from contract.sample import PointKey, Sample
from contract.sparkplug import decode, encode
from contract.topics import read_state
from server.ingest import line as line_module
from server.ingest.frames import Armful, Poison, Readings, Settled
from server.ingest.line import Line
from server.ingest.mqtt import Connection
from server.watch.inputs import Columns, GatewayBirth
from simulators.broker import Broker

WAIT = 60.0


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
        """Something that cannot be read: it comes out as poison, with its bytes."""
        self.client.publish("spBv1.0/350100/NDATA/g", b"\xff" + payload).wait_for_publish(WAIT)

    def hears(self, topic: str) -> bytes:
        while (heard := self.heard.get(timeout=WAIT))[0] != topic:
            pass
        return heard[1]

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


class Listener:
    """The server's end: what comes out of the line."""

    def __init__(self) -> None:
        self._heard: queue.Queue[object] = queue.Queue()
        self.counts: Counter[str] = Counter()

    def __call__(self, armful: Armful) -> None:
        self.counts += Counter(armful.counts)
        for item in armful.heard:
            self._heard.put(item)

    def next(self) -> object:
        return self._heard.get(timeout=WAIT)

    def word(self) -> bytes:
        poison = self.next()
        assert isinstance(poison, Poison)
        return poison.payload.removeprefix(b"\xff")


def connected(line: Line, *, after: object = None) -> None:
    """By another process than the one before."""
    deadline = time.monotonic() + WAIT
    while not line.connected or line._process is after:
        assert time.monotonic() < deadline, "never connected"
        time.sleep(0.02)


def test_the_line_is_replaced_when_its_process_dies(broker: Broker) -> None:
    line, listener = Line(Connection(host=broker.host, port=broker.port, host_id="aw", groups=("+",))), Listener()
    line.start(listener)
    connected(line)
    other = Other(broker)
    for number in range(50):
        other.say(b"%d" % number)
    assert [listener.word() for _ in range(50)] == [b"%d" % number for number in range(50)]
    assert line._process is not None
    os.kill(line._process.pid, signal.SIGKILL)
    other.hears_state(False)  # its Will
    other.hears_state(True)
    connected(line)
    other.say(b"again")
    assert listener.word() == b"again"
    line.send("spBv1.0/350100/NCMD/g", b"ack")
    assert other.hears("spBv1.0/350100/NCMD/g") == b"ack"
    line.stop()
    other.hears_state(False)
    assert not listener.counts
    other.leave()


def test_readings_come_out_and_are_acknowledged_and_an_old_birth_is_refused(broker: Broker) -> None:
    line, listener = Line(Connection(host=broker.host, port=broker.port, host_id="aw", groups=("+",))), Listener()
    now = time.time_ns() // 1_000_000
    line.start(listener, lambda: [("350100", "g", 7, now)])
    connected(line)
    other = Other(broker)
    point = PointDeclaration("s1/smoke", 1, "", "", 10.0)
    old, new = (encode(node_birth([point], now=now + step, bd_seq=7 + step, outbox=Outbox(5, 1, 0))) for step in (-1, 1))
    sample = Sample(PointKey.of("g", "s1/smoke"), now + 2, 1.0)
    data = encode(node_data([sample], {"s1/smoke": 1}, now=now + 2, seq=1, outbox=Outbox(5, 1, 1)))
    for kind, payload in (("NBIRTH", old), ("NBIRTH", new), ("NDATA", data)):
        other.client.publish(f"spBv1.0/350100/{kind}/g", payload).wait_for_publish(WAIT)
    birth, readings = listener.next(), listener.next()
    assert isinstance(birth, GatewayBirth)
    assert (birth.bd_seq, [declared.metric for declared in birth.points]) == (8, ["s1/smoke"])
    assert isinstance(readings, Readings)
    assert readings.samples == Columns.of([sample])
    assert readings.urgent
    assert listener.counts == {"replayed": 1}
    line.settle(Settled("350100", "g", 5, 1, now))
    assert read_command(decode(other.hears("spBv1.0/350100/NCMD/g"))).ack == Ack(5, 1)
    line.stop()
    other.leave()


def test_a_process_that_dies_with_something_still_to_be_said_is_replaced(broker: Broker) -> None:
    line, listener = Line(Connection(host=broker.host, port=broker.port, host_id="aw", groups=("+",))), Listener()
    line.start(listener)
    connected(line)
    process = line._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.write(b"\0")  # not yet flushed: what closes the pipe finds that nobody reads it
    os.kill(process.pid, signal.SIGKILL)
    other = Other(broker)
    connected(line, after=process)
    line.send("spBv1.0/350100/NCMD/h", b"ack")
    assert other.hears("spBv1.0/350100/NCMD/h") == b"ack"
    line.stop()
    other.leave()


def test_a_database_that_is_away_at_the_start_delays_the_line_and_does_not_end_it(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "_PAUSE_S", 0.01)
    line, listener, away = Line(Connection(host=broker.host, port=broker.port, host_id="aw", groups=("+",))), Listener(), [True, True]

    def births():
        if away and away.pop():
            raise OperationalError("SELECT", {}, OSError("no database"))
        return ()

    line.start(listener, births)
    connected(line)
    assert not away
    other = Other(broker)
    other.say(b"heard")
    assert listener.word() == b"heard"
    line.stop()
    other.leave()


def test_a_frame_that_cannot_be_read_costs_the_process_and_not_the_line(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = [b"\xc1"]  # a byte that MessagePack never uses
    decode = line_module._armful.decode

    class Damaging:
        def decode(self, frame: bytes) -> Armful:
            return decode(damaged.pop() if damaged else frame)

    monkeypatch.setattr(line_module, "_armful", Damaging())
    line, listener = Line(Connection(host=broker.host, port=broker.port, host_id="aw", groups=("+",))), Listener()
    line.start(listener)
    connected(line)
    assert not damaged
    other = Other(broker)
    other.say(b"heard")
    assert listener.word() == b"heard"
    line.stop()
    other.leave()


FROZEN = """
import sys, time
from server.ingest.line import Line
from server.ingest.mqtt import Connection
line = Line(Connection(host=sys.argv[1], port=int(sys.argv[2]), host_id="aw", groups=("+",), patience_s=1.0))
line.start(lambda _armful: None)
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
