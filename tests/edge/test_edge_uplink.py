"""The uplink against a host that keeps a watermark the way the server does, over a wire that loses, repeats and reorders; time is driven by hand."""

import itertools
import random
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract import sparkplug
from contract.batch import node_birth, outbox_ack, read_birth, read_data, rebirth_command
from contract.declarations import Ack, Birth, Outbox, PointDeclaration
from contract.sample import PointKey, Quality, Sample
from contract.topics import Kind, parse, state_payload, state_topic
from edge.link import Arrived, Down, Event, Up
from edge.rows import Lane
from edge.settings import SpoolSettings, UplinkSettings
from edge.spool import Spool
from edge.uplink import Identity, Phase, Uplink

NOW = 1_800_000_000_000
GATEWAY = "gw-1"
IDENTITY = Identity("350128", GATEWAY, "aw")
NCMD = IDENTITY.topic(Kind.NCMD)
STATE = state_topic("aw")
POINTS = [PointDeclaration(f"th{at}/temperature", None, "350128000001-01", "°C", 30.0, "measure") for at in range(3)]
POINTS.append(PointDeclaration("di/smoke", None, "350128000001-01", "", 10.0, "alarm"))
EPOCHS = itertools.count(7)


class Host:
    """Stores what it can read, by sequence, and acknowledges the highest contiguous one."""

    def __init__(self) -> None:
        self.birth: Birth | None = None
        self.stored: dict[tuple[int, int], Sample | str] = {}
        self.got: dict[int, set[int]] = {}
        self.upto: dict[int, int] = {}
        self.seq: int | None = None
        self.sequence_errors = 0
        self.births: list[Birth] = []
        self.deaths: list[int] = []
        self.order: list[Outbox] = []
        self.late: set[int] = set()

    def take(self, topic: str, payload: bytes) -> None:
        kind, content = parse(topic).kind, sparkplug.decode(payload)
        if kind is Kind.NBIRTH:
            self.birth, self.seq = read_birth(content), content.seq
            self.births.append(self.birth)
        elif kind is Kind.NDEATH:
            self.deaths.append(int(content.metrics[0].value or 0))
            self.birth = None
        elif self.birth is not None:
            self._data(content)

    def _data(self, content: sparkplug.Payload) -> None:
        assert self.birth is not None
        assert content.seq is not None
        if self.seq is not None and content.seq != (self.seq + 1) % 256:
            self.sequence_errors += 1
        self.seq = content.seq
        data = read_data(content, GATEWAY, self.birth.names)
        assert data.outbox is not None
        epoch, first, last = data.outbox
        self.order.append(data.outbox)
        for at, sequence in enumerate(range(first, last + 1)):
            self.stored.setdefault((epoch, sequence), data.gap or data.samples[at])
            if data.gap is None and data.samples[at].historical:
                self.late.add(sequence)
        held = self.got.setdefault(epoch, set())
        held.update(range(first, last + 1))
        upto = self.upto.get(epoch, 0)
        while upto + 1 in held:
            upto += 1
        self.upto[epoch] = upto

    def ack(self, stamp: int, epoch: int) -> bytes:
        return sparkplug.encode(outbox_ack(Ack(epoch, self.upto.get(epoch, 0)), stamp))

    def samples(self, epoch: int) -> list[Sample | str]:
        return [self.stored[key] for key in sorted(self.stored) if key[0] == epoch]


class Wire:
    """The Link of the uplink: what it publishes waits here until the test delivers it; nothing moves by itself."""

    def __init__(self) -> None:
        self.up = False
        self.wills: list[tuple[str, bytes]] = []
        self.sent: deque[tuple[str, bytes]] = deque()
        self.arriving: deque[Event] = deque()

    def open(self, will_topic: str, will: bytes) -> None:
        self.wills.append((will_topic, will))
        self.up = False

    def publish(self, topic: str, payload: bytes, qos: int = 0) -> None:
        assert self.up, "published without a connection"
        assert (qos == 1) == (parse(topic).kind is Kind.NDEATH)
        self.sent.append((topic, payload))

    def close(self) -> None:
        self.up = False

    def events(self) -> list[Event]:
        found = list(self.arriving)
        self.arriving.clear()
        return found

    # the test's side

    def connect(self, timestamp: int = NOW) -> None:
        self.up = True
        self.arriving.append(Up())
        self.state(True, timestamp)

    def state(self, online: bool, timestamp: int) -> None:
        self.arriving.append(Arrived(STATE, state_payload(online, timestamp)))

    def command(self, payload: bytes) -> None:
        self.arriving.append(Arrived(NCMD, payload))

    def lose(self, reason: str = "连接中断") -> None:
        self.up = False
        self.sent.clear()
        self.arriving.clear()
        self.arriving.append(Down(reason))


