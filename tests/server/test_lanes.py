"""What goes first when much waits: at the decoding and at the writer, and that nobody's order is broken and nobody starves."""

import queue

import pytest

from contract.batch import Outbox, PointDeclaration, node_birth, node_data
from contract.sample import PointKey, Quality, Sample
from contract.sparkplug import Metric, Payload, encode
from server.ingest import lanes as lanes_module
from server.ingest.accept import Acceptor
from server.ingest.lanes import Lanes
from server.ingest.mqtt import Incoming
from server.ingest.scout import Scout
from server.metrics import Metrics
from server.watch.commands import Report
from server.watch.inbox import GROUP_SAMPLES, Inbox
from server.watch.inputs import GatewayBirth, GatewayData

T0 = 1_790_000_000_000
NAMES = ("th1/temperature", "s1/smoke")


def message(node: str, text: str) -> Incoming:
    return Incoming(f"spBv1.0/350100/NDATA/{node}", text.encode(), T0, hurries=text == "smoke")


def test_what_hurries_goes_first_and_takes_what_waits_of_its_sender_along() -> None:
    incoming: queue.Queue[Incoming] = queue.Queue()
    for node, text in (("a", "1"), ("b", "1"), ("b", "2"), ("c", "1"), ("b", "smoke"), ("a", "2"), ("b", "3")):
        incoming.put(message(node, text))
    lanes = Lanes(incoming)
    assert lanes.pressing()
    order = [(found.topic[-1], found.payload.decode()) for _ in range(7) if (found := lanes.next(0)) is not None]
    assert order == [("b", "1"), ("b", "2"), ("b", "smoke"), ("a", "1"), ("c", "1"), ("a", "2"), ("b", "3")]
    assert lanes.next(0) is None
    assert not lanes.pressing()


def test_no_more_wait_in_the_lanes_than_the_queue_may_hold(monkeypatch) -> None:
    monkeypatch.setattr(lanes_module, "QUEUE_LIMIT", 2)
    incoming: queue.Queue[Incoming] = queue.Queue()
    for text in "1234":
        incoming.put(message("a", text))
    lanes = Lanes(incoming)
    assert not lanes.pressing()
    assert incoming.qsize() == 2
    assert [lanes.next(0).payload for _ in range(4)] == [b"1", b"2", b"3", b"4"]


def birth(node: str = "g", names: tuple[str, ...] = NAMES) -> Incoming:
    points = [PointDeclaration(name, n, "", "", 10.0) for n, name in enumerate(names)]
    return Incoming(f"spBv1.0/350100/NBIRTH/{node}", encode(node_birth(points, now=T0, bd_seq=0, outbox=Outbox(7, 1, 0))), T0)


def data(seq: int, smoke: float | None, node: str = "g", temperature: float = 20.0) -> Incoming:
    quality = Quality.GOOD if smoke is not None else Quality.BAD
    samples = [
        Sample(PointKey.of(node, NAMES[0]), T0 + seq, temperature),
        Sample(PointKey.of(node, NAMES[1]), T0 + seq, smoke, quality),
    ]
    body = node_data(samples, {name: n for n, name in enumerate(NAMES)}, now=T0, seq=seq, outbox=Outbox(7, 2 * seq + 1, 2 * seq + 2))
    return Incoming(f"spBv1.0/350100/NDATA/{node}", encode(body), T0)


@pytest.mark.parametrize(("smoke", "news"), [(0.0, False), (1.0, True), (None, True)])
def test_only_a_change_of_the_alarm_class_is_news(smoke: float | None, news: bool) -> None:
    scout = Scout()
    hurries = lambda one: scout.hurries(one.topic, one.payload)  # noqa: E731 - short
    assert not hurries(data(0, 1.0))  # nothing is known of a node before its birth
    assert not hurries(birth())
    assert not hurries(data(1, 0.0))  # the first of all says that all is well
    assert hurries(data(2, smoke, temperature=30.0)) is news
    assert not hurries(data(3, smoke))  # said already
    assert not hurries(data(4, 1.0, "h"))
    assert not scout.hurries("spBv1.0/350100/NDATA/g", b"\xff\xff poison")
    assert not scout.hurries("spBv1.0/350100/NBIRTH/g", b"\xff\xff poison")
    assert not scout.hurries("spBv1.0/350100", b"")


def test_a_device_adds_its_aliases_and_a_new_birth_forgets_the_old() -> None:
    scout = Scout()
    scout.hurries(*birth()[:2])
    body = Payload(T0, (Metric(name="leak", alias=9, timestamp=T0, datatype=11, value=False),), 1)
    scout.hurries("spBv1.0/350100/DBIRTH/g/cellar", encode(body))
    wet = Payload(T0, (Metric(alias=9, timestamp=T0, datatype=11, value=True),), 2)
    assert scout.hurries("spBv1.0/350100/DDATA/g/cellar", encode(wet))
    assert scout.hurries(*data(3, 1.0)[:2])
    scout.hurries(*birth(names=NAMES[:1])[:2])
    assert not scout.hurries(*data(1, 0.0)[:2])


