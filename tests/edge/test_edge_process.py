"""The agent as a process: simulated devices, a real broker, and a host that keeps a watermark; with kills."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from contract import sparkplug
from contract.batch import outbox_ack, read_birth, read_data, rebirth_command
from contract.declarations import Ack, Birth, UnknownAliasError
from contract.drill import DrillOrder, drill_command, drill_of
from contract.profile import find
from contract.sample import Sample
from contract.topics import Kind, parse, state_payload, state_topic
from edge.configfile import load, load_devices
from edge.link import Arrived, Down, PahoLink, Up
from edge.plan import build
from edge.settings import BrokerSettings
from simulators.broker import Broker
from simulators.modbus_bus import Bus
from simulators.modbus_carriers import carrier
from simulators.modbus_device import Unit
from simulators.plant import Plant
from simulators.relay import Relay
from simulators.rooms import RoomSpec

ROOM = "350128000001-01"
GATEWAY = "gw-1"
GROUP = "350128"


def now() -> int:
    return time.time_ns() // 1_000_000


class Host:
    """A host application on paho: stores what it reads, by sequence, and acknowledges the highest contiguous one."""

    def __init__(self, broker: Broker) -> None:
        self.birth: Birth | None = None
        self.births: list[Birth] = []
        self.deaths = 0
        self.stored: dict[tuple[int, int], Sample | str] = {}
        self.upto: dict[int, int] = {}
        self.acknowledging = True
        self.broker = broker
        self.changed = threading.Condition()
        self.started = now()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id="host", clean_session=True)
        self.client.will_set(state_topic("aw"), state_payload(False, self.started), qos=1, retain=True)
        self.client.on_connect = self._connected
        self.client.on_message = self._message
        self.client.reconnect_delay_set(1, 1)
        self.client.connect(broker.host, broker.port, keepalive=10)
        self.client.loop_start()

    def _connected(self, client: paho.Client, *_: Any) -> None:
        client.subscribe("spBv1.0/#", qos=1)
        client.publish(state_topic("aw"), state_payload(True, self.started), qos=1, retain=True)

    def _message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        topic = parse(message.topic)
        if topic.kind in (Kind.STATE, Kind.NCMD):
            return
        content = sparkplug.decode(message.payload)
        with self.changed:
            if topic.kind is Kind.NBIRTH:
                self.birth = read_birth(content)
                self.births.append(self.birth)
            elif topic.kind is Kind.NDEATH:
                self.deaths += 1
            else:
                self._data(content)
            self.changed.notify_all()

    def _data(self, content: sparkplug.Payload) -> None:
        try:
            data = read_data(content, GATEWAY, self.birth.names if self.birth else {})
        except UnknownAliasError:
            self.command(rebirth_command(now()))
            return
        assert data.outbox is not None
        epoch, first, last = data.outbox
        for at, sequence in enumerate(range(first, last + 1)):
            self.stored.setdefault((epoch, sequence), data.gap or data.samples[at])
        upto = self.upto.get(epoch, 0)
        while (epoch, upto + 1) in self.stored:
            upto += 1
        self.upto[epoch] = upto
        if self.acknowledging:
            self.command(outbox_ack(Ack(epoch, upto), now()))

    def command(self, payload: sparkplug.Payload) -> None:
        self.client.publish(f"spBv1.0/{GROUP}/NCMD/{GATEWAY}", sparkplug.encode(payload), qos=0)

    def wait(self, what: Callable[[], bool], seconds: float = 60) -> None:
        with self.changed:
            assert self.changed.wait_for(what, seconds), (len(self.births), self.deaths, self.upto)

    def samples(self) -> dict[tuple[str, int], float | None]:
        return {(str(sample.point), sample.taken_at): sample.value for sample in self.stored.values() if isinstance(sample, Sample)}

    def end(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Background:
    """An event loop in a thread, for what has to serve while the test waits."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def call(self, what: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(what)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Field:
    """A Modbus TCP line with a climate sensor and a smoke detector."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self.plant = Plant([RoomSpec("R1")], seed=1, start_ms=1_763_830_800_000)
        bus = Bus("line", now, rtu=False)
        bus.add(Unit(1, find("renke-rs-ws-n01"), self.plant, "R1", name="line/1"))
        bus.add(Unit(2, find("generic-rs485-smoke"), self.plant, "R1", name="line/2"))
        self._carrier = carrier("tcp", bus)
        background.run(self._carrier.start())

    @property
    def port(self) -> int:
        return int(self._carrier.address)

    def end(self) -> None:
        self._background.run(self._carrier.stop())


class Gateway:
    """`archivewatch-edge run` with its files."""

    def __init__(self, folder: Path, uplink: Broker | Relay, field: Field) -> None:
        self.folder = folder
        self.trace = folder / "trace.jsonl"
        settings = {
            "gateway": GATEWAY,
            "group": GROUP,
            "broker": {"host": uplink.host, "port": uplink.port, "keepalive_s": 5},
            "data_dir": "data",
            "devices_file": "devices.yaml",
            "buses": [{"name": "line", "kind": "tcp", "host": "127.0.0.1", "port": field.port}],
            "uplink": {"flush_ms": 100, "resend_s": 1, "urgent_resend_s": 0.5},
            "trace_accepted": "trace.jsonl",
        }
        devices = [
            {"name": "th1", "profile": "renke-rs-ws-n01", "bus": "line", "unit": 1, "room": ROOM, "interval_s": 1},
            {"name": "smoke1", "profile": "generic-rs485-smoke", "bus": "line", "unit": 2, "room": ROOM, "interval_s": 1},
        ]
        (folder / "edge.yaml").write_text(json.dumps(settings), encoding="utf-8")
        (folder / "devices.yaml").write_text(json.dumps({"version": 1, "devices": devices}), encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "edge", *arguments, "--config", str(self.folder / "edge.yaml")]

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command("run"), stderr=log, stdout=log)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def accepted(self) -> dict[tuple[str, int], float | None]:
        lines = self.trace.read_text(encoding="utf-8").splitlines() if self.trace.exists() else []
        found = {}
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # a kill cut the last line
            found[entry["point"], entry["taken_at"]] = entry["value"]
        return found


@pytest.fixture
def background() -> Iterator[Background]:
    built = Background()
    yield built
    built.end()


@pytest.fixture
def field(background: Background) -> Iterator[Field]:
    built = Field(background)
    yield built
    built.end()


@pytest.fixture
def relay(background: Background, broker: Broker) -> Iterator[Relay]:
    """The line to the broker."""
    built = Relay("uplink", (broker.host, broker.port))
    background.run(built.start())
    yield built
    background.run(built.stop())


@pytest.fixture
def host(broker: Broker) -> Iterator[Host]:
    built = Host(broker)
    yield built
    built.end()


@pytest.fixture
def gateway(tmp_path: Path, broker: Broker, field: Field) -> Iterator[Gateway]:
    built = Gateway(tmp_path, broker, field)
    yield built
    if built.process is not None and built.process.poll() is None:
        built.kill()


def quantities(host: Host) -> set[str]:
    return {point.split("/", 1)[1] for point, _ in host.samples()}


def test_samples_travel_from_the_register_to_the_host_and_the_end_is_clean(gateway: Gateway, host: Host) -> None:
    gateway.start()
    host.wait(lambda: quantities(host) >= {"th1/temperature", "th1/humidity", "smoke1/smoke"})
    birth = host.births[0]
    assert {point.metric: (point.room, point.interval_s, point.klass) for point in birth.points} == {
        "th1/temperature": (ROOM, 1, "measure"),
        "th1/humidity": (ROOM, 1, "measure"),
        "smoke1/smoke": (ROOM, 1, "alarm"),
        "gateway/spool_fill": (ROOM, 300, "health"),
        "gateway/clock_offset": (ROOM, 300, "health"),
    }
    assert birth.outbox is not None
    assert gateway.stop() == 0
    host.wait(lambda: host.deaths == 1)
    status = json.loads((gateway.folder / "data" / "status.json").read_text(encoding="utf-8"))
    assert status["devices"] == {"th1": "ok", "smoke1": "ok"}
    assert status["dropped"] == 0
    assert set(host.samples()) <= set(gateway.accepted())


def test_a_drill_comes_back_tagged_beside_the_real_reading(gateway: Gateway, host: Host) -> None:
    gateway.start()
    host.wait(lambda: {"smoke1/smoke"} <= quantities(host))
    host.command(drill_command(DrillOrder(41, "smoke1/smoke", 1.0, now() + 60_000), now()))
    host.command(drill_command(DrillOrder(42, "smoke9/smoke", 1.0, now() + 60_000), now()))
    host.wait(lambda: any(drill_of(sample) == 41 for sample in host.stored.values() if isinstance(sample, Sample)))
    tagged = [sample for sample in host.stored.values() if isinstance(sample, Sample) and drill_of(sample) is not None]
    assert {(sample.point.metric, sample.value, drill_of(sample)) for sample in tagged} == {("smoke1/smoke", 1.0, 41)}
    real = [
        sample for sample in host.stored.values() if isinstance(sample, Sample) and sample.point.metric == "smoke1/smoke" and drill_of(sample) is None
    ]
    assert {sample.value for sample in real} == {0.0}, "the detector itself saw nothing, and said so"
    assert gateway.stop() == 0
    assert "演练 42 不能进行" in (gateway.folder / "log").read_text("utf-8")


@pytest.mark.faults
@pytest.mark.long
def test_nothing_accepted_is_lost_over_kills_of_agent_and_broker(gateway: Gateway, host: Host, broker: Broker) -> None:
    for life in range(4):
        lives = len(host.births)
        gateway.start()
        host.wait(lambda lives=lives: len(host.births) > lives)  # type: ignore[misc]
        before = len(host.stored)
        if life == 1:
            host.acknowledging = False
        if life == 2:
            host.acknowledging = True
            broker.restart()
        host.wait(lambda before=before: len(host.stored) > before + 4)  # type: ignore[misc]
        gateway.kill()
    lives = len(host.births)
    gateway.start()
    host.wait(lambda: len(host.births) > lives)
    assert gateway.stop() == 0
    gateway.start()
    accepted = gateway.accepted()
    host.wait(lambda: set(accepted) <= set(host.samples()))
    stored = host.samples()
    assert {key: value for key, value in stored.items() if key in accepted} == accepted
    sequences = sorted(sequence for _, sequence in host.stored)
    assert sequences == list(range(1, len(sequences) + 1)), "one epoch, gapless, once each"


@pytest.mark.faults
@pytest.mark.long
def test_a_cable_that_is_pulled_and_a_line_that_swallows_everything(
    tmp_path: Path, field: Field, host: Host, relay: Relay, background: Background
) -> None:
    gateway = Gateway(tmp_path, relay, field)
    gateway.start()
    host.wait(lambda: bool(host.stored))
    for mode in ("cut", "blackhole"):
        background.call(lambda mode=mode: relay.set_mode(mode))  # type: ignore[misc]
        before = len(gateway.accepted())
        deadline = time.monotonic() + 60
        while len(gateway.accepted()) < before + 20 and time.monotonic() < deadline:
            time.sleep(0.1)
        accepted = gateway.accepted()
        background.call(lambda: relay.set_mode("pass"))
        host.wait(lambda accepted=accepted: set(accepted) <= set(host.samples()))  # type: ignore[misc]
    assert gateway.stop() == 0
    assert {key: value for key, value in host.samples().items() if key in accepted} == accepted


def test_without_a_broker_it_collects_and_says_so_once(gateway: Gateway, broker: Broker) -> None:
    broker.stop()
    gateway.start()
    deadline = time.monotonic() + 60
    while len(gateway.accepted()) < 6 and time.monotonic() < deadline:
        time.sleep(0.1)
    accepted = gateway.accepted()
    assert len(accepted) >= 6
    log = (gateway.folder / "log").read_text(encoding="utf-8")
    assert log.count("消息服务器没有运行或端口不对") == 1
    broker.start()
    host = Host(broker)
    host.wait(lambda: set(accepted) <= set(host.samples()))
    host.end()


def test_a_second_agent_on_the_same_folder_stores_nothing(gateway: Gateway, host: Host) -> None:
    gateway.start()
    host.wait(lambda: bool(host.stored))
    second = subprocess.Popen(gateway.command("run"), stderr=subprocess.PIPE)
    assert second.stderr is not None
    for line in second.stderr:
        if "正被另一个" in line.decode():
            break
    else:
        pytest.fail("the second agent did not say that the folder is taken")
    second.kill()
    second.communicate()


@pytest.mark.parametrize(
    ("text", "words"),
    [("gateway: x\n", "缺少"), ("{", "YAML"), ("gateway: gw-1\nbroker: {host: a}\ngroup: g\ndata_dir: d\ndevices_file: none\n", "无法读取")],
)
def test_a_bad_configuration_ends_with_one_sentence_and_4(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "edge.yaml").write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "edge", "run", "--config", str(tmp_path / "edge.yaml")], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


def test_check_reports_what_it_found(gateway: Gateway, broker: Broker) -> None:
    done = subprocess.run([*gateway.command("check"), "--json"], capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["devices"], report["points"], report["rooms"]) == (0, True, 2, 3, [ROOM])
    broker.stop()
    done = subprocess.run(gateway.command("check"), capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "消息服务器" in done.stdout
    assert "怎么办" in done.stdout


# -------------------------------------------------------------------------------------------------------------------------------------- link


def collected(link: PahoLink, enough: Callable[[list[Any]], bool], news: threading.Event) -> list[Any]:
    found: list[Any] = []
    deadline = time.monotonic() + 20
    while not enough(found) and time.monotonic() < deadline:
        news.wait(0.5)
        news.clear()
        found += link.events()
    return found


def test_the_link_reports_up_messages_and_down(broker: Broker) -> None:
    news = threading.Event()
    link = PahoLink(BrokerSettings(host=broker.host, port=broker.port), "c1", ("a/1", "a/2"), news.set)
    link.open("will", b"dead")
    assert collected(link, bool, news) == [Up()]
    link.publish("a/2", b"hello")
    assert collected(link, bool, news) == [Arrived("a/2", b"hello")]
    session = link._session
    assert session is not None
    assert session.client._sockpairW is not None, "without this pipe a publish waits up to a second for the loop to look"
    broker.kill()
    (down,) = collected(link, bool, news)
    assert isinstance(down, Down)
    link.close()
    assert link.events() == []


def test_each_connection_carries_its_own_will(broker: Broker, relay: Relay, background: Background) -> None:
    news, heard = threading.Event(), threading.Event()
    watcher = PahoLink(BrokerSettings(host=broker.host, port=broker.port), "watcher", ("will",), heard.set)
    watcher.open("none", b"")
    assert collected(watcher, bool, heard) == [Up()]
    link = PahoLink(BrokerSettings(host=relay.host, port=relay.port), "c1", ("a",), news.set)
    for number in (b"1", b"2"):
        link.open("will", number)
        assert collected(link, bool, news) == [Up()]
    link.close()
    assert watcher.events() == [], "a wanted disconnect has no Will"
    for number in (b"3", b"4"):
        link.open("will", number)
        assert collected(link, bool, news) == [Up()]
        background.call(lambda: relay.set_mode("cut"))
        assert collected(watcher, bool, heard) == [Arrived("will", number)]
        assert isinstance(collected(link, bool, news)[0], Down)
        background.call(lambda: relay.set_mode("pass"))
    link.close()
    watcher.close()


def test_nobody_at_the_port(free_port: int) -> None:
    news = threading.Event()
    link = PahoLink(BrokerSettings(host="127.0.0.1", port=free_port), "c1", ("a",), news.set)
    link.open("will", b"")
    assert collected(link, bool, news) == [Down("消息服务器没有运行或端口不对")]
    link.close()


def test_the_files_of_a_gateway_make_a_plan(gateway: Gateway) -> None:
    settings = load(gateway.folder / "edge.yaml")
    devices, lines = load_devices(settings.devices_file)
    plan = build(settings, devices, lines)
    assert [device.name for device in plan.devices] == ["th1", "smoke1"]
    assert os.fspath(settings.data_dir) == os.fspath(gateway.folder / "data")
