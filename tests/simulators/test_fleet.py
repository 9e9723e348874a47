"""The fleet on a real broker, against a host that speaks the protocol: births, acknowledgements, kills of broker and host, clean ends."""

import argparse
import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from contract import batch, topics
from contract.batch import Ack, Birth
from contract.sample import Sample
from contract.sparkplug import decode, encode
from contract.topics import Kind
from simulators import fleet as command
from simulators.broker import Broker
from simulators.fleet import Fleet, nodes
from simulators.fleet_link import Target
from simulators.fleet_source import LedgerSource, PlantSource, Source, synthetic
from simulators.ledger import Ledger, check, value_at
from simulators.province import small, write
from simulators.province_rows import load_points
from simulators.weather import Weather


class Host:
    """A minimal host application: STATE, births, samples once each by sequence, acknowledgement of the contiguous rest."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.births: dict[str, Birth] = {}
        self.deaths: list[str] = []
        self.samples: list[Sample] = []
        self.sequences: dict[str, set[int]] = {}
        self.upto: dict[str, int] = {}
        self.acknowledging = True
        self.ready = threading.Event()
        self._now = time.time_ns() // 1_000_000
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="host")
        self._client.will_set(topics.state_topic("aw"), topics.state_payload(False, self._now), qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self.ready.set()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert self.ready.wait(20)

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe([(f"spBv1.0/+/{kind}/#", 0) for kind in ("NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA")])
        client.publish(topics.state_topic("aw"), topics.state_payload(True, self._now), qos=1, retain=True)

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        topic, payload = topics.parse(message.topic), decode(message.payload)
        if topic.kind in (Kind.NBIRTH, Kind.DBIRTH):
            self.births[topic.node if topic.device is None else f"{topic.node}/{topic.device}"] = batch.read_birth(payload, topic.device)
        elif topic.kind == Kind.NDEATH:
            self.deaths.append(topic.node)
        elif topic.node in self.births:
            self._data(topic, batch.read_data(payload, topic.node, self.births[topic.node].names, topic.device) if topic.device is None else None)

    def _data(self, topic: topics.Topic, data: batch.Data | None) -> None:
        if data is None or data.outbox is None:
            return
        seen = self.sequences.setdefault(topic.node, set())
        if data.outbox.first not in seen:
            self.samples += data.samples
        seen.update(range(data.outbox.first, data.outbox.last + 1))
        upto = self.upto.get(topic.node, 0)
        while upto + 1 in seen:
            upto += 1
        self.upto[topic.node] = upto
        if self.acknowledging:
            command = batch.outbox_ack(Ack(data.outbox.epoch, upto), 0)
            self._client.publish(f"spBv1.0/{topic.group}/NCMD/{topic.node}", encode(command))

    def say(self, online: bool) -> None:
        self._now += 1
        self._client.publish(topics.state_topic("aw"), topics.state_payload(online, self._now), qos=1, retain=True).wait_for_publish(10)

    def rebirth(self, node: str) -> None:
        self._client.publish(f"spBv1.0/350100/NCMD/{node}", encode(batch.rebirth_command(0)))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def host(broker: Broker) -> Iterator[Host]:
    running = Host(broker)
    yield running
    running.close()


class Clock:
    """Sample times that the test moves; the sockets below it are real."""

    def __init__(self) -> None:
        self.now = self.begun = 1_760_000_000_000

    def __call__(self) -> int:
        return self.now


def _run(fleet: Fleet, clock: Clock, done: Callable[[], bool], step_ms: int = 20) -> None:
    """Drive the fleet until something is so; each turn moves its time. The test's own timeout ends a run that never gets there."""
    while not done():
        clock.now += step_ms
        fleet.run_once(clock.now)
        fleet.wait(0.005)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _fleet(broker: Broker, clock: Clock, count: int = 3, source: Source | None = None, trace: io.StringIO | None = None) -> Fleet:
    made = nodes(synthetic(count, 4, 5), "aw")
    return Fleet(made, source or LedgerSource(), Target(broker.host, broker.port), now=clock.now, trace=trace, clock=clock)


def test_born_measured_acknowledged_and_gone(broker: Broker, host: Host, clock: Clock) -> None:
    trace = io.StringIO()
    fleet = _fleet(broker, clock, trace=trace)
    _run(fleet, clock, lambda: fleet.totals()["acknowledged"] >= 36)
    fleet.sampling = False
    _run(fleet, clock, lambda: fleet.unacknowledged == 0)
    assert fleet.born == 3
    fleet.close(clock.now)
    _wait(lambda: len(host.deaths) == 3)
    accepted = Ledger()
    accepted.read_lines(line.encode() for line in trace.getvalue().splitlines())
    verdict = check(accepted, ((str(s.point), s.taken_at, s.value) for s in host.samples), expected_value=value_at)
    assert verdict.ok, verdict.table()
    assert all(s.taken_at % 1000 == 0 for s in host.samples)
    assert {v.value for v in host.births["FL-0002"].values} == {
        s.value for s in host.samples if s.taken_at == clock.begun and s.point.gateway == "FL-0002"
    }
    phases = {s.taken_at % 5000 for s in host.samples if s.taken_at > clock.begun}
    assert len(phases) == 3
    assert fleet.totals()["resent"] == 0


