"""The protocol of a simulated gateway without a socket, with time as an argument."""

import itertools
import random

import pytest

from contract import batch, topics
from contract.batch import Ack, Outbox
from contract.sample import Quality, Sample
from contract.sparkplug import Payload, decode, encode
from contract.topics import Kind
from simulators.fleet_node import EdgeNode, Node, Publish
from simulators.fleet_plain import PlainNode
from simulators.fleet_source import synthetic
from simulators.province_rows import Point

STATE = topics.state_topic("aw")
EPOCH = 77


def _points(count: int = 4) -> list[Point]:
    return synthetic(1, count, 10)


def _node(capacity: int = 100_000, points: list[Point] | None = None) -> EdgeNode:
    return EdgeNode(points or _points(), "aw", 5, epoch=EPOCH, rng=random.Random(1), capacity=capacity)


def _online(node: Node, now: int = 0, at: int = 1) -> list[Publish]:
    node.will(now)
    node.connected()
    node.message(STATE, topics.state_payload(True, at))
    return node.run_once(now)


def _measure(node: Node, now: int, points: list[Point] | None = None, value: float = 20.0) -> None:
    node.sample([Sample(p.key, now, value) for p in points or node.points], now)


def _kinds(sent: list[Publish]) -> list[Kind]:
    return [topics.parse(p.topic).kind for p in sent]


def _range(sent: Publish) -> tuple[int, int]:
    data = batch.read_data(
        decode(sent.payload), "FL-0001", dict(enumerate(("th1/temperature", "th1/humidity", "th2/temperature", "th2/humidity"), 1))
    )
    assert data.outbox is not None
    assert data.outbox.epoch == EPOCH
    return data.outbox.first, data.outbox.last


def _ack(node: Node, upto: int, epoch: int = EPOCH) -> None:
    node.message("spBv1.0/350100/NCMD/FL-0001", encode(batch.outbox_ack(Ack(epoch, upto), 0)))


def test_will_carries_the_bd_seq_of_the_birth_that_follows() -> None:
    node = _node()
    for expected in (5, 6, 7):
        will = node.will(0)
        assert will.topic == "spBv1.0/350100/NDEATH/FL-0001"
        assert batch.read_birth(decode(will.payload)).bd_seq == expected
        node.connected()
        node.message(STATE, topics.state_payload(True, 1))
        (birth,) = node.run_once(0)
        assert batch.read_birth(decode(birth.payload)).bd_seq == expected
        node.lost()


def test_bd_seq_runs_to_255_and_starts_again() -> None:
    node = EdgeNode(_points(), "aw", 255, epoch=EPOCH, rng=random.Random(1))
    assert [batch.read_birth(decode(node.will(0).payload)).bd_seq for _ in range(2)] == [255, 0]


def test_birth_waits_for_the_host_and_declares_points_and_outbox() -> None:
    node = _node()
    node.will(0)
    node.connected()
    _measure(node, 0)
    assert node.run_once(0) == []
    assert node.subscriptions == ("spBv1.0/350100/NCMD/FL-0001", STATE)
    node.message(STATE, topics.state_payload(False, 1))
    assert node.run_once(1) == []
    node.message(STATE, topics.state_payload(True, 2))
    birth, data = node.run_once(2)
    payload = decode(birth.payload)
    read = batch.read_birth(payload)
    assert payload.seq == 0
    assert read.outbox == Outbox(EPOCH, 1, 4)
    assert [(p.metric, p.interval_s, p.klass, p.unit) for p in read.points][:2] == [
        ("th1/temperature", 10.0, "measure", "°C"),
        ("th1/humidity", 10.0, "measure", "%RH"),
    ]
    assert {v.value for v in read.values} == {20.0}
    assert _range(data) == (1, 4)


def test_no_host_id_means_no_waiting() -> None:
    node = EdgeNode(_points(), "", epoch=EPOCH, rng=random.Random(1))
    node.will(0)
    node.connected()
    assert _kinds(node.run_once(0)) == [Kind.NBIRTH]
    assert node.subscriptions == ("spBv1.0/350100/NCMD/FL-0001",)