class Station:
    """A gateway with its spool, the wire, and the host behind it."""

    def __init__(self, folder: Path, seed: int = 1, **options: object) -> None:
        self.folder, self.seed = folder, seed
        self.options = UplinkSettings.model_validate(options)
        self.now, self.mono = NOW, 0.0
        self.wire, self.host = Wire(), Host()
        self.bd = itertools.count()
        self.written: list[Sample] = []
        self.start()

    def start(self) -> None:
        settings = SpoolSettings(synchronous="off")  # no power is cut here, and fsync is most of the time
        self.spool = Spool(self.folder, GATEWAY, settings, self.now, lambda: next(EPOCHS))
        self.spool.remember(POINTS)
        self.uplink = Uplink(
            IDENTITY, self.options, self.wire, POINTS, lambda: next(self.bd) % 256, noise=random.Random(self.seed), rules_version=lambda: "v1"
        )

    def write(self, count: int = 1, lane: Lane = Lane.NORMAL, metric: str = "") -> None:
        block = [
            Sample(PointKey.of(GATEWAY, metric or f"th{at % 3}/temperature"), self.now + at, float(len(self.written) + at)) for at in range(count)
        ]
        self.spool.append(block, lane)
        self.written += block

    def run(self, ms: float = 0) -> float:
        self.now += int(ms)
        self.mono += ms
        return self.uplink.run_once(self.spool, self.now, self.mono)

    def deliver(self, *, ack: bool = True, keep: float = 1.0, noise: random.Random | None = None) -> int:
        """Let the host read what was published, all or a share, and acknowledge."""
        messages = list(self.wire.sent)
        self.wire.sent.clear()
        for topic, payload in messages:
            if noise is None or noise.random() < keep:
                self.host.take(topic, payload)
        if ack and self.host.birth is not None:
            self.wire.command(self.host.ack(self.now, self.spool.epoch))
        return len(messages)

    def online(self) -> None:
        self.run()
        self.wire.connect(self.now)
        self.run()
        assert self.uplink.phase is Phase.ONLINE

    def settle(self, rounds: int = 300) -> None:
        for _ in range(rounds):
            self.run(1)
            if not self.deliver() and self.spool.acknowledged == self.spool.last:
                break

    def stored(self) -> list[Sample]:
        return [sample for sample in self.host.samples(self.spool.epoch) if isinstance(sample, Sample)]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    built = Station(tmp_path)
    yield built
    built.spool.close()


def plain(samples: list[Sample]) -> list[tuple[str, int, float | None]]:
    return [(sample.point.metric, sample.taken_at, sample.value) for sample in samples]


# ----------------------------------------------------------------------------------------------------------------------------------- session


def test_the_will_and_the_birth_name_the_same_session(station: Station) -> None:
    station.write(2)
    station.online()
    topic, will = station.wire.wills[0]
    assert topic == "spBv1.0/350128/NDEATH/gw-1"
    assert sparkplug.decode(will).metrics[0].value == 0
    assert station.wire.sent[0][0] == "spBv1.0/350128/NBIRTH/gw-1"
    first = sparkplug.decode(station.wire.sent[0][1])
    assert first.seq == 0
    birth = read_birth(first)
    assert birth.bd_seq == 0
    assert birth.outbox == (station.spool.epoch, 1, 2)
    assert birth.rules_version == "v1"
    assert [point.metric for point in birth.points] == [point.metric for point in POINTS]
    assert birth.points[3].interval_s == 10


def test_nothing_is_sent_before_the_host_is_online(station: Station) -> None:
    station.write(2)
    station.run()
    station.wire.up = True
    station.wire.arriving.append(Up())
    station.run()
    assert station.uplink.phase is Phase.WAITING
    assert station.uplink.trouble == ""
    station.run(10_000)
    assert "没有上线" in station.uplink.trouble
    station.wire.state(False, NOW)
    station.run()
    assert not station.wire.sent
    station.wire.state(True, NOW + 1)
    station.run()
    assert [parse(topic).kind for topic, _ in station.wire.sent] == [Kind.NBIRTH, Kind.NDATA]


def test_old_news_of_the_host_is_ignored_and_a_new_death_obeyed(station: Station) -> None:
    station.online()
    station.wire.state(False, NOW - 1)
    station.run()
    assert station.uplink.phase is Phase.ONLINE
    station.deliver()
    station.wire.state(False, station.now)
    station.run()
    assert station.uplink.phase is Phase.DOWN
    assert [parse(topic).kind for topic, _ in station.wire.sent] == [Kind.NDEATH]
    assert not station.wire.up
    station.run(2_000)
    assert len(station.wire.wills) == 2
    assert sparkplug.decode(station.wire.wills[1][1]).metrics[0].value == 1, "bdSeq counts with every CONNECT"