class Door:
    """Stands for the watch; keeps what it is offered."""

    def __init__(self) -> None:
        self.inbox, self.offered = Inbox(50), []

    def offer(self, item):
        self.offered.append(item)
        return self.inbox.put(item)

    def aside(self, _most_s):
        return True  # judges nothing

    def set_aside(self, *_):
        raise AssertionError("nothing here is poison")


def test_a_smoke_message_behind_a_backlog_is_decoded_next() -> None:
    door = Door()
    acceptor = Acceptor(door, lambda *_: None, Metrics())
    for node in ("g", "h"):
        acceptor.accept(birth(node))
        acceptor.accept(data(1, 0.0, node))
    incoming: queue.Queue[Incoming] = queue.Queue()
    for seq in range(2, 30):
        incoming.put(data(seq, 0.0, "h"))
    incoming.put(data(2, 1.0, "g")._replace(hurries=True))
    lanes = Lanes(incoming)
    acceptor.accept(lanes.next(0))
    assert isinstance(door.offered[-1], GatewayData)
    assert (door.offered[-1].gateway, door.offered[-1].urgent) == ("g", True)


def batch(gateway: str, count: int = 1, urgent: bool = False) -> GatewayData:
    sample = Sample(PointKey.of(gateway, "th1/temperature"), T0, 20.0)
    return GatewayData(gateway=gateway, received_at=T0, samples=(sample,) * count, urgent=urgent)


def gateways(group) -> list[str]:
    return [getattr(item, "gateway", "command") for item, _ in group]


def test_the_writer_judges_what_hurries_in_a_group_of_its_own_and_then_the_others() -> None:
    inbox = Inbox(50)
    for item in (batch("a"), batch("b"), batch("c"), batch("b", urgent=True), Report(by="li", room="r")):
        inbox.put(item)
    assert gateways(inbox.take()) == ["b", "b", "command"]
    inbox.put(batch("d", urgent=True))
    assert gateways(inbox.take()) == ["a", "c", "d"]  # nobody starves: after what hurried comes what waited
    assert inbox.take() == []


def test_what_hurries_is_let_into_the_group_that_is_judged_once_a_good_part_of_it_has_been() -> None:
    inbox = Inbox(50)
    for name in "abcd":
        inbox.put(batch(name, 300))
    group = inbox.take()
    assert not inbox.pressing(300)
    inbox.put(batch("c", urgent=True))
    inbox.put(batch("e", urgent=True))
    assert inbox.pressing(300)
    inbox.let_in(group, 2)
    assert gateways(group) == ["a", "b", "c", "c", "e"]  # behind what waits of its own gateway
    inbox.put(batch("f", urgent=True))
    assert not inbox.pressing(10_000)  # once in a group, or it would never be committed
    assert gateways(inbox.take()) == ["d", "f"]


def test_nothing_is_let_into_a_group_before_a_good_part_is_judged_nor_where_every_input_stands_alone() -> None:
    inbox = Inbox(50)
    for name in "ab":
        inbox.put(batch(name, 300))
    group = inbox.take(alone=True)
    inbox.put(batch("c", urgent=True))
    assert gateways(group) == ["a"]
    assert not inbox.pressing(10_000)
    assert gateways(inbox.take()) == ["c"]
    inbox.put(batch("d", urgent=True))
    assert gateways(inbox.take()) == ["b", "d"]
    assert not inbox.pressing(300)


def test_a_group_is_closed_by_its_samples_and_births_count_theirs() -> None:
    inbox = Inbox(50)
    points = tuple(PointDeclaration(f"d{n}/temperature", n, "", "", 10.0) for n in range(GROUP_SAMPLES))
    inbox.put(GatewayBirth(gateway="a", group="350100", received_at=T0, bd_seq=0, outbox=None, points=points))
    for name in ("b", "c", "d"):
        inbox.put(batch(name, GROUP_SAMPLES // 2))
    assert [gateways(inbox.take()) for _ in range(3)] == [["a"], ["b", "c"], ["d"]]
    assert len(inbox) == 0


def test_all_nodes_are_looked_at_now_and_then_and_not_behind_each_message() -> None:
    acceptor, seen = Acceptor(Door(), lambda *_: None, Metrics()), []
    for now in range(T0, T0 + 1_000, 10):
        acceptor.beside(now, seen.append)
    assert seen == [T0, T0 + 250, T0 + 500, T0 + 750]