def test_stale_state_does_not_count() -> None:
    node = _node()
    _online(node, at=10)
    node.message(STATE, topics.state_payload(False, 9))
    assert not node.leaving
    node.message(STATE, topics.state_payload(False, 10))
    assert node.leaving
    assert _kinds(node.run_once(0)) == [Kind.NDEATH]
    assert not node.born


def test_acknowledged_readings_are_forgotten_and_nothing_is_sent_twice() -> None:
    node = _node()
    _online(node)
    _measure(node, 10_000)
    (first,) = node.run_once(10_000)
    assert _range(first) == (1, 4)
    assert node.run_once(10_001) == []
    _ack(node, 4)
    assert (node.unacknowledged, node.counters.acknowledged, node.due(10_001)) == (0, 4, None)
    assert node.run_once(1_000_000) == []


def test_acknowledgements_of_something_else_are_refused() -> None:
    node = _node()
    _online(node)
    _measure(node, 10_000)
    _ack(node, 4, epoch=EPOCH + 1)
    _ack(node, 5)
    node.message("spBv1.0/350100/NCMD/FL-0001", b"\xff\xff\xff")
    assert (node.unacknowledged, node.counters.refused) == (4, 3)


def test_partial_acknowledgement_keeps_the_rest() -> None:
    node = _node()
    _online(node)
    for now in (10_000, 20_000):
        _measure(node, now)
    _ack(node, 6)
    assert node.unacknowledged == 4
    assert _range(node.run_once(20_000)[0]) == (5, 8)


def test_missing_acknowledgement_means_resend_with_growing_patience() -> None:
    node = _node()
    _online(node)
    _measure(node, 0)
    times = []
    for now in range(0, 200_000, 500):
        for sent in node.run_once(now):
            data = batch.read_data(decode(sent.payload), "FL-0001", dict(enumerate(["th1/temperature"] * 4, 1)))
            times.append((now, data.samples[0].historical))
    waits = [b[0] - a[0] for a, b in itertools.pairwise(times)]
    assert len(waits) == 3
    assert all(0.75 * base <= wait <= 1.25 * base + 500 for wait, base in zip(waits, (15_000, 30_000, 60_000), strict=True))
    assert [historical for _, historical in times] == [False, False, True, True]
    assert node.counters.resent == 3


def test_an_alarm_is_resent_sooner() -> None:
    smoke = [p._replace(device="smoke1", quantity="smoke", klass="alarm") for p in _points(1)]
    node = _node(points=smoke)
    _online(node)
    _measure(node, 0, value=1.0)
    node.run_once(0)
    assert node.run_once(1_400) == []
    assert len(node.run_once(2_501)) == 1


def test_seq_counts_all_messages_modulo_256() -> None:
    node = _node()
    seqs = [decode(p.payload).seq for p in _online(node)]
    for turn in range(1, 300):
        _measure(node, turn * 10_000)
        seqs += [decode(p.payload).seq for p in node.run_once(turn * 10_000)]
        _ack(node, turn * 4)
    assert seqs == [n % 256 for n in range(300)]


def test_rebirth_starts_again_with_the_same_bd_seq() -> None:
    node = _node()
    _online(node)
    _measure(node, 0)
    node.run_once(0)
    node.message("spBv1.0/350100/NCMD/FL-0001", encode(batch.rebirth_command(0)))
    (birth,) = node.run_once(1)
    assert (batch.read_birth(decode(birth.payload)).bd_seq, decode(birth.payload).seq) == (5, 0)
    _measure(node, 10_000)
    assert decode(node.run_once(10_000)[-1].payload).seq == 1
    assert node.counters.births == 2


def test_after_an_outage_the_newest_goes_first_and_no_more_than_the_window() -> None:
    node = _node()
    for turn in range(1, 31):
        _measure(node, turn * 10_000)
    sent = _online(node, now=300_000)
    assert _kinds(sent) == [Kind.NBIRTH] + [Kind.NDATA] * 20
    assert [_range(p)[0] for p in sent[1:4]] == [117, 1, 5]
    assert batch.read_data(decode(sent[2].payload), "g", dict(enumerate(["th1/temperature"] * 4, 1))).samples[0].historical
    assert node.run_once(300_001) == []
    due = node.due(300_001)
    assert due is not None
    assert due > 310_000
    _ack(node, 8)
    assert [_range(p)[0] for p in node.run_once(300_002)] == [113, 77]