def test_an_unreachable_broker_is_told_once_and_tried_with_growing_patience(station: Station, caplog: pytest.LogCaptureFixture) -> None:
    waits = []
    station.run()
    for attempt in range(1, 10):
        station.wire.lose("消息服务器没有运行或端口不对")
        lost_at = station.mono
        while len(station.wire.wills) == attempt:
            station.run(10)
        waits.append(station.mono - lost_at)
    assert 750 <= waits[0] <= 1_260
    assert all(45_000 <= wait <= 75_000 for wait in waits[7:])
    assert [record.message for record in caplog.records].count("与中心的连接不通：消息服务器没有运行或端口不对；数据先存本机") == 1


def test_a_connection_that_never_answers_is_given_up(station: Station) -> None:
    station.run()
    assert station.run(29_999) == 30_000
    station.run(1)
    assert station.uplink.phase is Phase.DOWN
    assert "没有回应" in station.uplink.trouble


def test_goodbye_is_a_death_certificate(station: Station) -> None:
    station.online()
    station.deliver()
    station.uplink.close(station.now)
    assert [parse(topic).kind for topic, _ in station.wire.sent] == [Kind.NDEATH]
    assert station.run(10**9) == float("inf") or station.uplink.phase is Phase.DOWN


def test_a_rebirth_on_command_keeps_the_session_and_sends_again(station: Station) -> None:
    station.online()
    station.write(5)
    station.run(2_000)
    station.deliver(ack=False)
    station.wire.command(sparkplug.encode(rebirth_command(station.now)))
    station.run(1)
    station.deliver()
    assert [birth.bd_seq for birth in station.host.births] == [0, 0]
    assert station.uplink.sender.counters.resent == 1
    assert station.host.sequence_errors == 0
    for _ in range(20):  # a host that asks in a storm gets one birth a second
        station.wire.command(sparkplug.encode(rebirth_command(station.now)))
        station.run(100)
        station.deliver()
    assert 3 <= len(station.host.births) <= 5


def test_nonsense_on_the_command_topic_is_counted_and_ignored(station: Station) -> None:
    station.online()
    for payload in (b"", b"\xff" * 50, sparkplug.encode(node_birth([], now=NOW, bd_seq=0, outbox=None)), b"x" * 300_000):
        station.wire.command(payload)
    station.wire.arriving.append(Arrived(STATE, b"{}"))
    station.wire.arriving.append(Arrived("other/topic", b"x"))
    station.run(1)
    assert station.uplink.phase is Phase.ONLINE
    assert station.uplink.counters.refused_messages >= 3


# -------------------------------------------------------------------------------------------------------------------------- acknowledgements


def test_only_an_acknowledgement_lets_the_spool_forget(station: Station) -> None:
    station.write(4)
    station.online()
    station.deliver(ack=False)
    station.run(1)
    assert station.spool.acknowledged == 0
    station.wire.command(station.host.ack(station.now, station.spool.epoch ^ 1))
    station.run(1)
    assert station.spool.acknowledged == 0
    assert station.uplink.counters.foreign_acknowledgements == 1
    station.wire.command(station.host.ack(station.now, station.spool.epoch))
    station.run(1)
    assert station.spool.acknowledged == 4
    assert plain(station.stored()) == plain(station.written)


def test_without_acknowledgements_a_batch_is_forgotten_unstored(tmp_path: Path) -> None:
    """The switch exists so that the fault tests can show what it costs."""
    station = Station(tmp_path, acknowledgement="none")
    station.write(4)
    station.online()
    station.wire.sent.pop()
    station.deliver(ack=False)
    station.run(60_000)
    station.deliver(ack=False)
    assert station.spool.acknowledged == 4
    assert station.stored() == []
    station.spool.close()


def test_lost_batches_are_sent_again_urgent_ones_sooner(station: Station) -> None:
    station.online()
    station.deliver()
    station.write(1)
    station.write(1, Lane.URGENT, "di/smoke")
    station.run(1)
    assert len(station.wire.sent) == 2
    station.wire.sent.clear()
    station.run(1_400)
    assert not station.wire.sent
    station.run(1_100)
    assert [read_data(sparkplug.decode(payload), GATEWAY, station.host.birth.names).outbox[1:] for _, payload in station.wire.sent] == [(2, 2)]  # type: ignore[union-attr,index]
    station.wire.sent.clear()
    station.run(16_500)
    station.settle()
    assert plain(station.stored()) == plain(station.written)