def _wait(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not condition():
        pause.wait(0.01)


@pytest.mark.faults
def test_nothing_is_lost_when_the_broker_is_killed(broker: Broker, host: Host, clock: Clock) -> None:
    trace = io.StringIO()
    fleet = _fleet(broker, clock, trace=trace)
    _run(fleet, clock, lambda: fleet.totals()["acknowledged"] >= 12)
    broker.kill()
    before = fleet.totals()["samples"]
    _run(fleet, clock, lambda: fleet.totals()["samples"] >= before + 48)
    host.ready.clear()
    broker.start()
    _run(fleet, clock, host.ready.is_set)
    _run(fleet, clock, lambda: all(link.node.counters.births >= 2 for link in fleet.links))
    fleet.sampling = False
    _run(fleet, clock, lambda: fleet.unacknowledged == 0, step_ms=100)
    fleet.close(clock.now)
    rows = [(str(s.point), s.taken_at, s.value) for s in host.samples]
    lines = [json.loads(line) for line in trace.getvalue().splitlines()]
    assert sorted((line["point"], line["taken_at"], line["value"]) for line in lines) == sorted(rows)
    assert any(s.historical for s in host.samples)


def test_host_offline_makes_the_nodes_die_and_wait(broker: Broker, host: Host, clock: Clock) -> None:
    fleet = _fleet(broker, clock)
    _run(fleet, clock, lambda: len(host.births) == 3)
    host.say(online=False)
    _run(fleet, clock, lambda: len(host.deaths) == 3)
    host.births.clear()
    host.say(online=True)
    _run(fleet, clock, lambda: len(host.births) == 3)
    assert all(link.node.counters.births == 2 for link in fleet.links)
    fleet.close(clock.now)


def test_rebirth_on_command(broker: Broker, host: Host, clock: Clock) -> None:
    fleet = _fleet(broker, clock, count=1)
    _run(fleet, clock, lambda: len(host.births) == 1)
    host.births.clear()
    host.rebirth("FL-0001")
    _run(fleet, clock, lambda: len(host.births) == 1)
    assert fleet.links[0].node.counters.births == 2
    fleet.close(clock.now)


def test_the_will_speaks_when_a_fleet_is_killed(broker: Broker, host: Host) -> None:
    process = _start("--broker", broker.address, "--gateways", "2", "--points", "2", "--interval", "1")
    _wait(lambda: len(host.births) == 2)
    assert host.deaths == []
    process.kill()
    process.communicate()
    _wait(lambda: sorted(host.deaths) == ["FL-0001", "FL-0002"])


def test_plant_values_of_the_demo_province(broker: Broker, host: Host, clock: Clock, tmp_path: Path) -> None:
    province = small(1)
    points = [p for p in province.points if p.feed == "weather" or p.gateway == "GW-350103-01"]
    source = PlantSource(points, province.rooms, seed=1, start=clock.now)
    fleet = Fleet(nodes(points, "aw"), source, Target(broker.host, broker.port), now=clock.now, clock=clock)
    _run(fleet, clock, lambda: {s.point.gateway for s in host.samples} == {p.gateway for p in points}, step_ms=500)
    fleet.close(clock.now)
    outdoor = next(s for s in host.samples if s.point.gateway == "GW-350128-WX" and s.point.quantity == "temperature")
    truth = Weather("pingtan", 1).at(outdoor.taken_at).temperature_c
    assert outdoor.value == pytest.approx(truth, abs=2.0)
    room = {s.point.quantity: s.value for s in host.samples if s.point.gateway == "GW-350103-01"}
    assert room["smoke"] == 0.0
    assert room["temperature"] is not None
    assert 5 < room["temperature"] < 30
    assert host.births["GW-350103-01"].points[0].room == "350103000000-01"


def test_points_in_unknown_rooms_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rooms\.csv has no room"):
        PlantSource(small(1).points, (), seed=1, start=0)


def _start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "simulators", "fleet", *words], stdout=subprocess.PIPE, text=True)


def test_command_runs_for_its_duration_and_tells(broker: Broker, host: Host, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    process = _start("--broker", broker.address, "--gateways", "2", "--points", "2", "--interval", "1", "--duration", "3", "--trace", str(trace))
    out, _ = process.communicate(timeout=60)
    first, last = map(json.loads, out.splitlines())
    assert process.returncode == 0
    assert (first["ready"], first["gateways"], first["points"]) == (True, 2, 4)
    assert (last["unacknowledged"], last["acknowledged"]) == (0, last["samples"])
    ledger = Ledger()
    ledger.read(trace)
    assert check(ledger, ((str(s.point), s.taken_at, s.value) for s in host.samples), expected_value=value_at).ok


def test_command_ends_cleanly_on_sigterm_and_foreign_make_is_plain(broker: Broker, host: Host) -> None:
    process = _start("--broker", broker.address, "--gateways", "1", "--points", "2", "--interval", "1", "--plain")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["ready"]
    _wait(lambda: "FL-0001/th1" in host.births)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["ended"]
    _wait(lambda: host.deaths == ["FL-0001"])


def _main(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    code = command.main(parser.parse_args(words))
    text = capsys.readouterr().out
    return code, json.loads(text) if text else {}


def test_wrong_options_are_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert _main(capsys, "--gateways", "0")[0] == 2
    assert _main(capsys, "--values", "plant")[0] == 2
    assert _main(capsys, "--broker", "nowhere")[0] == 2
    assert _main(capsys, "--devices", str(tmp_path / "none.csv"))[0] == 3
    write(small(1), tmp_path)
    code, told = _main(capsys, "--devices", str(tmp_path / "devices.csv"), "--feed", "nobody")
    assert (code, "no points" in str(told["error"])) == (2, True)


def test_synthetic_points_can_be_exported_for_import(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "devices.csv"
    assert _main(capsys, "--gateways", "2", "--points", "3", "--export", str(path)) == (0, {})
    assert list(load_points(path)) == synthetic(2, 3, 10)