def test_lost_connection_sends_again_what_was_on_its_way() -> None:
    node = _node()
    _online(node)
    _measure(node, 10_000)
    node.run_once(10_000)
    node.lost()
    assert node.due(10_001) is None
    birth, data = _online(node, now=11_000)
    assert batch.read_birth(decode(birth.payload)).outbox == Outbox(EPOCH, 1, 4)
    assert _range(data) == (1, 4)


def test_full_outbox_gives_up_the_oldest_and_says_so() -> None:
    node = _node(capacity=8)
    for turn in range(1, 6):
        _measure(node, turn * 10_000)
    assert (node.unacknowledged, node.counters.evicted) == (8, 12)
    birth, newest, gap, other = _online(node, now=50_000)
    assert batch.read_birth(decode(birth.payload)).outbox == Outbox(EPOCH, 1, 20)
    read = batch.read_data(decode(gap.payload), "g", {})
    assert (read.gap, read.outbox, read.samples) == ("evicted", Outbox(EPOCH, 1, 12), ())
    assert (_range(newest), _range(other)) == ((17, 20), (13, 16))
    _ack(node, 20)
    assert (node.unacknowledged, node.due(50_000)) == (0, None)


def test_many_points_are_split_over_messages() -> None:
    node = _node(points=_points(900))
    sent = _online(node)
    _measure(node, 10_000)
    sent = node.run_once(10_000)
    assert [len(decode(p.payload).metrics) - 3 for p in sent] == [100, 400, 400]
    assert all(len(p.payload) <= batch.MAX_BYTES for p in sent)


def test_leaving_says_the_death_of_this_session_once() -> None:
    node = _node()
    _online(node)
    (death,) = node.leave(1)
    assert batch.read_birth(decode(death.payload)).bd_seq == 5
    assert node.leave(2) == []


def _read_device(sent: Publish, device: str) -> batch.Birth:
    return batch.read_birth(decode(sent.payload), device)


def test_foreign_make_has_devices_and_nothing_of_ours() -> None:
    node = PlainNode(_points(4), "aw")
    _measure(node, 0)
    assert node.counters.dropped == 4
    sent = _online(node, now=1)
    assert _kinds(sent) == [Kind.NBIRTH, Kind.DBIRTH, Kind.DBIRTH]
    assert [decode(p.payload).seq for p in sent] == [0, 1, 2]
    assert batch.read_birth(decode(sent[0].payload)).outbox is None
    born = _read_device(sent[2], "th2")
    assert [(p.metric, p.room, p.interval_s, p.unit) for p in born.points] == [
        ("th2/temperature", "", None, "°C"),
        ("th2/humidity", "", None, "%RH"),
    ]
    _measure(node, 10_000, points=list(node.points[2:]))
    (data,) = node.run_once(10_000)
    assert topics.parse(data.topic).device == "th2"
    read = batch.read_data(decode(data.payload), "FL-0001", born.names, device="th2")
    assert [(str(s.point), s.taken_at, s.value, s.quality) for s in read.samples] == [
        ("FL-0001/th2/temperature", 10_000, 20.0, Quality.GOOD),
        ("FL-0001/th2/humidity", 10_000, 20.0, Quality.GOOD),
    ]
    assert read.outbox is None
    assert node.run_once(999_999) == []
    _ack(node, 4)
    assert (node.counters.refused, node.unacknowledged) == (1, 0)


def test_synthetic_points() -> None:
    points = synthetic(2, 3, 10, group="350200", prefix="X")
    assert [(p.gateway, p.key.metric, p.group) for p in points][2:4] == [
        ("X-0001", "th2/temperature", "350200"),
        ("X-0002", "th1/temperature", "350200"),
    ]
    with pytest.raises(ValueError, match="at least 1"):
        synthetic(0, 1, 10)


def test_payload_without_outbox_is_standard_sparkplug() -> None:
    (death,) = [PlainNode(_points(), "").will(7)]
    assert isinstance(decode(death.payload), Payload)
    assert decode(death.payload).seq is None