def test_an_alarm_overtakes_a_backlog(station: Station) -> None:
    for _ in range(50):
        station.write(10)
    station.write(1, Lane.URGENT, "di/smoke")
    station.online()
    station.deliver()
    assert station.host.order[0][1:] == (501, 501)


def test_live_rows_go_between_the_backlog_and_it_drains_meanwhile(station: Station) -> None:
    for _ in range(200):
        station.write(5)
    station.now += 3_600_000
    station.online()
    lags = []
    rounds = 0
    while station.spool.acknowledged < 1_000:
        station.write(1)
        newest = station.spool.last
        station.run(100)
        rounds += 1
        station.deliver()
        lags.append(newest not in {outbox.last for outbox in station.host.order})
        assert rounds < 100
    assert not any(lags), "a live row waited for the backlog"
    assert station.uplink.sender.counters.resent == 0
    assert station.host.late >= set(range(1, 1001))
    assert not station.host.late & set(range(1001, station.spool.last + 1))
    assert rounds < 30
    assert station.host.sequence_errors == 0


def test_no_more_than_the_window_is_on_its_way(tmp_path: Path) -> None:
    station = Station(tmp_path, window=4)
    for _ in range(50):
        station.write(2)
    station.online()
    assert station.deliver(ack=False) == 1 + 4
    for _ in range(30):
        station.write(1)
        station.run(10)
    assert station.deliver(ack=False) == 4
    station.settle()
    assert plain(station.stored()) == plain(station.written)
    station.spool.close()


def test_a_restored_server_gets_again_what_it_forgot(station: Station) -> None:
    for _ in range(30):
        station.write(3)
    station.online()
    station.settle()
    assert station.spool.acknowledged == 90
    overtaken = station.host.ack(station.now - 10, station.spool.epoch)
    station.host.upto[station.spool.epoch] = 30
    station.host.got[station.spool.epoch] = set(range(1, 31))
    station.host.stored = {key: value for key, value in station.host.stored.items() if key[1] <= 30}
    station.write(1)
    station.run(1)
    station.deliver()
    station.run(1)
    assert station.spool.acknowledged == 30
    station.wire.command(overtaken)
    station.settle()
    assert plain(station.stored()) == plain(station.written)


def test_an_overtaken_acknowledgement_changes_nothing(station: Station) -> None:
    station.write(3)
    station.online()
    early = station.host.ack(station.now, station.spool.epoch)
    station.now += 5
    station.deliver()
    station.run(1)
    assert station.spool.acknowledged == 3
    station.wire.command(early)
    station.run(1)
    assert station.spool.acknowledged == 3


def test_a_copied_spool_starts_a_new_epoch_instead_of_losing_everything(station: Station) -> None:
    station.write(5)
    epoch = station.spool.epoch
    station.online()
    station.deliver(ack=False)
    station.host.upto[epoch] = 900
    station.wire.command(station.host.ack(station.now, epoch))
    station.run(1)
    assert station.spool.epoch != epoch
    while station.spool.salvage():
        pass
    station.write(2)
    station.run(1_000)
    station.settle()
    assert station.host.births[-1].outbox is not None
    assert station.host.births[-1].outbox.epoch == station.spool.epoch
    assert plain(station.stored()) == plain(station.written)


def test_a_spool_that_is_replaced_under_way_is_sent_from_its_own_start(station: Station) -> None:
    for _ in range(10):
        station.write(5)
    station.online()
    station.deliver(ack=False)
    station.spool.renew("damaged", station.now)
    while station.spool.salvage():
        pass
    station.run(1_000)
    station.settle()
    assert station.spool.acknowledged == 50
    assert plain(station.stored()) == plain(station.written)


# ------------------------------------------------------------------------------------------------------------------------------------ content


def test_large_rows_are_split_by_bytes_and_keep_their_sequences(tmp_path: Path) -> None:
    station = Station(tmp_path, max_bytes=600)
    station.write(120)
    station.online()
    assert all(len(payload) <= 600 for topic, payload in station.wire.sent if parse(topic).kind is Kind.NDATA)
    station.settle()
    assert len(station.host.order) > 5
    assert plain(station.stored()) == plain(station.written)
    assert station.host.sequence_errors == 0
    station.spool.close()


def test_sequence_numbers_wrap_at_256(tmp_path: Path) -> None:
    station = Station(tmp_path)
    for _ in range(300):
        station.write(1)
    station.online()
    station.settle()
    assert station.host.sequence_errors == 0
    assert len(station.stored()) == 300
    station.spool.close()


