"""Ingest at the wire: a real broker, a client that speaks Sparkplug, a real watch and database."""

import threading
import time

import pytest

from contract.batch import Ack, Outbox, node_data
from contract.sample import PointKey, Sample
from contract.sparkplug import DataType, Metric, Payload, encode
from server.ingest.mqtt import Connection, Transport, wall_clock
from server.store import journal
from server.store.tables import Alarm, Gateway, Journal, Point, Refused
from tests.server.ingesting import Ingest
from tests.wire_edge import WAIT, Edge


@pytest.fixture
def host(slice_, broker):
    """The host application around the watch: transport, acceptor, writer thread."""
    stop = threading.Event()
    transport = Transport(Connection(host=broker.host, port=broker.port, host_id="aw", groups=("+",)), clock=wall_clock, refused=print)
    acceptor = Ingest(slice_.watch, transport.send, slice_.metrics)
    slice_.watch.open(wall_clock())
    threads = [
        threading.Thread(target=acceptor.run, args=(transport.incoming, stop, wall_clock, transport.tick)),
        threading.Thread(target=slice_.watch.run, args=(stop, wall_clock)),
    ]
    for thread in threads:
        thread.start()
    transport.start()
    yield transport
    transport.stop()
    stop.set()
    for thread in threads:
        thread.join(WAIT)


@pytest.fixture
def edge(host, broker, slice_):
    made = Edge(broker, slice_.GATEWAY)
    while not made.states.get(timeout=WAIT)[0]:
        pass
    yield made
    made.close()


def eventually(check):
    """Wait until a condition holds that other threads bring about."""
    deadline = time.monotonic() + WAIT
    while not check():
        assert time.monotonic() < deadline, "did not come true"
        threading.Event().wait(0.02)


def test_samples_are_committed_before_they_are_acknowledged(slice_, edge):
    edge.birth()
    assert edge.ack() == Ack(9, 0)
    edge.data(("th1/humidity", 55.0), ("smoke1/smoke", 1), first=1)
    assert edge.ack() == Ack(9, 2)
    assert [alarm.level for alarm in slice_.rows(Alarm)] == ["critical"]


def test_data_before_a_birth_ask_for_one(slice_, edge):
    edge.data(("th1/humidity", 55.0), first=1)
    assert edge.commands.get(timeout=WAIT).rebirth
    assert slice_.rows(Point) == []


def test_poison_is_refused_once_with_a_reason_and_the_rest_goes_on(slice_, edge):
    edge.publish("NDATA", b"\xff\xff\xff not protobuf")
    edge.publish("NBIRTH", b"")
    edge.birth()
    assert edge.ack() == Ack(9, 0)
    reasons = [row.reason for row in slice_.rows(Refused)]
    assert len(reasons) >= 1
    assert all(row.detail and row.topic.startswith("spBv1.0/350100/") for row in slice_.rows(Refused))
    edge.data(("th1/humidity", 55.0), first=1)
    assert edge.ack() == Ack(9, 1)


def test_an_impossible_value_is_bad_and_raises_nothing(slice_, edge):
    edge.birth()
    edge.ack()
    edge.data(("smoke1/smoke", 7), ("th1/humidity", 155.0), first=1)
    assert edge.ack() == Ack(9, 2)
    assert slice_.rows(Alarm) == []
    with slice_.db.read() as session:
        rows = [row for entry in journal.walk_back(session) for row in entry.columns().rows()]
    assert [(row.value, row.reason) for row in rows] == [(None, "implausible")] * 2


def test_a_gateway_of_another_make_is_accepted_without_acknowledgement(slice_, host, broker):
    foreign = Edge(broker, slice_.GATEWAY)
    while not foreign.states.get(timeout=WAIT)[0]:
        pass
    now = wall_clock()
    quality = {"Quality": 192}
    foreign.publish("NBIRTH", Payload(now, (Metric("bdSeq", None, now, DataType.INT64, 0), Metric("Node Control/Rebirth", None, now, 11, False)), 0))
    birth = Payload(now, (Metric("temperature", 1, now, DataType.DOUBLE, 21.5, properties=quality), Metric("smoke", 2, now, 11, False)), 1)
    foreign.client.publish(f"spBv1.0/350100/DBIRTH/{slice_.GATEWAY}/rack1", encode(birth)).wait_for_publish(WAIT)
    data = Payload(now + 5, (Metric(None, 2, now + 5, None, True),), 2)
    foreign.client.publish(f"spBv1.0/350100/DDATA/{slice_.GATEWAY}/rack1", encode(data)).wait_for_publish(WAIT)
    eventually(
        lambda: {(p.device, p.quantity, p.interval_ms) for p in slice_.rows(Point)} == {("rack1", "temperature", None), ("rack1", "smoke", None)}
    )
    assert not slice_.rows_of_gateway().acknowledges
    eventually(lambda: sum(row.count for row in slice_.rows(Journal)) == 3)
    assert foreign.commands.empty()
    foreign.close()


def test_an_unknown_alias_asks_for_a_rebirth(slice_, edge):
    edge.birth()
    edge.ack()
    now = wall_clock()
    stray = [Sample(PointKey.of(slice_.GATEWAY, "th9/humidity"), now, 50.0)]
    edge.publish("NDATA", node_data(stray, {"th9/humidity": 99}, now=now, seq=1, outbox=Outbox(9, 1, 1)))
    assert edge.commands.get(timeout=WAIT).rebirth


def test_a_dropped_connection_is_a_death_by_will_and_a_late_will_is_not(slice_, edge, broker):
    edge.birth()
    edge.ack()
    with slice_.db.read() as session:
        assert session.get(Gateway, slice_.GATEWAY).online
    edge.client._sock_close()  # the connection ends without DISCONNECT, as in a power cut
    eventually(lambda: not slice_.rows_of_gateway().online)


def test_host_state_is_retained_and_becomes_offline_when_it_leaves(edge, host):
    host.stop()
    while edge.states.get(timeout=WAIT)[0]:
        pass


def test_the_host_survives_the_broker(slice_, broker, edge, host):
    edge.birth()
    edge.ack()
    broker.kill()
    broker.start()
    # The retained STATE of a killed broker says online although nobody listens yet: an edge may be born unheard.
    again = Edge(broker, slice_.GATEWAY, bd_seq=1)
    while not again.states.get(timeout=WAIT)[0]:
        pass
    again.birth()
    eventually(lambda: host.connected)
    again.data(("th1/humidity", 55.0), first=1)
    if (command := again.commands.get(timeout=WAIT)).rebirth:
        again.birth()
        again.data(("th1/humidity", 55.0), first=1)
    else:
        assert command.ack == Ack(9, 0)
    while again.ack() != Ack(9, 1):
        pass
    again.close()
