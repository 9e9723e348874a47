"""What goes first when much waits: at the decoding and at the writer, and that nobody's order is broken and nobody starves."""

import queue

import pytest

from contract.batch import Outbox, PointDeclaration, node_birth, node_data
from contract.sample import PointKey, Quality, Sample
from contract.sparkplug import encode
from server.ingest.accept import Acceptor
from server.ingest.lanes import Lanes
from server.ingest.mqtt import Incoming
from server.ingest.session import NodeSession
from server.metrics import Metrics
from server.watch.commands import Report
from server.watch.inbox import GROUP_SAMPLES, Inbox
from server.watch.inputs import GatewayBirth, GatewayData

T0 = 1_790_000_000_000
NAMES = ("th1/temperature", "s1/smoke")


def message(node: str, text: str) -> Incoming:
    return Incoming(f"spBv1.0/350100/NDATA/{node}", text.encode(), T0)


def test_what_hurries_goes_first_and_takes_what_waits_of_its_sender_along() -> None:
    incoming: queue.Queue[Incoming] = queue.Queue()
    for node, text in (("a", "1"), ("b", "1"), ("b", "2"), ("c", "1"), ("b", "smoke"), ("a", "2"), ("b", "3")):
        incoming.put(message(node, text))
    lanes = Lanes(incoming, lambda one: one.payload == b"smoke", few=1)
    order = [(found.topic[-1], found.payload.decode()) for _ in range(7) if (found := lanes.next(0)) is not None]
    assert order == [("b", "1"), ("b", "2"), ("b", "smoke"), ("a", "1"), ("c", "1"), ("a", "2"), ("b", "3")]
    assert lanes.next(0) is None


def test_while_few_wait_nobody_looks_into_them() -> None:
    incoming: queue.Queue[Incoming] = queue.Queue()
    lanes, looked = Lanes(incoming, lambda one: looked.append(one) or True, few=3), []
    for text in "123":
        incoming.put(message("a", text))
    assert [lanes.next(0).payload for _ in range(3)] == [b"1", b"2", b"3"]
    assert looked == []


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
    node = NodeSession("350100", "g")
    node.birth(bd_seq=0, seq=0, names=dict(enumerate(NAMES)), acknowledges=True)
    assert not node.brings_news(data(1, 0.0).payload)  # the first of all says that all is well
    assert not node.news([Sample(PointKey.of("g", NAMES[1]), T0, 0.0)])
    assert node.brings_news(data(2, smoke, temperature=30.0).payload) is news
    assert not node.brings_news(b"\xff\xff poison")


class Door:
    """Stands for the watch; keeps what it is offered."""

    def __init__(self) -> None:
        self.inbox, self.offered = Inbox(50), []

    def offer(self, item):
        self.offered.append(item)
        return self.inbox.put(item)

    def aside(self):
        """Judges nothing."""

    def set_aside(self, *_):
        raise AssertionError("nothing here is poison")


def test_a_smoke_message_behind_a_backlog_is_decoded_next() -> None:
    door = Door()
    acceptor = Acceptor(door, lambda *_: None, Metrics())
    points = [PointDeclaration(name, n, "", "", 10.0) for n, name in enumerate(NAMES)]
    for node in ("g", "h"):
        acceptor.accept(Incoming(f"spBv1.0/350100/NBIRTH/{node}", encode(node_birth(points, now=T0, bd_seq=0, outbox=Outbox(7, 1, 0))), T0))
        acceptor.accept(data(1, 0.0, node))
    incoming: queue.Queue[Incoming] = queue.Queue()
    for seq in range(2, 30):
        incoming.put(data(seq, 0.0, "h"))
    incoming.put(data(2, 1.0, "g"))
    lanes = Lanes(incoming, acceptor.hurries)
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
