"""What goes first when much waits: at the decoding and at the writer, and that nobody's order is broken and nobody starves."""

import queue
import subprocess
import sys
from concurrent.futures import Future

import msgspec
import pytest

from contract.batch import Outbox, PointDeclaration, node_birth, node_data, read_command
from contract.sample import PointKey, Quality, Sample
from contract.sparkplug import decode, encode
from server.ingest import accept, bounds
from server.ingest import lanes as lanes_module
from server.ingest.accept import ASIDE, BACKLOG, Acceptor
from server.ingest.frames import Armful, Logbook, Poison, pack, unpack
from server.ingest.lanes import Lanes
from server.ingest.mqtt import Incoming
from server.ingest.reader import Reader
from server.ingest.session import NodeSession
from server.metrics import Metrics
from server.store.tables import Gateway, Point
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
    lanes = Lanes(incoming, lambda one: one.payload == b"smoke", little=1)
    order = [(found.topic[-1], found.payload.decode()) for _ in range(7) if (found := lanes.next(0)) is not None]
    assert order == [("b", "1"), ("b", "2"), ("b", "smoke"), ("a", "1"), ("c", "1"), ("a", "2"), ("b", "3")]
    assert lanes.next(0) is None


def test_while_little_waits_nobody_looks_into_them() -> None:
    incoming: queue.Queue[Incoming] = queue.Queue()
    lanes, looked = Lanes(incoming, lambda one: looked.append(one) or True, little=3), []
    for text in "123":
        incoming.put(message("a", text))
    assert [lanes.next(0).payload for _ in range(3)] == [b"1", b"2", b"3"]
    assert looked == []


def test_no_more_wait_in_the_lanes_than_the_queue_may_hold(monkeypatch) -> None:
    monkeypatch.setattr(lanes_module, "QUEUE_LIMIT", 2)
    incoming: queue.Queue[Incoming] = queue.Queue()
    for text in "1234":
        incoming.put(message("a", text))
    lanes = Lanes(incoming, lambda _one: False)
    assert lanes.next(0).payload == b"1"
    assert incoming.qsize() == 2
    assert [lanes.next(0).payload for _ in range(3)] == [b"2", b"3", b"4"]


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
    assert not node.news([(NAMES[1], (0.0, Quality.GOOD))])
    assert node.brings_news(data(2, smoke, temperature=30.0).payload) is news
    assert not node.brings_news(b"\xff\xff poison")


def test_a_smoke_message_behind_a_backlog_is_read_next() -> None:
    heard = []
    reader = Reader(heard.append, lambda *_: None, print)
    points = [PointDeclaration(name, n, "", "", 10.0) for n, name in enumerate(NAMES)]
    for node in ("g", "h"):
        reader.accept(Incoming(f"spBv1.0/350100/NBIRTH/{node}", encode(node_birth(points, now=T0, bd_seq=0, outbox=Outbox(7, 1, 0))), T0))
        reader.accept(data(1, 0.0, node))
    incoming: queue.Queue[Incoming] = queue.Queue()
    for seq in range(2, 30):
        incoming.put(data(seq, 0.0, "h"))
    incoming.put(data(2, 1.0, "g"))
    reader.accept(Lanes(incoming, reader.hurries, little=500).next(0))
    assert isinstance(heard[-1], GatewayData)
    assert (heard[-1].gateway, heard[-1].urgent) == ("g", True)


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


def test_all_nodes_are_looked_at_now_and_then_and_not_behind_each_message(monkeypatch) -> None:
    reader, seen = Reader(print, lambda *_: None, print), []
    monkeypatch.setattr(reader, "tick", seen.append)
    for now in range(T0, T0 + 1_000, 10):
        reader.beside(now)
    assert seen == [T0, T0 + 250, T0 + 500, T0 + 750]


def test_samples_come_out_of_the_pipe_as_they_went_in() -> None:
    samples = (
        Sample(PointKey.of("g", NAMES[0]), T0, 20.0),
        Sample(PointKey.of("g", "th1/humidity/2"), T0 + 1, 55.0, Quality.UNCERTAIN, "clock", historical=True),
        Sample(PointKey.of("g", NAMES[1]), T0 + 2, None, Quality.BAD, "timeout"),
    )
    sent = GatewayData(
        gateway="g", group="350100", received_at=T0 + 9, samples=samples, outbox=Outbox(2**64 - 1, 5, 7), gap="full", offset_ms=-3, urgent=True
    )
    frame = msgspec.msgpack.encode(Armful([pack(sent)], True, {}))
    (readings,) = msgspec.msgpack.decode(frame, type=Armful).heard
    came = unpack(readings)
    assert msgspec.structs.replace(came, samples=samples) == sent
    assert tuple(came.samples.sample(place, sample.point) for place, sample in enumerate(samples)) == samples


class Box:
    """Stands for the watch; `waiting` inputs are told before each is taken."""

    def __init__(self, *waiting: int) -> None:
        self.offered, self.aside, self._waiting = [], [], list(waiting)

    def offer(self, item):
        self.offered.append(item)
        return Future()

    def backlog(self) -> int:
        return self._waiting.pop() if self._waiting else 0

    def set_aside(self, *what):
        self.aside.append(what)


def test_poison_beyond_what_can_be_kept_is_counted_and_holds_up_no_reading() -> None:
    box, metrics = Box(), Metrics()
    acceptor = Acceptor(box, print, print, metrics)
    poison = Poison("t", b"x", "protobuf", "no payload", T0)
    acceptor.hear(Armful([*[poison] * (ASIDE + 5), pack(batch("a"))], True, {"replayed": 3}))
    assert len(box.offered) == 1
    while acceptor.keep():
        pass
    assert len(box.aside) == ASIDE
    counted = {
        reason: metrics.registry.get_sample_value("archivewatch_refused_total", {"reason": reason})
        for reason in ("protobuf", "queue_full", "replayed")
    }
    assert counted == {"protobuf": ASIDE + 5, "queue_full": 5, "replayed": 3}


def test_who_reads_the_pipe_waits_while_too_much_waits_for_the_watch(monkeypatch) -> None:
    slept = []
    monkeypatch.setattr(accept.time, "sleep", slept.append)
    Acceptor(Box(BACKLOG, BACKLOG + 1, BACKLOG + 2), print, print, Metrics()).hear(Armful([], True, {}))
    assert len(slept) == 2


def test_a_logbook_that_cannot_be_kept_is_not_acknowledged_and_the_next_is() -> None:
    said, broken = [], [True]

    def keep(_gateway, entries, _now):
        if broken and broken.pop():
            raise OSError("disk full")
        return entries

    acceptor = Acceptor(Box(), print, lambda *what: said.append(what), Metrics(), events=keep)
    for entry in ("1", "2"):
        acceptor.take(Logbook("350100", "g", (entry,), T0))
    assert [acceptor.keep(), acceptor.keep(), acceptor.keep()] == [True, True, False]
    assert [(topic, read_command(decode(payload)).events) for topic, payload in said] == [("spBv1.0/350100/NCMD/g", ("2",))]


def test_the_bounds_of_what_is_let_in_are_those_of_the_columns() -> None:
    for table, lengths in ((Gateway, bounds.GATEWAY), (Point, bounds.POINT)):
        assert lengths == {name: table.__table__.c[name].type.length for name in lengths}


def test_the_process_that_talks_to_the_broker_loads_no_database() -> None:
    asked = "import sys, server.ingest.line; print('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout == "False\n"