def test_rows_of_a_device_that_is_gone_are_declared_and_sent(station: Station) -> None:
    station.spool.remember([PointDeclaration("old/humidity", None, "350128000001-02", "%RH", 30.0, "measure")])
    station.write(2)
    station.write(1, metric="old/humidity")
    station.write(2)
    station.online()
    station.settle(5)
    station.run(1_000)
    station.settle()
    assert plain(station.stored()) == plain(station.written)
    declared = {point.metric: point for point in station.host.births[-1].points}
    assert (declared["old/humidity"].room, declared["old/humidity"].interval_s) == ("350128000001-02", None)


def test_a_gap_is_told_with_its_reason(station: Station) -> None:
    station.write(3)
    station.write(3)
    station.write(3)
    station.spool.rows.set_aside(4, 6, "checksum")
    station.online()
    station.settle()
    assert station.spool.acknowledged == 9
    assert station.host.samples(station.spool.epoch)[3:6] == ["damaged"] * 3


def test_a_row_that_cannot_be_said_does_not_block_the_others(station: Station) -> None:
    station.write(1)
    station.spool.append([Sample(PointKey(GATEWAY, "di", "smoke"), NOW, 0.5)], Lane.URGENT)
    station.spool.append([Sample(PointKey(GATEWAY, "di", "radon"), NOW, 1)], Lane.NORMAL)
    station.write(1)
    station.online()
    station.settle()
    assert station.spool.acknowledged == 4
    assert [value for value in station.host.samples(station.spool.epoch) if isinstance(value, str)] == ["damaged"] * 2


def test_quality_and_reason_arrive(station: Station) -> None:
    point = PointKey(GATEWAY, "th0", "temperature")
    sent = [Sample(point, NOW, None, Quality.BAD, "device_silent"), Sample(point, NOW + 1, 20.5, Quality.UNCERTAIN, "step")]
    station.spool.append(sent, Lane.NORMAL)
    station.online()
    station.settle()
    assert station.stored() == sent


def test_messages_shrink_while_sessions_die_without_an_answer(tmp_path: Path) -> None:
    """A broker with a small packet limit cuts the connection at every message that is too large."""
    station = Station(tmp_path)
    for _ in range(5):
        station.write(400)
    for _ in range(12):
        station.run(80_000)
        station.wire.connect(station.now)
        station.run(1)
        largest = max(len(payload) for topic, payload in station.wire.sent if parse(topic).kind is Kind.NDATA)
        if largest <= 2_000:
            break
        station.wire.lose()
        station.run(1)
    assert largest <= 2_000
    station.settle()
    assert plain(station.stored()) == plain(station.written)
    station.spool.close()


# ------------------------------------------------------------------------------------------------------------------------------ any weather


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.9))
def test_whatever_the_wire_does_everything_arrives_once(tmp_path_factory: pytest.TempPathFactory, seed: int, loss: float) -> None:
    noise = random.Random(seed)
    station = Station(tmp_path_factory.mktemp("any"), seed)
    station.online()
    for _ in range(80):
        _weather(station, noise, loss)
        station.run(noise.choice([1, 100, 2_000, 20_000]))
        if station.uplink.phase is Phase.CONNECTING and noise.random() < 0.7:
            station.wire.connect(station.now)
    for _ in range(400):
        if station.uplink.phase is Phase.CONNECTING:
            station.wire.connect(station.now)
        station.run(1_000)
        if station.host.birth is None and station.uplink.phase is Phase.ONLINE:
            station.wire.command(sparkplug.encode(rebirth_command(station.now)))
        station.deliver()
        if station.host.birth is not None and station.spool.acknowledged == station.spool.last:
            break
    assert station.spool.acknowledged == station.spool.last
    assert plain(station.stored()) == plain(station.written)
    station.spool.close()


def _weather(station: Station, noise: random.Random, loss: float) -> None:
    match noise.choice(["write", "write", "write", "alarm", "cut", "rebirth", "repeat", "restart", "deliver", "deliver"]):
        case "write":
            station.write(noise.randrange(1, 30))
        case "alarm":
            station.write(1, Lane.URGENT, "di/smoke")
        case "cut":
            station.wire.lose()
            station.host.birth = None
        case "rebirth":
            station.wire.command(sparkplug.encode(rebirth_command(station.now)))
        case "repeat":
            station.wire.sent.extend(noise.sample(list(station.wire.sent), len(station.wire.sent) // 2))
        case "restart":
            station.spool.close()
            station.wire.lose()
            station.wire.events()
            station.start()
        case "deliver":
            station.deliver(keep=1 - loss, noise=noise, ack=noise.random() < 0.5)
